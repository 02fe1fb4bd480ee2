"""Splits that depend on nothing but the data: not on the run's seed, not on a library's version."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

# What a source itself says of an example; `unlabelled` ones serve only for pretraining.
Part = Literal["train", "validation", "test", "unlabelled"]
PARTS: tuple[Part, ...] = ("train", "validation", "test", "unlabelled")


class Split(NamedTuple):
    """Positions of the examples of each part, ``(N,)`` int64, ascending; no example is in two parts.

    Attributes:
        train: examples to train probes on, and to pretrain on.
        validation: examples for choices.
        test: examples for the final numbers.
        unlabelled: examples to pretrain on only.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    unlabelled: Tensor


def hold_out(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Cuts `count` examples off, of every class in proportion.

    The examples are shuffled and sorted by class, and those at `count` evenly spaced places are held out: a class that
    makes up a share of the examples makes up the same share of the held-out ones, to within one example, and a class
    of one example is no special case. NumPy's RandomState is used since its numbers are frozen for all time.

    Args:
        labels: ``(N,)`` int64; all equal when there are no classes.
        count: a number in [0, N].

    Returns:
        Positions kept and positions held out, each ascending.
    """
    shuffled = np.random.RandomState(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels.numpy()[shuffled], kind="stable")]
    places = (2 * np.arange(count) + 1) * len(labels) // max(1, 2 * count)
    held = np.zeros(len(labels), dtype=bool)
    held[by_class[places]] = True
    held_out = torch.from_numpy(held)
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]


def fixed_order(count: int) -> Tensor:
    """``(count,)`` int64, a random order of so many examples that is always the same.

    Sources come sorted, by class or by file. The first few in this order are a fair choice of them all.
    """
    return torch.from_numpy(np.random.RandomState(0).permutation(count))


def count_shared(hashes: np.ndarray, parts: Sequence[Tensor]) -> int:
    """How many examples of later parts have the content of one in an earlier part.

    Args:
        hashes: ``(N,)`` uint64.
        parts: ``(n,)`` int64 each, positions.
    """
    seen = np.empty(0, dtype=np.uint64)
    shared = 0
    for part in parts:
        here = hashes[part.numpy()]
        shared += int(np.isin(here, seen).sum())
        seen = np.concatenate([seen, here])
    return shared


def identity(*facts: Any) -> str:
    """Sixteen hex digits that say what data it is.

    Args:
        *facts: what makes it this data, as plain values: digests of its content, its classes, its labels.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def split_hash(data: str, *parts: Tensor) -> str:
    """Sixteen hex digits that are equal exactly when the data's identity and every part's set of positions are."""
    digest = hashlib.sha256(data.encode())
    for part in parts:
        digest.update(f"/{len(part)}:".encode() + part.sort().values.numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]
