"""Networks that turn the raw inputs of one modality into vectors."""
