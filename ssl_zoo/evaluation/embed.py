"""`ssl-zoo predict --run`: what a run's encoder makes of all examples of its data, or of any other data of its kind."""

import re
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from ssl_zoo.callbacks.embeddings import UNLABELLED, Embedded, check_format, write_embeddings
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import Examples
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.extraction import Wanted, extract_part, representation_of
from ssl_zoo.evaluation.probe import best_device
from ssl_zoo.runs.run import Run
from ssl_zoo.writable import check_writable

Part = Literal["all", "train", "val", "validation", "test", "pretrain"]
FORMATS = (".npz", ".parquet")


def embed(run: Run, data: DataModule, part: Part, out: Path | None) -> Path:
    """Writes the features of examples, in the order of their source, with their names, labels and positions.

    Args:
        run: a finished run.
        data: the run's own data, or other data of the same kind; need not be set up.
        part: the part of the data to embed; `all` is every example that can be used.
        out: path of a new file, .npz or .parquet; in the run's folder when left out.

    Returns:
        The path.

    Raises:
        InputError: the file exists, is of no known kind, or the data cannot be read.
    """
    if part not in get_args(Part):
        raise InputError(f"part is {part}: choose one of {', '.join(get_args(Part))}.")
    part = "validation" if part == "val" else part
    own = data is run.data
    name = part if own else re.sub(r"[^\w.]+", "-", data.source_name)
    path = out or run.directory / f"embeddings-{name}.npz"
    if path.suffix not in FORMATS:
        raise InputError(f"out: {path} must end in {' or '.join(FORMATS)}.")
    if path.exists():
        raise InputError(f"out: {path} exists already; remove it, or name another file with --out.")
    check_writable(path.parent, "--out")
    check_format(path.suffix.removeprefix("."))
    if own or part != "all":
        data.setup()
    sets = data.everything() if part == "all" else [_part(data, part)]
    found = [_embedded(run, examples, data) for examples in sets]
    columns = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    order = np.argsort(columns["index"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    if own and part == "all" and data.split_remark is None:  # in another split, parts are not those of the run
        columns["part"] = _parts(data, columns["index"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_embeddings(Embedded(columns, data.classes), path)
    count, width = columns["features"].shape
    print(f"Embeddings of {count:,} {data.noun}, {width} numbers each: {path}", flush=True)
    return path


def _part(data: DataModule, part: str) -> Examples:
    sets = {"train": data.train_set, "validation": data.validation_set, "test": data.test_set}
    return {**sets, "pretrain": data.pretrain_set}[part]


def _embedded(run: Run, examples: Examples, data: DataModule) -> dict[str, np.ndarray]:
    """Features, labels, positions and, where there are some, names of examples, in their order."""
    device = best_device()
    representation = representation_of(run.encoder, run.method.to(device).encode)
    wanted = Wanted(examples, torch.empty(0, dtype=torch.int64), {})
    features = extract_part(representation, wanted, device, announce=f"Embedding {data.noun}").features
    positions = examples.positions
    index = (torch.arange(len(examples)) if positions is None else positions).numpy()
    unlabelled = np.full(len(index), UNLABELLED)
    columns = {
        "features": features.vectors.cpu().numpy(),
        "labels": unlabelled if features.labels is None else features.labels.cpu().numpy(),
        "index": index,
    }
    if data.name_of is not None and positions is not None:
        columns["names"] = np.array([data.name_of(position) for position in index.tolist()])
    return columns


def _parts(data: DataModule, index: np.ndarray) -> np.ndarray:
    """``(N,)``, the part of the run that every example belongs to; `none` where it was used for nothing."""
    found = np.full(len(index), "none", dtype="<U10")
    for part in ("pretrain", "train", "validation", "test"):  # what is trained on is pretrained on, too
        positions = _part(data, part).positions
        if positions is not None:
            found[np.isin(index, positions.numpy())] = part
    return found
