"""One long text is cut into parts: what is trained on comes first, and what is held out is its end."""

from pathlib import Path

import numpy as np
import pytest

from ssl_zoo.data.text import cutting
from ssl_zoo.data.text.module import PackedRows, TextData
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.errors import InputError

LINES = [f"{number} sees the house of {number * number}\n" for number in range(600)]


def ready(root: Path, **settings: object) -> TextData:
    data = TextData(TextFiles(root), tokenizer="characters", length=17, batch_size=4, **settings)  # type: ignore[arg-type]  # settings are of several types
    data.setup()
    return data


def text_of(data: TextData, part: str) -> str:
    corpus = data.corpus
    chosen = np.flatnonzero(corpus.parts == ("train", "validation", "test").index(part))
    return "".join(
        corpus.tokenizer.decode(corpus.tokens.values[corpus.offsets[place] : corpus.offsets[place + 1]].tolist())
        for place in chosen
    )


@pytest.mark.parametrize("inside", ["input.txt", "book/input.txt"])  # a single class says nothing
def test_the_end_of_a_single_text_is_held_out(tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "PIECE", 1000)
    path = tmp_path / "data" / inside
    path.parent.mkdir(parents=True)
    path.write_text("".join(LINES))
    sentence = (
        r"has a single text to train on, which is cut at ends of lines: the first 90 % are trained on, the next 5 % "
        r"validate and the last 5 % test\. .* set --data\.source\.document to line or paragraph\."
    )
    for _ in range(2):  # made, and found in the cache
        with pytest.warns(UserWarning, match=sentence):
            data = ready(tmp_path / "data")
    parts = {part: text_of(data, part) for part in ("train", "validation", "test")}
    whole = "".join(LINES)
    assert "".join(parts.values()) == whole and all(part.endswith("\n") for part in parts.values())
    assert [round(len(part) / len(whole), 2) for part in parts.values()] == [0.9, 0.05, 0.05]
    assert data.corpus.sizes.max() <= 1000 and len(data.corpus.sizes) > 10
    assert data.name_of is not None and data.name_of(1) == f"piece 2 of {path}"
    assert isinstance(data.train_set, PackedRows) and data.train_set is data.pretrain_set and data.classes == []


def test_parts_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("".join(LINES))
    (tmp_path / "val.txt").write_text("the house sees the house\n" * 20)
    with pytest.warns(UserWarning, match="the first 90 % are trained on, the last 10 % test"):
        data = ready(tmp_path)
    assert text_of(data, "validation") == "the house sees the house\n" * 20
    assert text_of(data, "train") + text_of(data, "test") == "".join(LINES)


def test_several_texts_and_texts_of_classes_stay_whole(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("".join(LINES[number::8]))
    assert len(ready(tmp_path).corpus.sizes) == 8  # a warning would fail the test
    for name in ("a", "b"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        (tmp_path / "classes" / name / "x.txt").write_text("".join(LINES))
    with pytest.raises(
        InputError, match=r"too few documents with labels .* set --data\.source\.document to line or par"
    ):
        ready(tmp_path / "classes")


def test_a_text_without_lines_is_cut_between_words_and_without_words_between_characters() -> None:
    for text in ("word " * 3000, "häuser" * 3000):
        content = text.encode()
        sizes = [size for size, _ in cutting._pieces(content, [1, 2])]
        assert sum(sizes) == len(content)
        for end in np.cumsum(sizes).tolist():
            content[:end].decode()  # no character is torn


def test_tables_are_read_as_json_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id;Text;label\n1;"good; very\ngood";yes\n2;bad;no\n3; ;no\n4;fair;\n', encoding="utf-8-sig")
    documents = list(TextFiles(path).documents())
    assert [document.text for document in documents if hasattr(document, "text")] == ["good; very\ngood", "bad", "fair"]
    assert [document.label for document in documents if hasattr(document, "label")] == [1, 0, -1]
    assert TextFiles(path).classes == ["no", "yes"]
    (tmp_path / "rows.tsv").write_text("id\tbody\n1\thello\n")
    with pytest.raises(
        InputError, match=r"has the columns id, body and none called text: set --data\.source\.text_col"
    ):
        list(TextFiles(tmp_path / "rows.tsv").documents())
    (document,) = TextFiles(tmp_path / "rows.tsv", text_column="body").documents()
    assert document == ("hello", -1, "train", f"line 2 of {tmp_path / 'rows.tsv'}")
    (tmp_path / "rows.tsv").write_text("text\tlabel\nhello\n")
    with pytest.raises(InputError, match="has 1 cells in line 2 but 2 columns"):
        list(TextFiles(tmp_path / "rows.tsv").documents())
