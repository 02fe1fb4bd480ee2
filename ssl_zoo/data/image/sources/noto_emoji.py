"""The drawings of a font of emoji, with Unicode's groups as their classes; from Debian's packages."""

import hashlib
import io
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

from ssl_zoo.data.described import require_files
from ssl_zoo.data.image.sources.base import ImageSource, LazyImages, LoadedImages
from ssl_zoo.data.image.sources.emoji_list import AS_PICTURE, Emoji, beginning, read_list
from ssl_zoo.data.image.sources.pixels import PixelFormat, to_pixels
from ssl_zoo.data.sources.contents import Contents, hash_of
from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data.splits import hold_out
from ssl_zoo.errors import InputError

FONT_PACKAGE, LIST_PACKAGE = "fonts-noto-color-emoji", "unicode-data"
FONT = Path("usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LIST = Path("usr/share/unicode/emoji/emoji-test.txt")
SIDE = 128  # drawings are as high, and at their sides have four empty columns each
TEST, VALIDATION = 0.2, 0.1  # of the concepts, and of those that remain
# What stands behind others, such as an arrow behind a runner. Fonts have a sequence in either direction of writing.
BEHIND = {0x2194, 0x2195, 0x2640, 0x2642, 0x27A1}


class Drawing(NamedTuple):
    """One picture of the font.

    Attributes:
        name: code points, and what the list calls it: `1F600 grinning face`.
        png: file of the picture.
        concept: name of what it shows a variant of, if anything.
        emoji: the line of the list, where it stands for its concept itself.
    """

    name: str
    png: bytes
    concept: str | None
    emoji: Emoji | None


class NotoEmoji(ImageSource):
    """3,916 small drawings in colour, 128x128; 1,600 of them are labelled, by 8 groups or 96 subgroups.

    Google's Noto Color Emoji, with the groups of Unicode's list: people, smileys, animals, food, travel, activities,
    objects and symbols. Flags, colours of skin and what the list lacks have no label and serve only for pretraining.
    The source has parts of its own, the same for either kind of labels: a fifth of the labelled drawings is held out
    for testing, a tenth of the rest for validation, and their variants in other colours of skin are left out, so that
    nothing trained on is a copy of what is tested on but for its colours. Yet a man and a woman of one profession are
    two. Of equal drawings the first counts.

    Without `root` the files are looked for where Debian's packages fonts-noto-color-emoji and unicode-data put them,
    then in ~/.cache/ssl_zoo, and fetched (18 MB) into the latter if need be.

    Args:
        labels: `group`, or `subgroup` for finer classes.
        background: colour behind the drawings, by a name or as in `#ff8800`.
        root: folder into which both packages were unpacked, as by `dpkg -x`.

    Raises:
        InputError: `labels` or `background` is none of these, or `root` lacks the files.
    """

    name = "NotoEmoji"
    licence = "SIL Open Font License 1.1 (drawings), Unicode (list)"
    channels = 3
    image_size = SIDE

    def __init__(
        self,
        labels: Literal["group", "subgroup"] = "group",
        background: str = "white",
        root: str | Path | None = None,
    ) -> None:
        if labels not in ("group", "subgroup"):
            raise InputError(f"labels is {labels}: choose group or subgroup.")
        try:
            ImageColor.getrgb(background)
        except ValueError as error:
            raise InputError(f"background is {background}: give a colour such as white or #ff8800.") from error
        self.labels, self.background = labels, background
        self.root = None if root is None else resolved(root)
        self._require_files()

    def _require_files(self) -> None:
        for path in () if self.root is None else (Path(self.root) / FONT, Path(self.root) / LIST):
            give = f"unpack {FONT_PACKAGE} and {LIST_PACKAGE} into the source's root, or give no root"
            require_files(path.is_file(), f"There is no {path}: {give}.")

    def load(self) -> LoadedImages:
        """The drawings in the order of the list, part by part; what the list lacks comes last."""
        self._require_files()
        font, listed = (
            locate(package, path.parent, self.root) / path.name
            for package, path in ((FONT_PACKAGE, FONT), (LIST_PACKAGE, LIST))
        )
        found = drawings(read_font(font), read_list(listed))
        classes = list(dict.fromkeys(getattr(each.emoji, self.labels) for each in found if each.emoji is not None))
        train, validation, test = split([each for each in found if each.emoji is not None])
        held = {each.concept for each in (*validation, *test)}
        others = [each for each in found if each.emoji is None and each.concept not in held]
        parts = [self._images(part, classes) for part in (train, validation, test, others)]
        in_order = [*train, *validation, *test, *others]
        return LoadedImages(
            parts[0],
            parts[2],
            parts[3],
            classes,
            parts[1],
            [drawing.name for drawing in in_order],
            self._contents([drawing.png for drawing in in_order]),
        )

    def _images(self, part: list[Drawing], classes: list[str]) -> LazyImages:
        labels = [-1 if each.emoji is None else classes.index(getattr(each.emoji, self.labels)) for each in part]
        decode = partial(_decode_nth, [each.png for each in part], self.background)
        return LazyImages(len(part), decode, self.form, torch.tensor(labels))

    def _contents(self, files: list[bytes]) -> Contents:
        hashes = np.array([hash_of(file) for file in files], dtype=np.uint64)
        digest = hashlib.sha256(hashes.astype("<u8").tobytes() + self.background.encode()).hexdigest()
        return Contents(digest, hashes, digest)


def read_font(path: Path) -> list[tuple[list[tuple[int, ...]], bytes]]:
    """The pictures of a font with a table of bitmaps, CBDT: the code points that show each, and its PNG file.

    A character has its picture by the table cmap, and a sequence of characters by ligatures in GSUB, of which there may
    be several: fonts have a sequence in either direction of writing.

    Args:
        path: a TrueType font.

    Raises:
        InputError: it is missing or damaged, or has no pictures.
    """
    from fontTools.ttLib import TTFont

    try:
        with TTFont(path, lazy=True) as font:
            code = {glyph: code for code, glyph in font.getBestCmap().items()}
            sequences: dict[str, list[tuple[int, ...]]] = {glyph: [(code[glyph],)] for glyph in code}
            for glyph, parts in _ligatures(font["GSUB"].table):
                codes = tuple(code[part] for part in parts if code[part] != AS_PICTURE)
                sequences.setdefault(glyph, []).append(codes)
            pictures = font["CBDT"].strikeData[0]
            return [(sequences[glyph], pictures[glyph].imageData) for glyph in pictures if glyph in sequences]
    except Exception as error:  # a damaged font fails in many ways
        raise InputError(f"{path} is missing or damaged ({type(error).__name__}: {error}): fetch it again.") from error


def _ligatures(table: Any) -> list[tuple[str, list[str]]]:
    """Glyphs that stand for several others, and for which, by a font's table GSUB."""
    subtables = [subtable for lookup in table.LookupList.Lookup for subtable in lookup.SubTable]
    return [
        (ligature.LigGlyph, [first, *ligature.Component])
        for subtable in subtables
        for first, ligatures in getattr(subtable, "ligatures", {}).items()
        for ligature in ligatures
    ]


def drawings(pictures: list[tuple[list[tuple[int, ...]], bytes]], listed: list[Emoji]) -> list[Drawing]:
    """What a font draws, in the order of the list, then by code points; of equal pictures the first.

    Args:
        pictures: what `read_font` gives.
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
        found.setdefault(png, Drawing(name, png, concept, labelled))
    return list(found.values())


def split(labelled: list[Drawing]) -> tuple[list[Drawing], list[Drawing], list[Drawing]]:
    """Training, validation and test drawings, of every subgroup in proportion, whatever the labels are."""
    subgroups = [(each.emoji.group, each.emoji.subgroup) for each in labelled if each.emoji is not None]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(subgroups))}
    labels = torch.tensor([numbers[name] for name in subgroups])
    rest, test = hold_out(labels, round(TEST * len(labels)))
    kept, held = hold_out(labels[rest], round(VALIDATION * len(rest)))
    train, validation, tested = (
        [labelled[place] for place in each.tolist()] for each in (rest[kept], rest[held], test)
    )
    return train, validation, tested


def _decode_nth(files: list[bytes], background: str, position: int) -> Tensor:
    """``(3, 128, 128)`` uint8, a drawing on its background, without the empty columns at its sides."""
    with Image.open(io.BytesIO(files[position])) as file:
        drawing = file.convert("RGBA")
    canvas = Image.new("RGBA", drawing.size, background)
    canvas.alpha_composite(drawing)
    margin = (drawing.width - drawing.height) // 2
    whole = canvas.convert("RGB").crop((margin, 0, margin + drawing.height, drawing.height))
    return to_pixels(whole, PixelFormat(), f"emoji {position}")
