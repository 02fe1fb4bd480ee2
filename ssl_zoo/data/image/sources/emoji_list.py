"""Unicode's list of emoji: their code points, names and groups, and which of them show one concept."""

import re
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.errors import InputError

COMPONENTS, FLAGS = "Component", "Flags"  # of people such as hair, and of countries
AS_PICTURE = 0xFE0F  # asks for a picture in place of a character; fonts of pictures do without
SKIN = range(0x1F3FB, 0x1F400)
_LINE = re.compile(r"(?P<codes>[0-9A-F ]+); (?P<status>[a-z-]+) *# \S+ E\d+\.\d+ (?P<name>.+)")


class Emoji(NamedTuple):
    """One line of the list.

    Attributes:
        codes: code points, but for those that ask for a picture.
        name: what it is called.
        group: one of ten, such as `Food & Drink`.
        subgroup: one of about a hundred, such as `food-fruit`.
    """

    codes: tuple[int, ...]
    name: str
    group: str
    subgroup: str

    @property
    def concept(self) -> str:
        """The name without colours of skin: `couple with heart: man, man` of its 25 variants, too."""
        what, _, details = self.name.partition(": ")
        # Of a couple the list says `person, person` only where their skin has colours.
        kept = [part for part in details.split(", ") if part not in ("", "person") and not part.endswith("skin tone")]
        return ": ".join([what, ", ".join(kept)]) if kept else what

    @property
    def labelled(self) -> bool:
        """Whether it stands for its concept and is no flag."""
        return self.group not in (COMPONENTS, FLAGS) and self.concept == self.name


def read_list(path: Path) -> list[Emoji]:
    """The emoji in the order of the list, each in its full form only.

    Args:
        path: Unicode's emoji-test.txt.

    Raises:
        InputError: it is missing or damaged.
    """
    found, group, subgroup = [], "", ""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or damaged ({error}): fetch it again.") from error
    for number, line in enumerate(lines, start=1):
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ").strip()
        elif line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ").strip()
        elif line.strip() and not line.startswith("#"):
            parts = _LINE.fullmatch(line.strip())
            if parts is None or not group or not subgroup:
                raise InputError(f"{path} is damaged: line {number} is no emoji of a group; fetch it again.")
            if parts["status"] in ("fully-qualified", "component"):
                codes = tuple(code for code in (int(each, 16) for each in parts["codes"].split()) if code != AS_PICTURE)
                found.append(Emoji(codes, parts["name"], group, subgroup))
    if not any(emoji.labelled for emoji in found):
        raise InputError(f"{path} has no emoji: it is damaged; fetch it again.")
    return found


def beginning(codes: tuple[int, ...], known: dict[tuple[int, ...], str]) -> str | None:
    """The concept of code points that the list lacks, such as a runner who faces right: what they begin with.

    Args:
        codes: code points, whose colours of skin do not count.
        known: concepts by their code points.
    """
    bare = tuple(code for code in codes if code not in SKIN)
    return next((known[bare[:end]] for end in range(len(bare), 0, -1) if bare[:end] in known), None)
