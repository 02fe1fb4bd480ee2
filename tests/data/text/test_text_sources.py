import ast
import json
import os
import re
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl_zoo.data.sources import debian
from ssl_zoo.data.text.sources import python_docs, wordnet
from ssl_zoo.data.text.sources.base import BadText, Document, TextSource
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.data.text.sources.hugging_face import HuggingFaceText
from ssl_zoo.data.text.sources.python_docs import PythonDocs
from ssl_zoo.data.text.sources.wordnet import LEXICOGRAPHER_FILES, NOUNS, WordNet
from ssl_zoo.errors import InputError

# Python's own documentation -------------------------------------------------------------------------------------------


def test_python_docs_are_english() -> None:
    documents = list(PythonDocs().documents())
    texts = [document.text for document in documents]
    assert len(texts) == len(set(texts)) > 400 and sum(map(len, texts)) > 500_000
    assert {(document.label, document.part) for document in documents} == {(-1, "train")} and PythonDocs().classes == []
    assert any(json.__doc__ is not None and text.startswith(json.__doc__.strip()[:40]) for text in texts)
    assert sum('The "assert" statement' in text for text in texts) == 1
    assert Counter(" ".join(texts).split()).most_common(1)[0][0] == "the"


def write_library(folder: Path) -> Path:
    for name in ("test", "site-packages/x", "package"):
        (folder / name).mkdir(parents=True)
        (folder / name / "module.py").write_text(f'"""Text of {name}."""')
    (folder / "a.py").write_text(
        '"""Module."""\nclass A:\n    """Class."""\n    def f(self):\n        """Method."""\n'
        'async def g():\n    """Coroutine."""\n'
        'def h():\n    x = "no docstring"\n    def inner():\n        """Module."""\n'
        '"\\d"\n'  # an escape that Python warns of
    )
    (folder / "b.py").write_text("def broken(:")
    (folder / "c.py").write_bytes(b"x = '\0'")
    (folder / "d.py").write_text("'''  '''")
    (folder / "e.py").write_bytes('# -*- coding: latin-1 -*-\n"""Caf\u00e9."""'.encode("latin-1"))
    return folder


def test_python_docs_take_what_parses_and_no_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = write_library(tmp_path / "lib")
    monkeypatch.setattr(python_docs, "_library", lambda: library)
    topics = len([document for document in PythonDocs().documents()]) - 3
    assert [d.text for d in PythonDocs().documents()][topics:] == ["Module.", "Caf\u00e9.", "Text of package."]
    everything = [document.text for document in PythonDocs("all").documents()][topics:]
    assert sorted(everything) == ["Caf\u00e9.", "Class.", "Coroutine.", "Method.", "Module.", "Text of package."]
    prints = [PythonDocs().fingerprint(), PythonDocs("all").fingerprint()]
    (library / "a.py").write_text('"""Module!!"""')
    prints.append(PythonDocs().fingerprint())
    (library / "test" / "module.py").write_text("")
    assert len(set(prints)) == 3 and PythonDocs().fingerprint() == prints[2]
    with pytest.raises(InputError, match="docstrings is none: choose modules or all"):
        PythonDocs("none")


# WordNet --------------------------------------------------------------------------------------------------------------

LICENCE = "  1 This software is provided under a license | or so.  \n  2 More of it.  \n"
NOUN_LINES = [
    "00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which is perceived  ",
    '00015388 05 n 02 animal 0 beast 0 001 @ 00004475 n 0000 | a living organism; "a wild | tame one"  ',
    "07555863 13 n 01 food 1 000 | any solid substance  ",
    "07555864 06 n 01 thing 1 000 | any solid substance  ",
]


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    folder = tmp_path / "wordnet"
    folder.mkdir()
    (folder / "data.noun").write_text(LICENCE + "\n".join(NOUN_LINES) + "\n")
    (folder / "data.verb").write_text(LICENCE + "00001740 29 v 01 breathe 0 000 01 + 02 00 | draw air  \n")
    (folder / "data.adj").write_text(LICENCE + "00003131 00 a 01 able 0 000 | having skill  \n")
    (folder / "data.adv").write_text(LICENCE + "00001837 02 r 01 cl 0 000 | about  \n")
    return folder


def test_wordnet_reads_glosses_and_labels_nouns(dictionary: Path) -> None:
    source = WordNet(root=dictionary)
    assert documents(source) == [
        Document("that which is perceived", -1),
        Document('a living organism; "a wild | tame one"', NOUNS.index("noun.animal")),
        Document("any solid substance", NOUNS.index("noun.food")),  # and not again as an artifact
        Document("draw air", -1),
        Document("having skill", -1),
        Document("about", -1),
    ]
    assert source.classes == NOUNS and len(NOUNS) == 25 and "noun.Tops" not in NOUNS
    everything = WordNet("all", dictionary)
    assert [document.label for document in everything.documents()] == [3, 5, 13, 29, 0, 2]
    assert everything.classes == LEXICOGRAPHER_FILES and len(set(LEXICOGRAPHER_FILES)) == 45
    assert everything.name != source.name and everything.fingerprint() != source.fingerprint()
    # Where the manual page of the numbers has its landmarks.
    for number, name in {0: "adj.all", 3: "noun.Tops", 18: "noun.person", 28: "noun.time", 44: "adj.ppl"}.items():
        assert LEXICOGRAPHER_FILES[number] == name


def test_wordnet_s_fingerprint_follows_the_content(dictionary: Path) -> None:
    before = WordNet(root=dictionary).fingerprint()
    os.utime(dictionary / "data.verb", (0, 0))
    assert WordNet(root=dictionary).fingerprint() == before
    (dictionary / "data.verb").write_text((dictionary / "data.verb").read_text().replace("draw", "drew"))
    assert WordNet(root=dictionary).fingerprint() != before


def test_wordnet_says_what_is_missing_or_damaged(
    dictionary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"no data\.noun in .*: give the folder"):
        WordNet(root=tmp_path)
    with pytest.raises(InputError, match="labels is verbs: choose nouns or all"):
        WordNet("verbs")
    for line in ("nonsense", "00001740 99 n 01 entity 0 000 | much", "00001740 03 n 01 entity 0 000 |  "):
        (dictionary / "data.adj").write_text(LICENCE + line)
        with pytest.raises(InputError, match=r"data\.adj is damaged in line 3: delete it"):
            documents(WordNet(root=dictionary))
    (dictionary / "data.adj").write_bytes(LICENCE.encode() + b"00001740 03 n 01 entity 0 000 | all th\xe9re is  \n")
    with pytest.raises(InputError, match=r"data\.adj is damaged in line 3: delete it"):
        documents(WordNet(root=dictionary))
    monkeypatch.setattr(wordnet, "INSTALLED", Path("/nowhere/wordnet"))
    monkeypatch.setattr(wordnet, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(shutil, "which", lambda command: None)
    with pytest.raises(InputError, match="install Debian's package wordnet-base, or set `root`") as error:
        WordNet().fingerprint()
    assert "\n" not in str(error.value)


def test_wordnet_comes_installed_or_from_the_package(
    dictionary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = documents(WordNet(root=dictionary))
    monkeypatch.setattr(wordnet, "INSTALLED", dictionary)
    assert documents(WordNet()) == expected

    def download(command: list[str], folder: str) -> None:
        if command[0] == "dpkg":
            shutil.copytree(dictionary, Path(folder) / "unpacked" / "nowhere" / "wordnet")

    monkeypatch.setattr(wordnet, "INSTALLED", Path("/nowhere/wordnet"))
    monkeypatch.setattr(wordnet, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(shutil, "which", lambda command: command)
    monkeypatch.setattr(debian, "_run", download)
    assert documents(WordNet()) == expected


@pytest.mark.slow
def test_the_real_wordnet() -> None:
    try:
        documents = list(WordNet().documents())
    except InputError:  # skipped with its reason
        pytest.skip("WordNet is neither here nor to be had")
    counts = Counter(document.label for document in documents)
    assert len(documents) == len({document.text for document in documents}) > 115_000
    assert set(counts) == set(range(-1, 25)) and sum(counts.values()) - counts[-1] > 80_000
    assert max(counts[label] for label in range(25)) == counts[NOUNS.index("noun.artifact")] > 11_000
    assert "a living organism characterized by voluntary movement" in [document.text for document in documents]


# A user's own files ---------------------------------------------------------------------------------------------------


def documents(source: TextSource) -> list[Document | BadText]:
    """What a source has, without the documents' names."""
    return [entry._replace(name="") if isinstance(entry, Document) else entry for entry in source.documents()]


def test_documents_are_called_by_file_and_place(tmp_path: Path) -> None:
    write(tmp_path / "a", x_txt="one\n\ntwo\n", b__y_txt="three")
    write(tmp_path / "b", x_jsonl='\n{"text": "x"}\n')
    sources = {"file": "a", "line": "a", "paragraph": "b"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a file beside a folder
        names = [entry.name for how, root in sources.items() for entry in TextFiles(tmp_path / root, how).documents()]
    a = str((tmp_path / "a").resolve())
    assert names == [
        f"{a}/b/y.txt", f"{a}/x.txt",
        f"document 1 of {a}/b/y.txt", f"document 1 of {a}/x.txt", f"document 2 of {a}/x.txt",
        f"line 2 of {(tmp_path / 'b').resolve()}/x.jsonl",
    ]  # fmt: skip


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def test_text_files_in_class_folders(tmp_path: Path) -> None:
    write(tmp_path, dog__b_txt="woof\r\nwoof", dog__deep__a_txt="growl", cat__a_txt="\ufeffmiaow\n", loose_txt="hm")
    write(tmp_path, dog__picture_png="no text")
    source = TextFiles(tmp_path)
    with pytest.warns(UserWarning):
        assert source.classes == ["cat", "dog"] and source.name == f"TextFiles {tmp_path.name}"
    expected = [("miaow\n", 0), ("woof\nwoof", 1), ("growl", 1), ("hm", -1)]
    with pytest.warns(UserWarning, match=r"kind \(\.png\): 1; texts beside the folders of the classes, .*: 1\.$"):
        assert documents(source) == [Document(*entry) for entry in expected]


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ("file", ["one\ntwo\n\n  \nthree\n"]),
        ("paragraph", ["one\ntwo\n", "three\n"]),
        ("line", ["one", "two", "three"]),
    ],
)
def test_a_text_file_may_hold_many_documents(tmp_path: Path, document: Any, texts: list[str]) -> None:
    write(tmp_path, a_txt="one\ntwo\n\n  \nthree\n")
    for root in (tmp_path, tmp_path / "a.txt"):
        source = TextFiles(root, document)
        assert [entry.text for entry in source.documents()] == texts and source.classes == []


def test_json_lines(tmp_path: Path) -> None:
    lines = [{"text": "a\nb", "label": "pos"}, {"text": "c", "label": "neg", "more": 1}, {"text": "d"}]
    write(tmp_path, a_jsonl="\n\n".join(map(json.dumps, lines)) + "\n")
    source = TextFiles(tmp_path)
    assert source.classes == ["neg", "pos"]
    assert documents(source) == [Document("a\nb", 1), Document("c", 0), Document("d", -1)]
    write(tmp_path, a_jsonl="\n".join(json.dumps({"text": "x", "label": label}) for label in (10, 9, 10, None)))
    assert source.classes == ["9", "10"] and [d.label for d in source.documents()] == [1, 0, 1, -1]
    write(tmp_path, a_jsonl="\n".join(json.dumps({"text": "x", "label": label}) for label in (10, "9", "10")))
    assert source.classes == ["9", "10"] and [d.label for d in source.documents()] == [1, 0, 1]


def test_the_fingerprint_of_files_follows_their_content_and_names(tmp_path: Path) -> None:
    write(tmp_path / "a", x_txt="text")
    prints = [TextFiles(tmp_path / "a").fingerprint(), TextFiles(tmp_path / "a", "line").fingerprint()]
    write(tmp_path / "a", x_txt="longer text")
    prints.append(TextFiles(tmp_path / "a").fingerprint())
    write(tmp_path / "a", x_txt="other size?")  # of the same size, but later
    os.utime(tmp_path / "a" / "x.txt", ns=(1, 1))
    prints.append(TextFiles(tmp_path / "a").fingerprint())
    (tmp_path / "a" / "x.txt").rename(tmp_path / "a" / "y.txt")
    prints.append(TextFiles(tmp_path / "a").fingerprint())
    assert len(set(prints)) == 5 and TextFiles(tmp_path / "a").fingerprint() == prints[-1]


def test_faulty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no .*nowhere: set the source's `root`"):
        TextFiles(tmp_path / "nowhere")
    with pytest.raises(InputError, match="document is word: choose file, paragraph or line"):
        TextFiles(tmp_path, "word")
    with pytest.raises(InputError, match=r"There is no \.txt, \.jsonl or \.csv file in"):
        TextFiles(tmp_path).fingerprint()
    write(tmp_path, a_txt="x")
    write(tmp_path, b_jsonl="{}")
    with pytest.raises(InputError, match=r"has both \.txt and \.jsonl files: keep one kind"):
        documents(TextFiles(tmp_path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', r"has no JSON object in line 3 \(Unterminated string\): write one"),
        ("{text: 1}", r"has no JSON object in line 3 \(Expecting property name enclosed in double quotes\): write one"),
        ('{"label": 1}', "has no text in line 3"),
        ('{"text": "x", "labels": 1}', "has `labels` in line 3: call it `label`"),
        ('{"text": 5}', r"has a number as `text` in line 3: make it one text in quotes\.$"),
        (
            '{"text": ["a"], "body": "b"}',
            "has a list as `text` in line 3: .* or set --data.source.text_column to one of body",
        ),
        ('{"text": {}}', "has an object as `text` in line 3"),
        ('["text"]', "has no text in line 3"),
        ('[{"text": "a"}]', r"has a list of objects in line 3: write one object a line, as `jq -c '\.\[\]'` does"),
        (
            '{"data": [{"text": "a"}]}',
            r"has its objects in a list called data in line 3: write .*, as `jq -c .\.\[\"data\"\]\[\].`",
        ),
        ('{"text": "x", "label": 1.5}', "in line 3 has the label 1.5: make it a word or a whole number"),
        ('{"text": "x", "label": [1]}', r"in line 3 has the label \[1\]"),
    ],
)
def test_faulty_json_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, a_jsonl=f'{{"text": "x"}}\n\n{line}\n')
    with pytest.raises(InputError, match=r"a\.jsonl " + message):
        documents(TextFiles(tmp_path))


@pytest.mark.parametrize(("first", "every"), [("[", ".[]"), ("{", ".")])
def test_json_over_several_lines_is_named_as_such(tmp_path: Path, first: str, every: str) -> None:
    objects = [{"text": "x"}, {"text": "y"}]
    write(tmp_path, a_json=json.dumps(objects if first == "[" else objects[0], indent=1))
    with pytest.raises(
        InputError, match=re.escape(f"a.json is JSON over several lines: write one object a line, as `jq -c '{every}'`")
    ):
        documents(TextFiles(tmp_path))


def test_columns_that_may_hold_classes_are_named_where_none_is_called_label(tmp_path: Path) -> None:
    write(tmp_path, a_csv="id;text;topic;tongue\n1;bread;food;en\n2;moon;sky;en\n3;sun;sky;en\n4;egg;food;en\n")
    with pytest.warns(  # values that are all different, or all the same, are no classes
        UserWarning, match=r"no column called label; where topic holds classes, set --data\.source\.label"
    ):
        assert [each.label for each in documents(TextFiles(tmp_path))] == [-1] * 4
    assert TextFiles(tmp_path, label_column="topic").classes == ["food", "sky"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_column_of_labels_that_is_asked_for_and_nowhere_there_is_an_error(tmp_path: Path, kind: str) -> None:
    text = "text,topic\nbread,food\n" if kind == "csv" else '{"text": "bread", "topic": "food"}\n'
    write(tmp_path, **{f"a_{kind}": text})
    with (
        warnings.catch_warnings(),
        pytest.raises(
            InputError, match=r"has a label under topik: set --data\.source\.label_column to one of topic, or"
        ),
    ):
        warnings.simplefilter("ignore")  # of the table, which says the same
        documents(TextFiles(tmp_path, label_column="topik"))


def test_a_text_that_is_null_is_a_bad_one_and_ends_nothing(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl='{"text": "x"}\n{"text": null, "label": "a"}\n{"text": "y", "label": "a"}\n')
    found = list(TextFiles(tmp_path).documents())
    assert [each.text for each in found if isinstance(each, Document)] == ["x", "y"]
    bad = [each for each in found if isinstance(each, BadText)]
    assert len(bad) == 1 and bad[0].name == f"line 2 of {tmp_path / 'a.jsonl'}"


def objects(*labels: Any) -> str:
    return "".join(json.dumps({"text": f"text {number}", "label": label}) + "\n" for number, label in enumerate(labels))


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ((0.0, 1.0, 0.0), ["0", "1"], [0, 1, 0]),
        ((True, False), ["False", "True"], [1, 0]),
        ((1, "0", "1"), ["0", "1"], [1, 0, 1]),
        ((1991, 1990, 1990), ["1990", "1991"], [1, 0, 0]),
        (("pos ", " neg", ""), ["neg", "pos"], [1, 0, -1]),
        ((-1, 1, -1), ["-1", "1"], [0, 1, 0]),
        ((100, 20, 3), ["3", "20", "100"], [2, 1, 0]),
    ],
)
def test_labels_are_read_as_a_person_would(
    tmp_path: Path, labels: tuple[Any, ...], classes: list[str], numbers: list[int]
) -> None:
    source = TextFiles(write(tmp_path, x_jsonl=objects(*labels)))
    assert source.classes == classes and [document.label for document in source.documents()] == numbers


def test_minus_one_among_more_labels_is_none_and_said(tmp_path: Path) -> None:
    source = TextFiles(write(tmp_path, x_jsonl=objects(-1, 0, 1, -1)))
    with pytest.warns(UserWarning, match="2 labels are -1, which is taken for no label"):
        assert [document.label for document in source.documents()] == [-1, 0, 1, -1]


def test_json_files_may_be_called_json_or_lie_in_class_folders(tmp_path: Path) -> None:
    source = TextFiles(write(tmp_path / "a", x_json=objects(1, 0)))
    assert source.classes == ["0", "1"] and [document.label for document in source.documents()] == [1, 0]
    write(tmp_path / "b", pos__x_jsonl='{"text": "good"}\n', neg__x_jsonl='{"text": "bad"}\n')
    assert documents(TextFiles(tmp_path / "b")) == [Document("bad", 0), Document("good", 1)]
    write(tmp_path / "c", pos__x_txt="good", neg__x_txt="bad", pos__about_json="{}")
    with pytest.warns(UserWarning, match=r"left out \.json files beside \.txt files: 1"):
        assert len(documents(TextFiles(tmp_path / "c"))) == 2


def test_official_parts_as_files_of_json_lines(tmp_path: Path) -> None:
    write(
        tmp_path, Train_jsonl=objects("b", "a"), dev_jsonl=objects("b"), TEST_jsonl=objects("a"), README_txt="no data"
    )
    with pytest.warns(UserWarning, match="left out texts beside the official parts: 1"):
        found = [(document.label, document.part) for document in TextFiles(tmp_path).documents()]
    assert found == [(1, "train"), (0, "train"), (1, "validation"), (0, "test")]


def test_official_parts_as_folders_of_texts(tmp_path: Path) -> None:
    """As in aclImdb, and in capitals."""
    for part in ("Train", "TEST"):
        write(tmp_path, **{f"{part}__{label}__1_txt": f"{part} {label}" for label in ("neg", "pos")})
    write(tmp_path, Train__unsup__1_TXT="more", imdb_vocab="the", Train__neg__2_feat="1")
    with pytest.warns(UserWarning, match=r"\(\.vocab\): 1"):
        found = [(document.text, document.label, document.part) for document in TextFiles(tmp_path).documents()]
    assert found == [
        ("Train neg", 0, "train"), ("Train pos", 1, "train"), ("TEST neg", 0, "test"), ("TEST pos", 1, "test"),
        ("more", -1, "unlabelled"),
    ]  # fmt: skip


def test_train_txt_is_a_part_where_its_lines_are_the_documents_or_all_files_are_parts(tmp_path: Path) -> None:
    write(tmp_path, train_txt="a\nb\n", test_txt="c\n")
    assert [document.part for document in TextFiles(tmp_path, "line").documents()] == ["train", "train", "test"]
    assert [document.part for document in TextFiles(tmp_path).documents()] == ["train", "test"]  # all are called so
    write(tmp_path, other_txt="d")
    assert [document.part for document in TextFiles(tmp_path).documents()] == ["train"] * 3


def test_text_folders_with_links_hidden_names_and_capitals(tmp_path: Path) -> None:
    write(tmp_path / "root", astro__1_TXT="moon", astro___ipynb__2_txt="hidden")
    write(tmp_path / "elsewhere", _1_txt="no", a_txt="bread")
    (tmp_path / "root" / "food").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "root")
    with pytest.warns(UserWarning, match="links that lead back to a folder above: 1"):
        found = documents(TextFiles(tmp_path / "root"))
    assert found == [Document("moon", 0), Document("bread", 1)]


def test_two_folders_of_the_same_names_sizes_and_times_are_two_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints, roots = [], []
    for who, text in (("A", "moon"), ("B", "soup")):
        write(tmp_path / who / "docs", a__1_txt=text)
        os.utime(tmp_path / who / "docs" / "a" / "1.txt", ns=(1, 1))
        monkeypatch.chdir(tmp_path / who)  # the path as it is typed is the same
        source = TextFiles("docs")
        prints.append(source.fingerprint())
        roots.append(source.root)
    assert prints[0] != prints[1] and roots == [str((tmp_path / who / "docs").resolve()) for who in "AB"]
    monkeypatch.chdir(tmp_path / "A")
    assert TextFiles("docs").fingerprint() == prints[0]


# Hugging Face ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import datasets

    datasets.disable_progress_bars()
    kinds = {"text": datasets.Value("string"), "title": datasets.Value("string"), "stars": datasets.Value("int64"),
             "mood": datasets.ClassLabel(names=["bad", "good"])}  # fmt: skip
    rows = {
        "train": [("a", "A", 1, 0), ("b", "B", 2, 1), ("", "C", 3, 1), (None, "D", 4, 1), ("e", "E", 5, None)],
        "test": [("t", "T", 1, 1)],
        "unsupervised": [("u", "U", 1, 0), ("v", "V", 2, 1)],
    }
    parts = {
        name: datasets.Dataset.from_dict(dict(zip(kinds, map(list, zip(*part, strict=True)), strict=True)),
                                         features=datasets.Features(kinds))
        for name, part in rows.items()
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("hub") / "reviews"
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    return folder


def test_hugging_face_text(saved: Path) -> None:
    source = HuggingFaceText(str(saved), test_split="test", unlabelled_split="unsupervised")
    assert source.classes == ["bad", "good"]
    expected = [("a", 0), ("b", 1), ("e", -1), ("t", 1, "test"), ("u", -1, "unlabelled"), ("v", -1, "unlabelled")]
    found = documents(source)
    assert [entry for entry in found if isinstance(entry, Document)] == [Document(*entry) for entry in expected]
    assert [entry.name for entry in found if isinstance(entry, BadText)] == [
        f"row {i} of {saved}/train" for i in (2, 3)
    ]
    some = HuggingFaceText(str(saved), text_column="title", label_column="mood", max_documents=2)
    with pytest.warns(UserWarning, match="left out the splits test, unsupervised: name those wanted in test_split"):
        assert documents(some) == [Document("A", 0), Document("B", 1)]
    assert (
        some.fingerprint()
        != source.fingerprint()
        == HuggingFaceText(str(saved), test_split="test", unlabelled_split="unsupervised").fingerprint()
    )


def test_hugging_face_streams(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load(*args: Any, **settings: Any) -> Any:
        asked.append((args, settings))
        stream = datasets.load_from_disk(str(saved))["train"].to_iterable_dataset()
        if args[0] == "someone/untyped":
            stream = datasets.IterableDataset.from_generator(lambda: iter([{"text": "x", "mood": 1}]))
        return datasets.IterableDatasetDict({"train": stream})

    monkeypatch.setattr(datasets, "load_dataset", load)
    source = HuggingFaceText("someone/reviews", "small", streaming=True, revision="v1", max_documents=2)
    assert documents(source) == [Document("a", 0), Document("b", 1)] and source.classes == ["bad", "good"]
    assert asked[0] == (("someone/reviews", "small"), {"revision": "v1", "streaming": True})
    assert documents(HuggingFaceText("someone/untyped", streaming=True)) == [Document("x")]


def test_hugging_face_mistakes_are_one_sentence(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, message in (
        ({"train_split": "training"}, "no split called training: choose from train, test, unsupervised"),
        ({"test_split": "dev"}, "no split called dev"),
        ({"text_column": "body"}, "no column body: set text_column to one of text, title, stars, mood"),
        ({"label_column": "star"}, "no column star: choose from text, title, stars, mood, or leave label_column out"),
    ):
        with pytest.raises(InputError, match=message):
            list(HuggingFaceText(str(saved), **settings).documents())
    with pytest.raises(InputError, match="max_documents is 0: it must be at least 1"):
        HuggingFaceText("x", max_documents=0)

    import datasets

    def offline(*args: Any, **settings: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(InputError, match=r"no/such could not be loaded \(ConnectionError\): check its name"):
        documents(HuggingFaceText("no/such"))
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"install ssl_zoo\[hub\]"):
        documents(HuggingFaceText("no/such"))


# All of them ----------------------------------------------------------------------------------------------------------


def test_sources_lie_in_a_checkpoint(dictionary: Path, tmp_path: Path) -> None:
    write(tmp_path / "texts", a_txt="x")
    sources: list[TextSource] = [
        PythonDocs(), WordNet(root=dictionary), TextFiles(tmp_path / "texts"), HuggingFaceText("x", max_documents=3)
    ]  # fmt: skip
    torch.save(sources, tmp_path / "x.ckpt")
    for source, again in zip(sources, torch.load(tmp_path / "x.ckpt", weights_only=True), strict=True):
        assert type(again) is type(source) and vars(again) == vars(source) and again.licence
        assert again.fingerprint() == source.fingerprint()


def test_sources_import_heavy_packages_only_when_used() -> None:
    for module in ("python_docs", "wordnet", "files", "hugging_face", "base"):
        path = Path(python_docs.__file__).with_name(f"{module}.py")
        imported = {
            name.split(".")[0]
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)])
        }
        assert "ssl_zoo" in imported or "torch" in imported
        assert not {"datasets", "transformers", "pydoc_data"} & imported
