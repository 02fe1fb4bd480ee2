"""Where recordings, their labels and their phones come from."""
