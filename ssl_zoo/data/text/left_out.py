"""What of a source's texts is left out, and what is said where nothing is left."""

import warnings
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ssl_zoo.data.text.sources.base import texts_that
from ssl_zoo.data.text.sources.contents import NOT_UTF8, UTF16
from ssl_zoo.errors import InputError

# So many of the texts that are left out are named.
NAMED = 3


class Bad(NamedTuple):
    """How many texts were left out for one reason, and the first of their names."""

    total: int
    names: list[str]

    def and_named(self, name: str) -> "Bad":
        """With one more text."""
        return Bad(self.total + 1, [*self.names, name][:NAMED])


def nothing_left(source: str, bad: Mapping[str, Bad]) -> str:
    """The sentence that refuses a source none of whose texts can be used.

    Args:
        source: what the source is called.
        bad: what was left out, by reason.
    """
    reasons = "".join(
        f" ({texts_that(count, reason)}: {', '.join(names)}{f' and {more:,} more' if more else ''})"
        for reason, (count, names) in bad.items()
        for more in [count - len(names)]
    )
    way = "save its texts as UTF-8, as `iconv -t UTF-8` does, or " if {NOT_UTF8, UTF16} & set(bad) else ""
    return f"{source} has no text in it that can be used{reasons}: {way}choose another source."


def answer_bad(source: str, bad: Mapping[str, Bad], on_error: Literal["skip", "stop"]) -> None:
    """Warns of texts that were left out, or stops.

    Args:
        source: what the source is called.
        bad: what was left out, by reason.
        on_error: `skip` warns, `stop` refuses.

    Raises:
        InputError: there are some, and `on_error` is `stop`.
    """
    for reason, (count, names) in bad.items():
        if on_error == "stop":
            raise InputError(f"{names[0]} {reason}: mend or remove it, or set the data's on_error to skip.")
        more = f" and {count - len(names):,} more" if count > len(names) else ""
        way = " Saved as UTF-8, as `iconv -t UTF-8` does, they are read." if reason in (NOT_UTF8, UTF16) else ""
        warnings.warn(
            f"{source}: left out {texts_that(count, reason)}: {', '.join(names)}{more}.{way}",
            stacklevel=3,
        )
