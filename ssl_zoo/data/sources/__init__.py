"""What the sources of all modalities share: files and folders, labels, packages, the Hugging Face hub."""
