"""Questions to a finished encoder that no score of its own data answers: what do its languages have in common?"""
