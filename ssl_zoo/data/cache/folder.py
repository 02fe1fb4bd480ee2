"""Where the cache lies."""

import os
from pathlib import Path

# Downloads and tokenized texts; the environment may name another folder.
CACHE = Path(os.environ.get("SSL_ZOO_CACHE", "~/.cache/ssl_zoo"))
