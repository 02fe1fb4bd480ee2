"""Where texts and their labels come from."""
