"""The one exception for mistakes a user can mend."""

import textwrap


class InputError(ValueError):
    """Something the user gave cannot work: a folder, a file, a setting.

    The message is one sentence that says what is wrong, where, and what to do. The command line prints it without
    a traceback and exits with code 2.

    Args:
        message: the sentence.
    """

    def __init__(self, message: str) -> None:
        if message.startswith("Caught ") and " in DataLoader worker process" in message.split("\n")[0]:
            # PyTorch makes an error of a worker process anew, out of its traceback. The sentence is in the last line.
            message = message.rstrip().rsplit("\n", 1)[-1].partition(": ")[2]
        super().__init__(message)


def reason_of(error: BaseException) -> str:
    """What an error of a library says, on one line and of a length that can be read, cut between two words."""
    return textwrap.shorten(str(error), 300, placeholder=" ...") or "no reason given"
