"""Texts: the data module, tokenizers, the corpus in tokens, and its sources."""
