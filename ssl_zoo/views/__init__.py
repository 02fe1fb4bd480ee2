"""Augmented views of a batch, made on its device."""
