"""Networks that turn the raw inputs of one modality into vectors; they know no Lightning, losses or data sets."""
