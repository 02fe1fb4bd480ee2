"""The one exception for mistakes a user can mend."""


class InputError(ValueError):
    """Something the user gave cannot work: a folder, a file, a setting.

    The message is one sentence that says what is wrong, where, and what to do. The command line prints it without
    a traceback and exits with code 2.
    """
