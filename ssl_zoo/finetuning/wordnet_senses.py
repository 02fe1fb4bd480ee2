"""The senses of WordNet's data files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.data.text.sources.wordnet import FILES
from ssl_zoo.errors import InputError

PARTS_OF_SPEECH = {"n": "noun", "v": "verb", "a": "adjective", "s": "adjective", "r": "adverb"}


class Synset(NamedTuple):
    """One sense and the words that have it.

    Attributes:
        key: part of speech and offset, as pointers name it.
        lexicographer_file: number of the file it is kept in.
        words: lower case, their parts separated by spaces.
        hypernyms: keys of what it is a kind of.
        definition: the gloss without the examples.
        examples: examples of how its words are used.
    """

    key: str
    lexicographer_file: int
    words: list[str]
    hypernyms: list[str]
    definition: str
    examples: list[str]

    @property
    def entry(self) -> str:
        """The words and the definition, as in a dictionary."""
        return f"{', '.join(self.words)}: {self.definition}"


def read_synsets(path: Path) -> Iterator[Synset]:
    """The senses of a data file, whose format wndb(5WN) describes; those without a definition are left out.

    A line is `offset file type count (word id)... count (symbol offset type source-target)... | gloss`, the first count
    hexadecimal. The licence stands on indented lines.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"There is no {path}: give a folder with WordNet's {', '.join(FILES)}.")
    with path.open(encoding="ascii", errors="replace") as file:  # `parse_synset` refuses what is replaced
        for number, line in enumerate(file, start=1):
            if line.startswith("  "):
                continue
            try:
                synset = parse_synset(line)
            except (ValueError, IndexError) as error:
                raise InputError(f"{path} is damaged in line {number}: delete it and fetch WordNet again.") from error
            if synset.definition:
                yield synset


def parse_synset(line: str) -> Synset:
    """The sense in a line of a data file; ValueError or IndexError where it is none."""
    head, bar, gloss = line.partition(" | ")
    fields = head.split()
    if not bar or "\ufffd" in line:
        raise ValueError("no gloss")
    after_words = 4 + 2 * int(fields[3], 16)
    words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ").lower() for word in fields[4:after_words:2]]
    pointers = fields[after_words + 1 : after_words + 1 + 4 * int(fields[after_words])]
    hypernyms = [pointers[i + 2] + pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] == "@"]
    definition, quote, examples = gloss.partition('"')
    quoted = re.findall(r'"([^"]+)"', quote + examples)
    return Synset(_kind(fields[2]) + fields[0], int(fields[1]), words, hypernyms, definition.strip(" \n;:,"), quoted)


def _kind(letter: str) -> str:
    """Pointers to satellite adjectives call them adjectives or satellites alike."""
    if letter not in PARTS_OF_SPEECH:
        raise ValueError("no such part of speech")
    return "a" if letter == "s" else letter


class Kinship:
    """What is a kind of what.

    Args:
        synsets: all of them, so that a line of ancestors does not end where the next one is for testing.
    """

    def __init__(self, synsets: list[Synset]) -> None:
        self.hypernyms = {synset.key: synset.hypernyms for synset in synsets}

    def ancestors(self, key: str) -> set[str]:
        """The sense itself, what it is a kind of, and so on."""
        found: set[str] = set()
        waiting = [key]
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting.extend(self.hypernyms.get(key, []))
        return found
