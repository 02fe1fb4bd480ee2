"""The drawings of a font of emoji, with Unicode's groups as their classes; from Debian's packages."""

from pathlib import Path
from typing import Any, Literal

from PIL import ImageColor

from ssl_zoo.data.described import require_files
from ssl_zoo.data.image.sources.base import ImageSource, LoadedImages
from ssl_zoo.data.image.sources.emoji_drawings import classes_of, drawings, loaded, split
from ssl_zoo.data.image.sources.emoji_list import AS_PICTURE, read_list
from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.errors import InputError

FONT_PACKAGE, LIST_PACKAGE = "fonts-noto-color-emoji", "unicode-data"
FONT = Path("usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LIST = Path("usr/share/unicode/emoji/emoji-test.txt")
SIDE = 128  # drawings are as high, and at their sides have four empty columns each


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
        require_choices(labels, background)
        self.labels, self.background = labels, background
        self.root = None if root is None else resolved(root)
        require_packages(self.root, {FONT_PACKAGE: FONT, LIST_PACKAGE: LIST})

    def load(self) -> LoadedImages:
        """The drawings in the order of the list, part by part; what the list lacks comes last."""
        require_packages(self.root, {FONT_PACKAGE: FONT, LIST_PACKAGE: LIST})
        font, listed = (
            locate(package, path.parent, self.root) / path.name
            for package, path in ((FONT_PACKAGE, FONT), (LIST_PACKAGE, LIST))
        )
        found = drawings(read_font(font), read_list(listed))
        return loaded(split(found), classes_of(found, self.labels), self.labels, self.background, self.form)


def require_choices(labels: str, background: str) -> None:
    """Raises `InputError` where these are neither kind of labels, or no colour."""
    if labels not in ("group", "subgroup"):
        raise InputError(f"labels is {labels}: choose group or subgroup.")
    try:
        ImageColor.getrgb(background)
    except ValueError as error:
        raise InputError(f"background is {background}: give a colour such as white or #ff8800.") from error


def require_packages(root: str | None, packages: dict[str, Path]) -> None:
    """Refuses a folder that lacks what packages have.

    Args:
        root: folder into which the packages were unpacked; None asks for nothing.
        packages: a file or a folder of each, relative to the root of the file system.

    Raises:
        InputError: one is missing.
    """
    for path in () if root is None else [Path(root) / inside for inside in packages.values()]:
        *most, last = packages
        give = f"unpack {', '.join(most)} and {last} into the source's root, or give no root"
        require_files(path.exists(), f"There is no {path}: {give}.")


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
