"""Data sets in the format of Hugging Face's `datasets`: from the hub by name, or from a folder."""

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ssl_zoo.data.sources.files import resolved
from ssl_zoo.errors import InputError


def located(name: str) -> str:
    """A data set's name, or where it is a folder, the folder's resolved path."""
    return resolved(name) if Path(name).expanduser().is_dir() else str(name)


def load_splits(
    name: str, configuration: str | None, alone: str, wanted: Sequence[str], **settings: Any
) -> dict[str, Any]:
    """All splits of a data set, by name.

    Args:
        name: name on the hub, or a folder that `save_to_disk` has written.
        configuration: one of the data set's configurations, where it has several.
        alone: what a split is called that comes without a name.
        wanted: splits that must be there.
        **settings: of `datasets.load_dataset`.

    Raises:
        InputError: the package or the data set cannot be had, or a split is not there.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError("Hugging Face data sets need the package datasets: install ssl_zoo[hub].") from error
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            data = datasets.load_from_disk(str(folder))
        else:
            data = datasets.load_dataset(name, configuration, **settings)
    except Exception as error:  # the network and the hub fail in many ways
        raise InputError(
            f"The data set {name} could not be loaded ({type(error).__name__}): check its name and the network, or "
            "give a folder written by save_to_disk."
        ) from error
    splits: dict[str, Any] = dict(data) if isinstance(data, dict) else {alone: data}
    for split in wanted:
        if split not in splits:
            raise InputError(f"{name} has no split called {split}: choose from {', '.join(splits)}.")
    return splits


def warn_of_unused(name: str, splits: Collection[str], used: Collection[str], remedy: str) -> None:
    """Says which splits of a data set a run does not see, as an official test part might be among them.

    Args:
        name: name of the data set.
        splits: names of all that it has.
        used: names of those that are used.
        remedy: what a user who wants the others can do.
    """
    unused = [split for split in splits if split not in used]
    if unused:
        warnings.warn(f"{name}: left out the splits {', '.join(unused)}: {remedy}.", stacklevel=3)
