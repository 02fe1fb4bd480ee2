"""The files below a user's folder: of which official part and of which class each of them is, and what is left out."""

import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.data.sources.labels import sort_names
from ssl_zoo.data.splits import PARTS, Part
from ssl_zoo.errors import InputError

# What folders and files of an official part are called, in any capitals.
NAMES: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("unlabelled", "unlabeled", "unsup", "unsupervised"), "unlabelled"),
}
# A part may be cut into several files: train-00000-of-00002, test_1.
SHARD = re.compile(r"[-_.]?\d+([-_.]of[-_.]\d+)?$")
KINDS_NAMED = 4


class DataFile(NamedTuple):
    """One file of a data set.

    Attributes:
        path: below the root, links in it not followed, as names of links say what they stand for.
        part: official part that the file belongs to; `train` where there are none.
        label: name of the folder that is its class, or None outside of such folders.
    """

    path: Path
    part: Part
    label: str | None


class _Reached(NamedTuple):
    """A file, the names that lead to it from the root, and the folder where it really lies."""

    inside: tuple[str, ...]
    real_folder: str


def find_files(
    root: Path, suffixes: Iterable[str], noun: str, *, part_files: tuple[str, ...] = (), besides: Path | None = None
) -> list[DataFile]:
    """The files of a data set, part by part in the order of `PARTS`, and in each in the order of their paths.

    Links are followed, but none that leads back to a folder it lies in, and a folder that several links of one class
    lead to counts once. Names that begin with a dot are skipped, at any depth. One warning counts what else is left
    out, and files without a class beside others that have one.

    Where `root` has a folder called train or training, and no other folders than those of the parts (in any capitals)
    or at least one for validation or testing, these are the official parts, and the classes are the folders in them. So
    they are where every class has such folders of its own. Otherwise the folders in `root` are the classes. A folder
    called unlabelled or unsup is no class: its files serve only for pretraining.

    Args:
        root: the folder.
        suffixes: suffixes of the files wanted, in small letters, with the dot.
        noun: what the files are called in messages, in the plural.
        part_files: suffixes of those files in `root` that, where they are called like a part, are that part.
        besides: a file that may lie among the others and is no part of the data.

    Raises:
        InputError: a folder cannot be read, or there are parts but none to train on.
    """
    left_out: Counter[str] = Counter()
    wanted = tuple(suffixes)
    reached: list[_Reached] = []
    for each in _walk(os.path.realpath(root), (), [], set(), left_out):
        if each.inside[-1].lower().endswith(wanted):
            reached.append(each)
        elif besides is None or root.joinpath(*each.inside).resolve() != besides.resolve():
            left_out[f"files of another kind ({Path(each.inside[-1]).suffix or 'no suffix'})"] += 1
    files = _place(root, reached, noun, part_files, left_out)
    if not files:
        return []
    sentences = []
    if left_out:
        counted = [f"{what}: {count:,}" for what, count in left_out.most_common(KINDS_NAMED)]
        rest = sum(left_out.values()) - sum(count for _, count in left_out.most_common(KINDS_NAMED))
        sentences.append(f"left out {', '.join(counted)}{f', others: {rest:,}' if rest else ''}")
    alike = _called_like_parts([file.inside for file in reached], part_files)
    if alike and all(file.part in ("train", "unlabelled") for file in files):
        sentences.append(
            f"{', '.join(map(readable, alike))} are taken for no official parts: call them train, val and test if they "
            "are some"
        )
    loose = sum(file.label is None and file.part != "unlabelled" for file in files)
    if loose and any(file.label is not None for file in files):
        sentences.append(
            f"{noun} beside the folders of the classes, without a class and for pretraining at most: {loose:,}"
        )
    known = {file.label for file in files if file.part == "train"}
    strange = {file.label for file in files if file.part in ("validation", "test")} - known - {None}
    if strange and known - {None}:
        sentences.append(f"classes that the training part lacks: {', '.join(sort_names(filter(None, strange)))}")
    if sentences:
        warnings.warn(f"{readable(root)}: {'; '.join(sentences)}.", stacklevel=3)
    return sorted(files, key=lambda file: (PARTS.index(file.part), file.path.parts))


def class_numbers(files: Iterable[DataFile]) -> dict[str, int]:
    """The number of every class that has files, in the order of the names: as numbers where all are some."""
    return {name: number for number, name in enumerate(sort_names({file.label for file in files if file.label}))}


def resolved(path: str | Path) -> str:
    """A user's path as it is kept: absolute and without links, so that it means the same from any folder.

    Raises:
        InputError: it is empty, as an unset variable of the shell is, which must not stand for the working folder.
    """
    if not str(path).strip():
        raise InputError("The path given for the source is empty: name a folder or a file, or `.` for this folder.")
    return str(Path(path).expanduser().resolve())


def readable(path: str | Path) -> str:
    """A path as text that can be printed: bytes of a name that are not UTF-8 become escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def identity_of(path: Path) -> str:
    """What changes whenever the file does: where it really lies, its size, its times and its number there."""
    facts = path.stat()
    return f"{readable(os.path.realpath(path))}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ctime_ns}:{facts.st_ino}"


def _walk(
    real: str, inside: tuple[str, ...], above: list[str], seen: set[tuple[tuple[str, ...], str]], left: Counter[str]
) -> Iterator[_Reached]:
    """All files below a folder, hidden ones excepted.

    Args:
        real: where the folder really lies.
        inside: names that lead to it from the root.
        above: where the folders that led to it really lie.
        seen: what has been visited: the names that decide on part and class, with the real folder.
        left: counts links that are not followed.
    """
    if any(f"{each}/".startswith(f"{real.rstrip('/')}/") for each in above):
        left["links that lead back to a folder above"] += 1
        return
    # Three names are enough for a folder around everything, a part and a class.
    if (inside[:3], real) in seen:
        return
    seen.add((inside[:3], real))
    try:
        with os.scandir(real) as listed:
            entries = sorted((entry for entry in listed if not entry.name.startswith(".")), key=lambda each: each.name)
    except OSError as error:
        raise InputError(
            f"The folder {readable(real)} cannot be read ({error.strerror}): give access to it, or move it away."
        ) from error
    if not entries and inside:
        left["empty folders"] += 1
    for entry in entries:
        linked = entry.is_symlink()
        if os.path.isdir(entry.path) if linked else entry.is_dir():
            below = os.path.realpath(entry.path) if linked else entry.path
            yield from _walk(below, (*inside, entry.name), [*above, real], seen, left)
        elif os.path.isfile(entry.path) if linked else entry.is_file():
            yield _Reached((*inside, entry.name), real)
        else:
            left["links that lead nowhere" if linked else "sockets or devices"] += 1


def _place(
    root: Path, reached: list[_Reached], noun: str, part_files: tuple[str, ...], left_out: Counter[str]
) -> list[DataFile]:
    """Finds out which names are those of parts and which of classes."""
    depth = 0
    while _only_folder_with_parts(reached, depth):
        depth += 1
    parts = _official(root, [file.inside[depth:] for file in reached], part_files)
    inner = {} if parts else _parts_in_classes([file.inside[depth:] for file in reached])
    placed: dict[tuple[Part, str | None, str, str], DataFile] = {}
    for file in reached:
        names = file.inside[depth:]
        part: Part | None = "train"
        folders = names[:-1]
        if parts:
            part, folders = parts.get(names[0]) if names else None, names[1:-1]
        elif inner:
            part, folders = inner[names[1]] if len(names) > 2 else None, names[:1]
        if part is None:
            left_out[f"{noun} beside the official parts"] += 1
            continue
        label = unicodedata.normalize("NFC", readable(folders[0])) if folders else None
        if label is not None and NAMES.get(label.strip().casefold()) == "unlabelled":
            part, label = "unlabelled", None
        key = (part, None if part == "unlabelled" else label, file.real_folder, names[-1])
        placed.setdefault(key, DataFile(root.joinpath(*file.inside), part, key[1]))
    return list(placed.values())


def part_of(name: str) -> Part | None:
    """The official part that a folder is called like."""
    return NAMES.get(name.strip().casefold())


def _official(root: Path, inside: list[tuple[str, ...]], part_files: tuple[str, ...]) -> dict[str, Part]:
    """The official parts by the name of their folder or file in the root; empty where there are none."""
    called = {names[0]: names[0] for names in inside if len(names) > 1}
    loose = [names[0] for names in inside if len(names) == 1 and names[0].lower().endswith(part_files)]
    called |= {name: SHARD.sub("", Path(name).stem) for name in loose}
    found = {name: part for name, word in called.items() if (part := part_of(word)) is not None}
    held = bool({"validation", "test"} & set(found.values()))
    alone = len(found) == len(called)
    if "train" in found.values():
        return found if held or alone else {}
    if held and alone:
        names = " and ".join(sorted(map(readable, found)))
        raise InputError(f"{readable(root)} has {names} but nothing called train: add it, or give one of them as root.")
    return {}


def _called_like_parts(inside: list[tuple[str, ...]], part_files: tuple[str, ...]) -> list[str]:
    """Names in the root such as imgs_train and imgs_test, among whose words there are those of parts."""
    parts: dict[str, Part] = {}
    for names in inside:
        if len(names) > 1 or names[0].lower().endswith(part_files):
            words = map(part_of, re.split(r"[\W\d_]+", names[0]))
            parts.update((names[0], part) for part in words if part is not None)
    found = set(parts.values())
    return sorted(parts) if "train" in found and {"validation", "test"} & found else []


def _only_folder_with_parts(reached: list[_Reached], depth: int) -> bool:
    """Whether all folders lie in one that has the official parts, as archives are often packed."""
    inside = [file.inside[depth:] for file in reached if len(file.inside) > depth + 1]
    if len({names[0] for names in inside}) != 1 or part_of(inside[0][0]) is not None:
        return False
    parts = {part_of(names[1]) for names in inside if len(names) > 2}
    return "train" in parts and bool({"validation", "test"} & parts)


def _parts_in_classes(inside: list[tuple[str, ...]]) -> dict[str, Part]:
    """The official parts where every class has folders for them and nothing else, by the names of these folders."""
    by_class: dict[str, dict[str, Part | None]] = {}
    for names in inside:
        if len(names) > 1:
            second = names[1] if len(names) > 2 else ""
            by_class.setdefault(names[0], {})[second] = part_of(second)
    if len(by_class) < 2 or any(None in parts.values() or "train" not in parts.values() for parts in by_class.values()):
        return {}
    found = {name: part for parts in by_class.values() for name, part in parts.items() if part is not None}
    return found if {"validation", "test"} & set(found.values()) else {}
