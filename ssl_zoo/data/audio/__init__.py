"""Recordings: the data module, their samples on the disk, and its sources."""
