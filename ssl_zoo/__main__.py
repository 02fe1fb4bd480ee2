"""`python -m ssl_zoo` is `ssl-zoo`."""

import gc
import os
import sys

from ssl_zoo.launched import is_first, is_one_of_several
from ssl_zoo.signals import Stopped, requests


def main() -> None:
    """Notices signals from here on, answers what it can at once, and only then imports what takes seconds."""
    requests.take()
    try:
        from ssl_zoo import front
        from ssl_zoo.errors import InputError

        try:
            if not is_one_of_several() and front.answer(sys.argv[1:]):
                sys.stdout.flush()
                return
        except BrokenPipeError:  # `head` and the like have read enough; what is left goes nowhere, and says nothing
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        except InputError as error:  # a user's mistake: its sentence and code 2
            sys.stderr.write(f"ssl-zoo: error: {error}\n")
            sys.exit(2)
        gc.disable()  # what is imported stays, and to look through it for garbage is a quarter of the start
        with front.sign_of_life():
            from ssl_zoo import cli
        gc.freeze()  # nor is it looked through while a run trains
        gc.enable()
        cli.main()
    except Stopped as stopped:  # its exit code and its sentence
        if is_first():
            sys.stderr.write(f"ssl-zoo: Stopped by {stopped.name} before the command began.\n")
        sys.exit(stopped.code)


if __name__ == "__main__":
    main()
