"""Probes and figures of features, as functions that do not ask where the features come from."""
