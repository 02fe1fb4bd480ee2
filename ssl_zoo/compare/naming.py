"""Names for files."""

import re


def file_names(names: list[str]) -> list[str]:
    """A different file name, of lower-case letters, digits and hyphens, for every one of these names."""
    made: list[str] = []
    for name in names:
        base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
        free, number = base, 1
        while free in made:
            number += 1
            free = f"{base}-{number}"
        made.append(free)
    return made
