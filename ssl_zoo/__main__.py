"""`python -m ssl_zoo` is `ssl-zoo`."""

import sys

from ssl_zoo.signals import Stopped, requests


def main() -> None:
    """Notices signals from here on, and only then imports what takes seconds; runs one command."""
    requests.take()
    try:
        from ssl_zoo import cli

        cli.main()
    except Stopped as stopped:  # its exit code and its sentence
        sys.stderr.write(f"ssl-zoo: Stopped by {stopped.name} before the command began.\n")
        sys.exit(stopped.code)


if __name__ == "__main__":
    main()
