"""Self-supervised methods, one file each, read top to bottom like the paper."""
