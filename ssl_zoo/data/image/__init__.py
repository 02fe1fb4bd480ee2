"""Images: the data module, what it keeps in memory, and its sources."""
