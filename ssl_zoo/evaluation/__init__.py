"""How well frozen features predict classes: pure functions that know nothing of how they came about."""
