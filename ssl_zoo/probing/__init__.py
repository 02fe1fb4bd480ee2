"""The offline evaluation of a finished run, next to its floors and its ceiling."""
