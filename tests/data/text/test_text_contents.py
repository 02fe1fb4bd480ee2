"""What is in text files: lines, documents, and files that hold none."""

import json
from pathlib import Path
from typing import Any

import pytest

from ssl_zoo.data.text import corpus
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.base import BadText, Document
from ssl_zoo.data.text.sources.contents import is_blank
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.errors import InputError

BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "has nothing in it that can be seen"),
    "newline": (b"\n", "has nothing in it that can be seen"),
    "spaces": ("\ufeff \r\n\t\u2028\u00a0".encode(), "has nothing in it that can be seen"),
    "without a width": ("\u200b\u200b\ufeff\u0007".encode(), "has nothing in it that can be seen"),
    "latin-1": ("café au lait".encode("latin-1"), "is not UTF-8"),
    "latin-1 at its end": ("au lait, café".encode("latin-1"), "is not UTF-8"),
    "cut within a character": ("bread 🍞".encode()[:-1], "is not UTF-8"),
    "utf-16": ("bread milk".encode("utf-16"), "is UTF-16 or UTF-32 and not UTF-8"),
    "utf-16-be": ("\ufeffbread milk".encode("utf-16-be"), "is UTF-16 or UTF-32 and not UTF-8"),
    "utf-16 without its mark": ("bread milk".encode("utf-16-le"), "is UTF-16 or UTF-32 and not UTF-8"),
    "utf-32": ("bread milk".encode("utf-32"), "is UTF-16 or UTF-32 and not UTF-8"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "CACHE", tmp_path / "cache")


def folder(tmp_path: Path, **files: bytes) -> Path:
    """Twenty texts of two classes, and others of class b."""
    for number in range(20):
        path = tmp_path / "texts" / "ab"[number % 2] / f"{number:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text number {number} says {'moon' if number % 2 else 'bread'}\n")
    for name, content in files.items():
        (tmp_path / "texts" / "b" / f"{name}.txt").write_bytes(content)
    return tmp_path / "texts"


def texts_of(source: TextFiles) -> list[str]:
    return [entry.text for entry in source.documents() if isinstance(entry, Document)]


@pytest.mark.parametrize("kind", BAD)
def test_a_file_without_a_text_is_named_and_left_out_or_ends_the_run(tmp_path: Path, kind: str) -> None:
    content, reason = BAD[kind]
    root = folder(tmp_path, zz=content)
    for document in ("file", "paragraph", "line"):
        bad = [entry for entry in TextFiles(root, document).documents() if isinstance(entry, BadText)]
        assert bad == [BadText(str(root / "b" / "zz.txt"), reason)]
    for _ in range(2):  # read and found in the cache
        data = TextData(TextFiles(root), tokenizer="characters", batch_size=2)
        with pytest.warns(UserWarning, match=f"left out 1 text, which {reason}: .*zz.txt") as seen:
            data.setup()
        assert len(seen) == 1 and len(data.corpus.labels) == 20
        with pytest.warns(UserWarning, match=f"left out 1 text, which {reason}: .*zz.txt"):
            assert sum(map(len, TextData(TextFiles(root), tokenizer="characters").everything())) == 20
        with pytest.raises(InputError, match=f"zz.txt {reason}: mend or remove it, or set the data's on_error to skip"):
            TextData(TextFiles(root), tokenizer="characters", on_error="stop").setup()


def test_a_warning_of_texts_in_another_encoding_says_how_they_are_read(tmp_path: Path) -> None:
    data = TextData(TextFiles(folder(tmp_path, zz="café".encode("latin-1"))), tokenizer="characters", batch_size=2)
    with pytest.warns(UserWarning, match="zz.txt. Saved as UTF-8, as `iconv -t UTF-8` does, they are read"):
        data.setup()


def test_a_folder_of_something_else_with_one_text_in_it_says_what_else_there_is(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(b"RIFF")
    (tmp_path / "notes.txt").write_text("a note")
    data = TextData(TextFiles(tmp_path), tokenizer="characters")
    with (
        pytest.warns(UserWarning, match=r"left out files of another kind \(\.wav\): 3"),
        pytest.raises(InputError, match="has too few documents"),
    ):
        data.setup()
    assert not list((tmp_path / "cache").glob("*.partial"))  # nothing half made is left


def test_nothing_but_bad_texts_is_a_sentence_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(
        InputError, match=r"can be used \(1 text, which is not UTF-8: .*a\.txt\): save its texts as UTF-8"
    ):
        TextData(TextFiles(tmp_path / "texts")).setup()
    with pytest.raises(InputError, match="on_error is ignore: choose skip or stop"):
        TextData(TextFiles(tmp_path), on_error="ignore")


def test_a_text_of_any_script_or_sign_is_not_blank() -> None:
    assert not any(map(is_blank, ("a", "\u200bá", "🙂", "日", "\u0301", "-", "\ufffd", "\n.\n")))
    assert all(map(is_blank, ("", " ", "\u2003\u2029", "\0", "\u202e")))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_with_a_line_feed_a_carriage_return_or_both(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(end.join(["one", "two", "", " ", "three", ""]).encode())
    assert texts_of(TextFiles(path)) == ["one\ntwo\n\n \nthree\n"]
    assert texts_of(TextFiles(path, "line")) == ["one", "two", "three"]
    assert texts_of(TextFiles(path, "paragraph")) == ["one\ntwo\n", "three\n"]
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(end.join(json.dumps({"text": f"text\r\n{i}\r"}) for i in range(3)).encode())
    assert texts_of(TextFiles(lines)) == [f"text\r\n{i}\r" for i in range(3)]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1c"])
def test_other_separators_are_part_of_the_text(tmp_path: Path, sign: str) -> None:
    (tmp_path / "a.txt").write_bytes(f"bread{sign}milk\nsoup".encode())
    assert texts_of(TextFiles(tmp_path, "line")) == [f"bread{sign}milk", "soup"]
    lines = tmp_path / "b" / "a.jsonl"
    lines.parent.mkdir()
    lines.write_bytes(json.dumps({"text": f"bread{sign}milk", "label": "x"}, ensure_ascii=False).encode())
    assert texts_of(TextFiles(lines)) == [f"bread{sign}milk"] and TextFiles(lines).classes == ["x"]


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_label_is_none_and_spaces_beside_one_do_not_count(tmp_path: Path, blank: Any) -> None:
    rows = [{"text": str(i), "label": label} for i, label in enumerate(["x", "y ", blank, " x"])]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = TextFiles(tmp_path)
    assert source.classes == ["x", "y"] and [entry.label for entry in source.documents()] == [0, 1, -1, 0]


def test_a_blank_text_among_lines_of_json_is_named(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": " \n", "label": "x"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    bad = BadText(f"line 2 of {tmp_path / 'a.jsonl'}", "has nothing in it that can be seen")
    first, second = TextFiles(tmp_path).documents()
    assert isinstance(first, Document) and first[:2] == ("a", 0) and second == bad
