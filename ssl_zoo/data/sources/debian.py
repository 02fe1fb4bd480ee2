"""Data sets that Debian distributes as packages, fetched without root."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.errors import InputError


def fetch_package(package: str, cache: Path) -> Path:
    """Downloads a Debian package with `apt-get` and unpacks it, unless that was done before.

    Args:
        package: name of the package.
        cache: folder for unpacked packages; it is made where it is missing.

    Returns:
        The folder that holds the package's files, laid out as below ``/``.

    Raises:
        InputError: this is no Debian or Ubuntu, or the download or the unpacking failed.
    """
    target = cache / package
    if target.is_dir():
        return target
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise InputError(f"The Debian package {package} cannot be fetched: there is no apt-get and dpkg here.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        try:
            _run(["apt-get", "download", "--quiet", package], folder)
            archives = [str(path) for path in Path(folder).glob("*.deb")]
            _run(["dpkg", "-x", *archives, "unpacked"], folder)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
            raise InputError(
                f"The Debian package {package} cannot be fetched ({lines[-1]}): check the network, run apt-get update."
            ) from error
        try:
            os.replace(Path(folder) / "unpacked", target)  # one step, so that no other process sees half of it
        except OSError:  # another process may have been faster
            if not target.is_dir():
                raise
    return target


def locate(package: str, inside: Path, root: str | None) -> Path:
    """A folder of a Debian package: below `root`, installed, or fetched into the cache.

    Args:
        package: name of the package.
        inside: the folder as the package has it, relative to the root of the file system.
        root: folder into which the package was unpacked, or None.

    Raises:
        InputError: it is neither here nor to be had.
    """
    if root is not None:
        folder = Path(root).expanduser() / inside
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}: unpack {package} into the source's root, or give no root.")
        return folder
    installed = Path("/") / inside
    return installed if installed.is_dir() else fetch_package(package, CACHE.expanduser() / "debian") / inside


def _run(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
