"""Labelled texts as people write them down, one JSON object a line, checked while they are read."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from ssl_zoo.errors import InputError

TextTaskName = Literal["tags", "pairs", "spans"]


class TaggedSentence(NamedTuple):
    """A sentence whose words have tags.

    Attributes:
        tokens: words of the sentence, at least one.
        tags: one tag for each word.
    """

    tokens: list[str]
    tags: list[str]


class Pair(NamedTuple):
    """Two texts and how they relate.

    Attributes:
        text: the first.
        second: the second.
        label: name of the class.
    """

    text: str
    second: str
    label: str


class Question(NamedTuple):
    """A question that a part of a text answers.

    Attributes:
        question: question of any form; a single word will do.
        context: the text.
        start: first character of the answer in `context`.
        end: the character after its last.
    """

    question: str
    context: str
    start: int
    end: int


Record = TypeVar("Record", TaggedSentence, Pair, Question)

EXAMPLES = {
    "tags": '{"tokens": ["in", "Rome"], "tags": ["O", "B-place"]}',
    "pairs": '{"text": "it rains", "second": "it is wet", "label": "follows"}',
    "spans": '{"question": "who", "context": "it was me", "start": 7, "end": 9}',
}


class Records(NamedTuple, Generic[Record]):
    """What an encoder is fine-tuned and evaluated on.

    Attributes:
        name: what the data is called in tables.
        train: records to learn from.
        test: records to evaluate on; their labels all occur in `train`.
    """

    name: str
    train: list[Record]
    test: list[Record]

    def hash(self) -> str:
        """Sixteen hex digits that are equal exactly when the records and their order are."""
        return hashlib.sha256(json.dumps([self.train, self.test]).encode()).hexdigest()[:16]


def read_records(folder: Path, task: TextTaskName) -> Records[Any]:
    """Reads train.jsonl and test.jsonl.

    Args:
        folder: where they lie; UTF-8, one object a line as in `EXAMPLES`, empty lines skipped.
        task: `tags` gives records `TaggedSentence`, `pairs` `Pair` and `spans` `Question`.

    Raises:
        InputError: a file is missing, empty or damaged, a record is wrong, or a label is new in test.jsonl.
    """
    folder = folder.expanduser()
    train = [record for _, record in _read(folder / "train.jsonl", task)]
    known = {label for record in train for label in labels_of(record)}
    test = []
    for number, record in _read(folder / "test.jsonl", task):
        new = [label for label in labels_of(record) if label not in known]
        if new:
            raise InputError(
                f"{folder / 'test.jsonl'} has the label {new[0]!r} in line {number}, which train.jsonl never has: "
                "nobody can learn it, so correct it or add training examples."
            )
        test.append(record)
    return Records(folder.resolve().name, train, test)


def labels_of(record: TaggedSentence | Pair | Question) -> list[str]:
    """The names of classes or tags in a record."""
    if isinstance(record, TaggedSentence):
        return record.tags
    return [record.label] if isinstance(record, Pair) else []


def _read(path: Path, task: TextTaskName) -> Iterator[tuple[int, Any]]:
    """Line numbers and records."""
    if not path.is_file():
        raise InputError(f"There is no {path}: give --data a folder with train.jsonl and test.jsonl.")
    empty = True
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            empty = False
            where = f"{path}, line {number},"
            try:
                entry = json.loads(line.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
                json.dumps(entry, ensure_ascii=False).encode()  # half a character, such as "\\ud800", is no text
            except ValueError as error:  # of which those of JSON and of UTF-8 are kinds
                raise InputError(f"{where} is no JSON in UTF-8: write objects like {EXAMPLES[task]}.") from error
            yield number, _parse(entry, task, where)
    if empty:
        raise InputError(f"{path} is empty: write one object a line like {EXAMPLES[task]}.")


def _parse(entry: Any, task: TextTaskName, where: str) -> TaggedSentence | Pair | Question:
    expected = f"write objects like {EXAMPLES[task]}."
    if not isinstance(entry, dict):
        raise InputError(f"{where} is no JSON object: {expected}")
    for field in json.loads(EXAMPLES[task]):
        if field not in entry:
            raise InputError(f"{where} lacks the field {field!r}: {expected}")
    if task == "tags":
        tokens, tags = entry["tokens"], entry["tags"]
        if not (_are_words(tokens) and _are_words(tags) and len(tokens) == len(tags)):
            raise InputError(f"{where} has tokens and tags that are not two lists of as many words: {expected}")
        return TaggedSentence(tokens, tags)
    if task == "pairs":
        label = entry["label"]
        if not (isinstance(entry["text"], str) and isinstance(entry["second"], str) and isinstance(label, str | int)):
            raise InputError(f"{where} has fields that are no texts: {expected}")
        return Pair(entry["text"], entry["second"], str(label))
    question, context, start, end = (entry[field] for field in ("question", "context", "start", "end"))
    if not (isinstance(question, str) and isinstance(context, str) and type(start) is int and type(end) is int):
        raise InputError(f"{where} has fields that are not two texts and two whole numbers: {expected}")
    if not 0 <= start < end <= len(context):
        raise InputError(
            f"{where} has an answer from character {start} to {end} of a context of {len(context)}: "
            "start and end must lie inside of it, with something in between."
        )
    return Question(question, context, start, end)


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(word, str) and word for word in value)
