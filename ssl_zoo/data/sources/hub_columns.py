"""Columns of Hugging Face data sets: which one has the labels, what they are, and what identifies all of a split."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ssl_zoo.data.sources.contents import READ_BYTES, contents_of, hash_of
from ssl_zoo.data.sources.files import identity_of
from ssl_zoo.data.sources.labels import UNLABELLED, class_name, number_classes
from ssl_zoo.errors import InputError

# What a column of labels is called that is not of the class-label type.
LABELS = ("label", "labels")


class LabelColumn(NamedTuple):
    """The labels of a data set.

    Attributes:
        column: name of the column; None where there are no labels.
        classes: names of the classes in the order of their numbers.
        declared: classes that the type of a split's column declares, or None, by the split's name.
        where: where the column stands, for messages.
    """

    column: str | None
    classes: list[str]
    declared: dict[str, list[str] | None]
    where: str

    def numbers(self, split: str, values: Iterable[Any]) -> Iterator[int]:
        """The number of every value's class; -1 for None, for NaN, and for -1 where it stands for no label."""
        places = {name: number for number, name in enumerate(self.classes)}
        for value in values:
            name = _name_of(value, self.declared[split], self.where)
            yield UNLABELLED if name is None else places.get(name, UNLABELLED)


def find_labels(splits: dict[str, Any], wanted: str | None, source: str, most: int | None = None) -> LabelColumn:
    """The labels of some splits, of which the first is the one to train on.

    Classes are in the order in which the type of the column declares them, or else in that of their names.

    Args:
        splits: splits by name.
        wanted: name of the column; None takes the first of the class-label type, or else one called label or labels.
        source: what the data set is called.
        most: rows of each split that count; None for all.

    Raises:
        InputError: the column is not there, or what it holds are no classes.
    """
    kinds = columns_of(next(iter(splits.values())))
    if wanted is not None and wanted not in kinds:
        raise InputError(f"{source} has no column {wanted}: choose from {', '.join(kinds)}, or leave label_column out.")
    declared = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    column = wanted or next(iter([*declared, *(name for name in LABELS if name in kinds)]), None)
    where = f"The column {column} of {source}"
    names = {split: _declared(data, column) for split, data in splits.items()}
    nothing = LabelColumn(None, [], names, where)
    if column is None:
        return nothing
    if column in declared:
        all_names = [name for each in names.values() for name in each or []]
        return LabelColumn(column, list(dict.fromkeys(all_names)), names, where)
    try:
        found = (
            _name_of(value, names[split], where)
            for split, data in splits.items()
            for value in values_of(data, column, most)
        )
        return LabelColumn(column, list(number_classes(found, where)), names, where)
    except InputError as error:  # a warning says so, unless the column was asked for
        if wanted is not None:
            raise
        warnings.warn(f"{source} counts as unlabelled: {error}", stacklevel=3)
        return nothing


def columns_of(split: Any) -> dict[str, str]:
    """Names and types of the columns; a stream may know no types, and its first row has the names."""
    if split.features is None:
        return dict.fromkeys(next(iter(split)), "unknown")
    return {name: type(feature).__name__ for name, feature in split.features.items()}


def values_of(split: Any, column: str | None, most: int | None = None) -> Iterator[Any]:
    """What a column holds, row by row; None everywhere in a split that lacks it."""
    if column is None or column not in columns_of(split):
        rows = range(len(split)) if hasattr(split, "__len__") else split
        yield from (None for _ in islice(rows, most))
    elif hasattr(split, "__len__"):
        yield from islice(split[column], most)
    else:
        yield from (row[column] for row in islice(split.select_columns([column]), most))


def content_of(splits: Iterable[Any]) -> str:
    """A digest of what is in the files of splits, wherever these lie."""
    found = []
    for split in splits:
        paths = [Path(file["filename"]) for file in split.cache_files]
        found.append(contents_of(paths).digest if paths else split._fingerprint)
    return "/".join(found)


def identity_of_split(split: Any) -> str:
    """What changes whenever the files of a split do."""
    return "/".join([split._fingerprint, *(identity_of(Path(file["filename"])) for file in split.cache_files)])


def present_rows(split: Any, column: str) -> list[int]:
    """The rows in which a column of images or sounds holds something; none is decoded."""
    import pyarrow.compute as pc

    stored = _stored(split, column)
    valid = pc.is_valid(stored)
    if type(split.features[column]).__name__ in ("Image", "Audio"):
        held = [pc.is_valid(pc.struct_field(stored, part)) for part in ("bytes", "path")]
        valid = pc.and_(valid, pc.or_(*held))
    return [row for row, there in enumerate(valid.to_pylist()) if there]


def hashes_of(parts: Iterable[tuple[Any, list[int]]], column: str) -> np.ndarray | None:
    """``(N,)`` uint64, equal for equal files of images or sounds; None where there is too much to read.

    Args:
        parts: splits, and the rows of each that count.
        column: where the files are, in the rows themselves or by their paths.
    """
    import pyarrow.compute as pc

    found: list[int] = []
    size = 0
    for split, rows in parts:
        stored = _stored(split, column).take(rows)
        held, paths = (pc.struct_field(stored, part) for part in ("bytes", "path"))
        outside = [Path(path) for path in paths.filter(pc.is_null(held)).to_pylist()]
        if not all(path.is_file() for path in outside):  # on the network, say
            return None
        size += (pc.sum(pc.binary_length(held)).as_py() or 0) + sum(path.stat().st_size for path in outside)
        if size > READ_BYTES:
            return None
        files = iter(outside)
        found += [hash_of(content.as_py() if content.is_valid else next(files).read_bytes()) for content in held]
    return np.array(found, dtype=np.uint64)


def files_outside(split: Any, column: str) -> list[str | None]:
    """Of every row, the path of the file that it refers to, or None where it holds the content itself."""
    import pyarrow.compute as pc

    stored = _stored(split, column)
    held, paths = (pc.struct_field(stored, part) for part in ("bytes", "path"))
    return pc.if_else(pc.is_valid(held), None, paths).to_pylist()


def _stored(split: Any, column: str) -> Any:
    """A column as Arrow holds it, nothing decoded."""
    return (split if split._indices is None else split.flatten_indices()).data.column(column)


def _declared(split: Any, column: str | None) -> list[str] | None:
    names = getattr((split.features or {}).get(column), "names", None)
    return None if names is None else list(names)


def _name_of(value: Any, declared: list[str] | None, where: str) -> str | None:
    if declared is None:
        return class_name(value, where)
    if value is None or value == UNLABELLED:
        return None
    if not isinstance(value, int) or not 0 <= value < len(declared):
        raise InputError(f"{where} has the label {value!r}, but its type declares {len(declared)} classes: mend it.")
    return declared[value]
