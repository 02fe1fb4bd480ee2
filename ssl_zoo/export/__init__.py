"""Encoders of finished runs in forms that others can load without this package."""
