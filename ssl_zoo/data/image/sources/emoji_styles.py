"""The same emoji drawn in two styles, as pairs of images that show the same; from Debian's packages."""

from pathlib import Path
from typing import Literal

import torch

from ssl_zoo.data.image.sources.base import ImageSource, LoadedImages
from ssl_zoo.data.image.sources.emoji_drawings import Drawing, Parts, classes_of, drawings, loaded, split
from ssl_zoo.data.image.sources.emoji_list import AS_PICTURE, Emoji, read_list
from ssl_zoo.data.image.sources.noto_emoji import (
    FONT,
    FONT_PACKAGE,
    LIST,
    LIST_PACKAGE,
    read_font,
    require_choices,
    require_packages,
)
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.data.sources.debian import locate
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.errors import InputError

FILES_PACKAGE = "ruby-gemojione"
FILES = Path("usr/share/rubygems-integration/all/gems/gemojione-3.3.0/assets/png")
PACKAGES = {FONT_PACKAGE: FONT, FILES_PACKAGE: FILES, LIST_PACKAGE: LIST}
STYLES = ["Noto", "EmojiOne"]
JOINER = 0x200D  # between the characters of a sequence; EmojiOne's names of files do without


class EmojiStyles(ImageSource):
    """Small drawings of emoji in colour by two artists: 3,916 of Noto's in 128x128 and 1,790 of EmojiOne's in 64x64.

    Two drawings of the same code points are a pair; what only one style has is without a partner. `data.pairs` makes
    of a pair the two views of an example, and every evaluation looks for the partners of test drawings.

    Parts and labels are those of `NotoEmoji`: a drawing in the other style lies in the part of its concept, and where
    the concept is held out a variant of it, in another colour of skin say, is left out. What only EmojiOne draws is
    trained on. So no concept lies in two parts, in either style. Of equal drawings of a style the first counts.

    EmojiOne's drawings are by Ranks.com Inc. (2014), as Debian's package says, under CC BY-SA 4.0: whoever shares them,
    or pictures in which they can be seen, names the artist and this licence, and gives others the same rights. Noto's
    are under the SIL Open Font License.

    Without `root` the files are looked for where Debian's packages fonts-noto-color-emoji, ruby-gemojione and
    unicode-data put them, then in ~/.cache/ssl_zoo, and fetched (23 MB) into the latter if need be.

    Args:
        labels: `group`, or `subgroup` for finer classes.
        background: colour behind the drawings, by a name or as in `#ff8800`.
        root: folder into which the three packages were unpacked, as by `dpkg -x`.

    Raises:
        InputError: `labels` or `background` is none of these, or `root` lacks the files.
    """

    name = "EmojiStyles"
    licence = "SIL Open Font License 1.1 (Noto), CC BY-SA 4.0 (EmojiOne, 2014 Ranks.com Inc.), Unicode (list)"
    channels = 3
    image_size = None

    def __init__(
        self,
        labels: Literal["group", "subgroup"] = "group",
        background: str = "white",
        root: str | Path | None = None,
    ) -> None:
        require_choices(labels, background)
        self.labels, self.background = labels, background
        self.root = None if root is None else resolved(root)
        require_packages(self.root, PACKAGES)

    def load(self) -> LoadedImages:
        """In every part Noto's drawings and then EmojiOne's, each in the order of the list."""
        require_packages(self.root, PACKAGES)
        listed = read_list(locate(LIST_PACKAGE, LIST.parent, self.root) / LIST.name)
        noto = drawings(read_font(locate(FONT_PACKAGE, FONT.parent, self.root) / FONT.name), listed)
        other = drawings(read_files(locate(FILES_PACKAGE, FILES, self.root), listed), listed)
        first = split(noto)
        second = in_parts_of(first, other)
        parts = Parts(*([*ours, *theirs] for ours, theirs in zip(first, second, strict=True)))
        in_order = [each for part in parts for each in part]
        styles = [style for both in zip(first, second, strict=True) for style, part in enumerate(both) for _ in part]
        names = [f"{each.name}, {STYLES[style]}" for each, style in zip(in_order, styles, strict=True)]
        found = loaded(parts, classes_of([*noto, *other], self.labels), self.labels, self.background, self.form, names)
        return found._replace(pairs=pairs_of(in_order, styles))


def read_files(folder: Path, listed: list[Emoji]) -> list[tuple[list[tuple[int, ...]], bytes]]:
    """Pictures in files that are called by their code points, `1F468-1F4BB.png`: the code points, and the file.

    Args:
        folder: EmojiOne's.
        listed: emoji whose code points have joiners, which names of files lack.

    Raises:
        InputError: a file has another name or cannot be read, or there is none.
    """
    whole = {_bare(emoji.codes): emoji.codes for emoji in listed}
    found = []
    for path in sorted(folder.glob("*.png")):
        try:
            codes = _bare(tuple(int(code, 16) for code in path.stem.split("-")))
            found.append(([whole.get(codes, codes)], path.read_bytes()))
        except (ValueError, OSError) as error:
            raise InputError(f"{path} is no drawing of an emoji ({error}): unpack {FILES_PACKAGE} again.") from error
    if not found:
        raise InputError(f"{folder} has no drawings: unpack {FILES_PACKAGE} again.")
    return found


def in_parts_of(parts: Parts, others: list[Drawing]) -> Parts:
    """Drawings in another style by what they serve for, each in the part of its concept.

    Args:
        parts: where concepts lie.
        others: the drawings in the other style.
    """
    validation, test = ({each.concept for each in part} for part in (parts.validation, parts.test))
    found = Parts([], [], [], [])
    for drawing in others:
        held = found.validation if drawing.concept in validation else found.test if drawing.concept in test else None
        if drawing.emoji is not None:
            (found.train if held is None else held).append(drawing)
        elif held is None:
            found.unlabelled.append(drawing)
    return found


def pairs_of(in_order: list[Drawing], styles: list[int]) -> Pairs:
    """Which drawings are of the same code points, in two styles.

    Args:
        in_order: the drawings.
        styles: their styles, 0 or 1.
    """
    keys = [(style, drawing.codes) for style, drawing in zip(styles, in_order, strict=True)]
    places = {key: place for place, key in enumerate(keys)}
    partners = [places.get((1 - style, codes), place) for place, (style, codes) in enumerate(keys)]
    return Pairs(STYLES, torch.tensor(styles), torch.tensor(partners))


def _bare(codes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(code for code in codes if code not in (JOINER, AS_PICTURE))
