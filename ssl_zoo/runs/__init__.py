"""A run's folder: what its files are called, how they are written and read, how a run stops and goes on."""
