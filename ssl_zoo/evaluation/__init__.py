"""A finished run or a public encoder beside its baselines and its ceiling."""
