"""What can be asked: labels of examples and of places within them, heads, scores."""
