"""Files that are made once and mapped into memory ever after; they know nothing of what they hold."""
