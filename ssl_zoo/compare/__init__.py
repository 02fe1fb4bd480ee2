"""Finished runs side by side: who is ahead, by how much, at what cost, and what must not be compared."""
