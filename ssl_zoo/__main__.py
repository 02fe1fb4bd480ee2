"""`python -m ssl_zoo` is `ssl-zoo`."""

import os
import sys

from ssl_zoo.signals import Stopped, requests

# What launchers of several processes tell each of them; which of them speaks is for `ssl_zoo.cli` to find out.
ONE_OF_SEVERAL = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def main() -> None:
    """Notices signals from here on, answers what it can at once, and only then imports what takes seconds."""
    requests.take()
    try:
        from ssl_zoo import front
        from ssl_zoo.errors import InputError

        try:
            if not any(name in os.environ for name in ONE_OF_SEVERAL) and front.answer(sys.argv[1:]):
                return
        except InputError as error:  # a user's mistake: its sentence and code 2
            sys.stderr.write(f"ssl-zoo: error: {error}\n")
            sys.exit(2)
        with front.sign_of_life():
            from ssl_zoo import cli
        cli.main()
    except Stopped as stopped:  # its exit code and its sentence
        sys.stderr.write(f"ssl-zoo: Stopped by {stopped.name} before the command began.\n")
        sys.exit(stopped.code)


if __name__ == "__main__":
    main()
