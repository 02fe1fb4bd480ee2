"""A user's own task files: what is read from them, and what is said about mistakes in them."""

import json
from pathlib import Path

import pytest

from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.records import EXAMPLES, Pair, Question, TaggedSentence, read_records

GOOD = {
    "tags": {"tokens": ["in", "Rome"], "tags": ["O", "B-place"]},
    "pairs": {"text": "one", "second": "two", "label": "follows"},
    "spans": {"question": "who", "context": "it was me", "start": 7, "end": 9},
}


def write(folder: Path, train: list, test: list) -> Path:
    for name, entries in (("train", train), ("test", test)):
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("task", "record"),
    [
        ("tags", TaggedSentence(["in", "Rome"], ["O", "B-place"])),
        ("pairs", Pair("one", "two", "follows")),
        ("spans", Question("who", "it was me", 7, 9)),
    ],
)
def test_records_are_read_as_they_are_written(tmp_path, task, record):
    records = read_records(write(tmp_path, [GOOD[task], "", GOOD[task]], [GOOD[task]]), task)
    assert records.train == [record, record] and records.test == [record] and records.name == tmp_path.name
    assert read_records(write(tmp_path, [json.loads(EXAMPLES[task])], [json.loads(EXAMPLES[task])]), task)


def test_the_hash_follows_the_records(tmp_path):
    records = read_records(write(tmp_path, [GOOD["pairs"]], [GOOD["pairs"]]), "pairs")
    again = read_records(write(tmp_path, [GOOD["pairs"]], [GOOD["pairs"]]), "pairs")
    other = read_records(write(tmp_path, [GOOD["pairs"], GOOD["pairs"]], [GOOD["pairs"]]), "pairs")
    assert records.hash() == again.hash() != other.hash()


def test_labels_may_be_numbers_and_files_may_begin_with_a_mark(tmp_path):
    write(tmp_path, [{**GOOD["pairs"], "label": 1}], [{**GOOD["pairs"], "label": "1"}])
    (tmp_path / "train.jsonl").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "train.jsonl").read_bytes())
    assert read_records(tmp_path, "pairs").train[0].label == "1"


@pytest.mark.parametrize(
    ("task", "entry", "message"),
    [
        ("tags", {"tokens": ["a"]}, "lacks the field 'tags'"),
        ("tags", {"tokens": ["a", "b"], "tags": ["O"]}, "not two lists of as many words"),
        ("tags", {"tokens": [], "tags": []}, "not two lists of as many words"),
        ("tags", {"tokens": ["a", ""], "tags": ["O", "O"]}, "not two lists of as many words"),
        ("tags", {"tokens": "a", "tags": "O"}, "not two lists of as many words"),
        ("pairs", {"text": "a", "label": "x"}, "lacks the field 'second'"),
        ("pairs", {"text": "a", "second": None, "label": "x"}, "no texts"),
        ("spans", {"question": "a", "context": "b", "start": 0}, "lacks the field 'end'"),
        ("spans", {"question": "a", "context": "b", "start": "0", "end": 1}, "two texts and two whole numbers"),
        ("spans", {**GOOD["spans"], "end": 10}, "answer from character 7 to 10 of a context of 9"),
        ("spans", {**GOOD["spans"], "start": -1}, "answer from character -1 to 9"),
        ("spans", {**GOOD["spans"], "start": 9}, "answer from character 9 to 9"),
        ("pairs", "[1]", "no JSON object"),
        ("pairs", '{"text": ', "no JSON in UTF-8"),
        ("pairs", {"text": "\ud800", "second": "b", "label": "x"}, "no JSON in UTF-8"),
    ],
)
def test_a_wrong_record_is_named_by_file_and_line(tmp_path, task, entry, message):
    for train, test in (([GOOD[task], "", entry], [GOOD[task]]), ([GOOD[task]], [GOOD[task], "", entry])):
        name = "train" if len(train) == 3 else "test"
        with pytest.raises(InputError) as error:
            read_records(write(tmp_path, train, test), task)
        said = str(error.value)
        assert f"{tmp_path / name}.jsonl, line 3," in said and message in said and "\n" not in said


def test_a_label_that_training_never_has_is_named(tmp_path):
    write(tmp_path, [GOOD["tags"]], [GOOD["tags"], {"tokens": ["Mary"], "tags": ["B-person"]}])
    with pytest.raises(InputError, match=r"test\.jsonl has the label 'B-person' in line 2, which train\.jsonl never"):
        read_records(tmp_path, "tags")
    write(tmp_path, [GOOD["pairs"]], [{**GOOD["pairs"], "label": "else"}])
    with pytest.raises(InputError, match="label 'else' in line 1"):
        read_records(tmp_path, "pairs")


def test_missing_and_empty_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"There is no .*train\.jsonl: give --data a folder"):
        read_records(tmp_path, "tags")
    write(tmp_path, [GOOD["tags"]], [])
    with pytest.raises(InputError, match=r"test\.jsonl is empty: write one object a line like"):
        read_records(tmp_path, "tags")
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(InputError, match=r"There is no .*test\.jsonl"):
        read_records(tmp_path, "tags")
    (tmp_path / "train.jsonl").write_bytes(b'{"tokens": ["caf\xe9"], "tags": ["O"]}\n')
    with pytest.raises(InputError, match="line 1, is no JSON in UTF-8"):
        read_records(tmp_path, "tags")
