"""What data modules of all modalities share: parts, splits, loaders and their order."""
