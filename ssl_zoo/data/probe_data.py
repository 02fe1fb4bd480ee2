"""A second set of data, with classes, that a run is evaluated on in place of what it is pretrained on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError


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
    data = pretrained_on.on_folder(folder)
    assert isinstance(data, DataModule), "of the same kind"
    data.setup()
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
