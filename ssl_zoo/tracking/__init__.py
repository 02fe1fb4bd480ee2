"""Weights & Biases: what is logged there, and a workspace that shows it."""
