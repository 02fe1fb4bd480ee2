"""Losses, as functions and small modules."""
