"""Losses and their parts: pure functions and small modules, without Lightning and I/O."""
