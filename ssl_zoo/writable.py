"""Whether there is room for what a command will write, found out before its work begins."""

import os
import tempfile
from pathlib import Path

from ssl_zoo.errors import InputError


def check_writable(path: Path, option: str) -> None:
    """Finds out whether a folder can be made and written to.

    Args:
        path: the folder, or a file that is there in its place.
        option: the option that says where it is, such as `--out`.

    Raises:
        InputError: it cannot.
    """
    folder = path
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        if not folder.is_dir():
            raise NotADirectoryError(20, "it is a file" if folder.exists() else "it is a link to nothing", str(folder))
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"Nothing can be written to {folder} ({error.strerror}): choose another {option} or make room."
        ) from error
