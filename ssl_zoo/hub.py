"""The Hugging Face Hub, which is not waited for where there is no network."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

# A machine that answers at all does within a part of it.
SECONDS = 3.0


@contextmanager
def without_waiting() -> Iterator[None]:
    """Within, files that are here are taken and others are missing at once, where the Hub cannot be reached.

    Its library tries again and again for most of a minute, file by file, before it looks into its own cache.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _can_be_reached(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _can_be_reached(address: str) -> bool:
    if getproxies() or os.environ.get("HF_HUB_OFFLINE"):
        return True  # whoever asks by way of others does not meet it
    parts = urlsplit(address)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=SECONDS):
            return True
    except OSError:  # no name, no way, or no answer: it cannot be reached
        return False
