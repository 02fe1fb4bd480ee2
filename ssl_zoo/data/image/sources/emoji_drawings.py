"""Drawings of emoji, whoever drew them: what each shows, in which part of the data it lies, and its pixels."""

import hashlib
import io
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssl_zoo.data.image.sources.base import LazyImages, LoadedImages
from ssl_zoo.data.image.sources.emoji_list import Emoji, beginning
from ssl_zoo.data.image.sources.pixels import PixelFormat, to_pixels
from ssl_zoo.data.sources.contents import Contents, hash_of
from ssl_zoo.data.splits import hold_out

TEST, VALIDATION = 0.2, 0.1  # of the concepts, and of those that remain
# What stands behind others, such as an arrow behind a runner. Fonts have a sequence in either direction of writing.
BEHIND = {0x2194, 0x2195, 0x2640, 0x2642, 0x27A1}


class Drawing(NamedTuple):
    """One picture of an emoji.

    Attributes:
        codes: code points of the emoji.
        name: code points, and what the list calls it: `1F600 grinning face`.
        png: file of the picture.
        concept: name of what it shows a variant of, if anything.
        emoji: the line of the list, where it stands for its concept itself.
    """

    codes: tuple[int, ...]
    name: str
    png: bytes
    concept: str | None
    emoji: Emoji | None


class Parts(NamedTuple):
    """Drawings by what they serve for.

    Attributes:
        train: labelled ones to train on.
        validation: labelled ones for choices.
        test: labelled ones for the final numbers.
        unlabelled: ones to pretrain on only, none of which shows a variant of what is held out.
    """

    train: list[Drawing]
    validation: list[Drawing]
    test: list[Drawing]
    unlabelled: list[Drawing]


def drawings(pictures: Iterable[tuple[list[tuple[int, ...]], bytes]], listed: list[Emoji]) -> list[Drawing]:
    """What pictures show, in the order of the list, then by code points; of equal pictures the first.

    Args:
        pictures: the code points that show each, of which there may be several, and its PNG file.
        listed: emoji that have names.
    """
    by_codes = {emoji.codes: emoji for emoji in listed}
    concepts = {emoji.codes: emoji.concept for emoji in listed if emoji.labelled}
    places = {codes: place for place, codes in enumerate(by_codes)}

    def precedence(codes: tuple[int, ...]) -> tuple[int, bool, tuple[int, ...]]:
        return places.get(codes, len(places)), codes[0] in BEHIND, codes

    found: dict[bytes, Drawing] = {}
    for codes, png in sorted(
        ((min(each, key=precedence), png) for each, png in pictures), key=lambda p: precedence(p[0])
    ):
        emoji, written = by_codes.get(codes), " ".join(f"{code:X}" for code in codes)
        concept = beginning(codes, concepts) if emoji is None else emoji.concept
        name = written if emoji is None else f"{written} {emoji.name}"
        labelled = emoji if emoji is not None and emoji.labelled else None
        found.setdefault(png, Drawing(codes, name, png, concept, labelled))
    return list(found.values())


def split(found: list[Drawing]) -> Parts:
    """Drawings by what they serve for, labelled ones of every subgroup in proportion, whatever the labels are."""
    labelled = [each for each in found if each.emoji is not None]
    subgroups = [(each.emoji.group, each.emoji.subgroup) for each in labelled if each.emoji is not None]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(subgroups))}
    labels = torch.tensor([numbers[name] for name in subgroups])
    rest, test = hold_out(labels, round(TEST * len(labels)))
    kept, held = hold_out(labels[rest], round(VALIDATION * len(rest)))
    train, validation, tested = (
        [labelled[place] for place in each.tolist()] for each in (rest[kept], rest[held], test)
    )
    held_out = {each.concept for each in (*validation, *tested)}
    others = [each for each in found if each.emoji is None and each.concept not in held_out]
    return Parts(train, validation, tested, others)


def loaded(
    parts: Parts, classes: list[str], labels: str, background: str, form: PixelFormat, names: list[str] | None = None
) -> LoadedImages:
    """Drawings as a source hands them over.

    Args:
        parts: the drawings.
        classes: names of the classes, in label order.
        labels: what the classes are: `group` or `subgroup`.
        background: colour behind the drawings.
        form: format of their pixels.
        names: what the drawings are called, part by part; their own names when left out.
    """

    def images(part: list[Drawing]) -> LazyImages:
        numbers = [-1 if each.emoji is None else classes.index(getattr(each.emoji, labels)) for each in part]
        decode = partial(_decode_nth, [each.png for each in part], background)
        return LazyImages(len(part), decode, form, torch.tensor(numbers))

    in_order = [each for part in parts for each in part]
    hashes = np.array([hash_of(each.png) for each in in_order], dtype=np.uint64)
    digest = hashlib.sha256(hashes.astype("<u8").tobytes() + background.encode()).hexdigest()
    return LoadedImages(
        images(parts.train),
        images(parts.test),
        images(parts.unlabelled),
        classes,
        images(parts.validation),
        names or [each.name for each in in_order],
        Contents(digest, hashes, digest),
    )


def classes_of(found: Iterable[Drawing], labels: str) -> list[str]:
    """The groups or subgroups of drawings, in their order."""
    return list(dict.fromkeys(getattr(each.emoji, labels) for each in found if each.emoji is not None))


def _decode_nth(files: list[bytes], background: str, position: int) -> Tensor:
    """``(3, S, S)`` uint8, a drawing on its background, without the empty columns at the sides of one that is wide."""
    with Image.open(io.BytesIO(files[position])) as file:
        drawing = file.convert("RGBA")
    canvas = Image.new("RGBA", drawing.size, background)
    canvas.alpha_composite(drawing)
    margin = (drawing.width - drawing.height) // 2
    whole = canvas.convert("RGB").crop((margin, 0, margin + drawing.height, drawing.height))
    return to_pixels(whole, PixelFormat(), f"emoji {position}")
