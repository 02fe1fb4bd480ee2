"""What frozen features are worth: pure functions that know nothing of how they came about."""
