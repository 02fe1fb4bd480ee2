"""A second set of data, with classes, that a run is evaluated on in place of what it is pretrained on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError


def require_same(made: str | None, data: DataModule, allow_other: bool) -> None:
    """Refuses data that is not what a run has been probed on so far: its numbers would be of two sets.

    Args:
        made: hash of the split that was probed on; None where nothing was.
        data: set up.
        allow_other: another one is taken all the same.

    Raises:
        InputError: it is another one, and that is not allowed.
    """
    if made is not None and made != data.split_hash and not allow_other:
        raise InputError(
            f"probe_data: {data.source_name} is not what the run was probed on so far, as files have come, gone or "
            "changed: put them back, or set allow_other_split to true to go on all the same."
        )


class ProbeData(NamedTuple):
    """Data to evaluate on.

    Attributes:
        data: set up, with classes.
        remarks: sentences about what it has in common with what was pretrained on.
    """

    data: DataModule
    remarks: list[str]


def open_probe_data(pretrained_on: DataModule, folder: Path) -> ProbeData:
    """Reads a folder as the data of a run is read: its sizes, rate or tokenizer, with a split of its own.

    Args:
        pretrained_on: data of the run, set up.
        folder: folder with a sub-folder for every class, or, of texts, a file with labels.

    Raises:
        InputError: it cannot be read, or has no labels.
    """
    if not folder.exists():
        raise InputError(f"probe_data: there is no {folder}: give a folder with a sub-folder for every class.")
    try:
        data = pretrained_on.on_folder(folder)
        assert isinstance(data, DataModule), "of the same kind"
        data.setup()
    except InputError as error:  # which names the folder, and not the option that it came from
        raise InputError(f"probe_data: {error}") from error
    if any(part.labels is None for part in data.parts().values()):
        raise InputError(
            f"probe_data: {folder} has no classes to evaluate on: give a folder with a sub-folder for every class."
        )
    remarks = [
        f"Pretrained on {len(pretrained_on.pretrain_set):,} examples of {pretrained_on.source_name}, and evaluated on "
        f"{data.source_name}."
    ]
    if pretrained_on.split_remark is not None:
        remarks.append(pretrained_on.split_remark)
    seen, tested = pretrained_on.content_hashes, data.content_hashes
    if seen is not None and tested is not None:
        held = np.concatenate(tested[1:])
        shared = int(np.isin(held, seen[0]).sum())
        if shared:
            remarks.append(
                f"{shared:,} of {len(held):,} {data.noun} of {data.source_name} for validation and testing are exact "
                f"copies of ones that are pretrained on, which flatters the numbers."
            )
    return ProbeData(data, remarks)
