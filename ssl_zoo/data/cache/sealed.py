"""Folders of the cache: made once for all processes of the machine, and made anew when a file of theirs is damaged."""

import json
import os
import shutil
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from ssl_zoo.data.cache.mapped import Seal, is_damaged
from ssl_zoo.errors import InputError

Opened = TypeVar("Opened")


class Damaged(Exception):
    """A folder cannot be used; the message says which file is to blame."""


def open_sealed(folder: Path, read: Callable[[Path], Opened], build: Callable[[Path], None]) -> Opened:
    """What is in a folder of the cache, which is filled first if need be.

    Args:
        folder: a process that is interrupted leaves no half of it.
        read: opens it, or raises `Damaged`.
        build: fills an empty folder.

    Raises:
        InputError: the cache cannot be written.
    """
    try:
        return read(folder)
    except Damaged:  # made again below
        pass
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_of(folder)).acquire()
    except OSError as error:
        raise InputError(f"The cache {folder.parent} cannot be written ({error}): make room or give access.") from error
    with lock:
        try:
            return read(folder)  # another process was faster
        except Damaged as damage:  # a warning says so, and it is made again
            if folder.is_dir():
                warnings.warn(f"{folder} is damaged ({damage}) and is made again.", stacklevel=3)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)  # what an interrupted process has left; this one holds the lock
        partial.mkdir()
        try:
            build(partial)
        except BaseException:  # Ctrl-C too: what is half made is of no use to anyone
            shutil.rmtree(partial, ignore_errors=True)  # the error that is raised says more than what remains
            raise
        shutil.rmtree(folder, ignore_errors=True)  # where anything stays, the next line fails and says so
        os.replace(partial, folder)
        return read(folder)


def is_writable(folder: Path) -> bool:
    """Whether something can be put into a folder of the cache, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # which is what is asked
        return False
    return os.access(folder, os.W_OK)


def lock_of(folder: Path) -> Path:
    """The file that a process locks while it changes the folder."""
    return folder.with_suffix(".lock")


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Writes plain values with their checksum; `facts["files"]` has the seals of the files beside it."""
    facts = json.loads(json.dumps(facts))  # as it will be read again, for the checksum
    path.write_text(json.dumps({"facts": facts, "checksum": _checksum(facts)}, indent=1))


def read_facts(path: Path) -> dict[str, Any]:
    """What `write_facts` wrote.

    Raises:
        Damaged: it, or a file that it has the seal of, is missing or not as it was written.
    """
    try:
        content = json.loads(path.read_text())
        facts: dict[str, Any] = content["facts"]
        sound = content["checksum"] == _checksum(facts)
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged, which is what is asked
        sound = False
    if not sound:
        raise Damaged(path.name)
    for name, sealed in facts["files"].items():
        if is_damaged(path.parent / name, Seal(*sealed)):
            raise Damaged(name)
    return facts


def _checksum(facts: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())
