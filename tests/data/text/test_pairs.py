from pathlib import Path

import pytest
import torch

from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.base import BadText, Document
from ssl_zoo.data.text.sources.debian_handbook import INSIDE, TEST, VALIDATION, TranslatedHandbook, _part
from ssl_zoo.data.text.sources.pairs import Pair, PairSource, ParallelTexts
from ssl_zoo.errors import InputError

NUMBERS = "null eins zwei drei vier".split(), "zero one two three four".split()


class Counting(PairSource):
    """Numbers in two languages, written out."""

    name = "Counting"
    licence = "none"

    def __init__(self, count: int = 60, longest: int = 4) -> None:
        self.count, self.longest = count, longest

    def fingerprint(self) -> str:
        return f"{self.count} {self.longest}"

    def pairs(self):
        for number in range(self.count):
            if number == 7:
                yield BadText("seven", "has nothing in it that can be seen")
            digits = [number % 5, number * 7 % 5, number // 5 % 5, number // 25 % 5][: 2 + number % self.longest]
            one, two = (" ".join(words[digit] for digit in digits) for words in NUMBERS)
            yield Pair(one, f"{two}.")


def ready(source: PairSource, **settings) -> TextData:
    data = TextData(source, **{"vocab_size": 200, "length": 16, "packing": False, "batch_size": 4, **settings})
    with pytest.warns(UserWarning, match=r"left out 1 text|are exact copies"):
        data.setup()
    return data


def decoded(data: TextData, ids: torch.Tensor, mask: torch.Tensor | None) -> list[str]:
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    return [data.decode(row[keep]) for row, keep in zip(ids, real, strict=True)]


def translated(text: str) -> str:
    return " ".join(NUMBERS[1][NUMBERS[0].index(word)] for word in text.split())


def test_every_example_is_a_text_beside_its_own_translation_whatever_the_part_and_the_order():
    data, special = ready(Counting()), None
    seen = []
    for part in (data.train_set, data.validation_set, data.test_set):
        order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0)).tolist()
        batch = part.__getitems__(order)
        target, real = batch.field("target", "test"), batch.field("target_mask", "test")
        assert target.shape == real.shape and real.dtype == torch.bool and batch.labels is None
        for text, other in zip(decoded(data, batch.inputs, batch.mask), decoded(data, target, real), strict=True):
            assert other.rstrip(" .") == translated(text)
        special = data.vocabulary
        ends = target.gather(1, real.sum(1, keepdim=True) - 1)
        assert (target[:, 0] == special["begin"]).all() and (ends == special["end"]).all()
        assert (target[~real] == special["pad"]).all()
        assert torch.equal(batch.index, part.positions[order]) and (batch.index % 2 == 0).all()
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(0, 120, 2))  # pairs are split as wholes
    assert data.classes == [] and data.pretrain_set.positions.tolist() == data.train_set.positions.tolist()


def test_one_tokenizer_learns_from_both_texts_of_training_pairs():
    words = set(ready(Counting()).spelling)
    assert {"drei", "three"} <= words


def test_a_part_of_the_pairs_and_only_short_ones():
    data = ready(Counting(), train_size=10)
    assert len(data.train_set) == 10 and (data.train_set.positions % 2 == 0).all()
    with pytest.warns(UserWarning, match=r"left out \d+ of 60 pairs, of which a text has more than 6 tokens"):
        whole, short = ready(Counting()), ready(Counting(), length=6)
    assert 0 < len(short.train_set) < len(whole.train_set) and short.split_hash != whole.split_hash
    for part in (short.train_set, short.test_set):
        batch = part.__getitems__(list(range(len(part))))
        assert batch.field("target", "test").shape[1] <= 6
        ends = batch.inputs.gather(1, part.lengths[:, None] - 1)
        assert (ends == short.vocabulary["end"]).all()  # none is cut
    with pytest.raises(InputError, match=r"no pair of texts of at most 3 tokens in one of its parts"):
        ready(Counting(), length=3)


def test_pairs_are_not_packed():
    with pytest.raises(InputError, match=r"Counting has pairs of texts, .* set data\.packing to false"):
        TextData(Counting())


def test_a_file_of_pairs(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_text("\ufeffeins\tone\nzwei\ttwo\tsomebody\n\n\tnothing\ndrei \t three\n", encoding="utf-8")
    source = ParallelTexts(path)
    blank = next(each for each in source.pairs() if isinstance(each, BadText))
    assert [(each.source, each.target) for each in source.pairs() if isinstance(each, Pair)] == [
        ("eins", "one"), ("zwei", "two"), ("drei ", " three"),
    ]  # fmt: skip
    assert blank.name.startswith("line 4 of") and source.name == "pairs"
    before = source.fingerprint()
    path.write_text("eins one\nzwei\ttwo\n")
    assert source.fingerprint() != before
    assert list(source.pairs()) == [
        BadText(f"line 1 of {path}", "has no tab between a text and its translation"),
        Pair("zwei", "two", name=f"line 2 of {path}"),
    ]
    path.write_text("eins\tone\n", encoding="utf-16")
    assert [each.reason for each in source.documents()] == ["is UTF-16 or UTF-32 and not UTF-8"]
    with pytest.raises(InputError, match="There is no file"):
        ParallelTexts(tmp_path / "nothing.tsv")


def test_pasted_files_with_the_line_ends_and_marks_of_windows(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes("\ufeffone\r\t\ufeffuno\r\ntwo\r\tdos\r\n".encode())  # what `paste` makes of them
    assert list(ParallelTexts(path).pairs()) == [
        Pair("one", "uno", name=f"line 1 of {path}"),
        Pair("two", "dos", name=f"line 2 of {path}"),
    ]
    path.write_bytes(b"one\tuno\r\ttres\rtwo\tdos")  # of a computer that ends lines with a carriage return alone
    first, second, third = ParallelTexts(path).pairs()
    assert (first, third) == (
        Pair("one", "uno", name=f"line 1 of {path}"),
        Pair("two", "dos", name=f"line 3 of {path}"),
    )
    assert isinstance(second, BadText) and second.name == f"line 2 of {path}"


def test_pairs_in_another_encoding_are_left_out_and_named(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    lines = [f"{number} é\t{number} è" for number in range(60)]
    path.write_bytes(b"".join(f"{line}\n".encode("latin-1" if line[:1] == "7" else "utf-8") for line in lines))
    source = ParallelTexts(path)
    assert [f"{each.source}\t{each.target}" for each in source.pairs() if isinstance(each, Pair)] == [
        line for line in lines if line[:1] != "7"
    ]
    settings = {"vocab_size": 200, "length": 16, "packing": False}
    data = TextData(source, **settings)
    with pytest.warns(UserWarning, match=r"left out 1 text, which is not UTF-8: line 8 of .*pairs\.tsv\. .*iconv"):
        data.setup()
    assert sum(map(len, data.parts().values())) == 59
    with pytest.raises(InputError, match=r"line 8 of .*pairs\.tsv is not UTF-8: mend or remove it"):
        TextData(source, **settings, on_error="stop").setup()


PAGES = {  # the part follows from the name
    part: next(f"{number}.html" for number in range(99) if _part(f"{number}.html") == part)
    for part in ("train", "validation", "test")
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Two languages; a page that is cut short, a paragraph as it was, one nearly so, and one on two pages."""
    texts = {
        "train": [("The kernel.", "Le noyau."), ("apt install", "apt install"), ("Note this.", "Notez ceci.")],
        "validation": [("A disk is full.", "Un disque est plein."), ("Colour of the wall", "Color of the wall")],
        "test": [("Note this.", "Notez bien."), ("Read on.", "Lisez donc."), ("Stop.", "Notez ceci.")],
    }
    pages = {PAGES[part]: pairs for part, pairs in texts.items()}
    pages["index.html"] = [("Short page here.", "Une page courte.")]
    for number, language in enumerate(("en-US", "fr-FR")):
        folder = tmp_path / INSIDE / language
        folder.mkdir(parents=True)
        for name, pairs in pages.items():
            shown = [pair[number] for pair in pairs] + (["More."] if (name, number) == ("index.html", 1) else [])
            text = "".join(f'<div class="para">{each}</div>' for each in shown)
            (folder / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_paragraphs_of_the_handbook_stand_beside_their_translations(book: Path):
    source = TranslatedHandbook(["fr-FR"], root=book)
    assert {(each.source, each.target, each.part) for each in source.pairs()} == {
        ("Le noyau.", "The kernel.", "train"),
        ("Notez ceci.", "Note this.", "train"),
        ("Un disque est plein.", "A disk is full.", "validation"),
        ("Lisez donc.", "Read on.", "test"),  # the others on this page have a text in common with training
    }
    name = f"fr-FR/{PAGES['test']}, paragraph 2"
    assert name in {each.name for each in source.pairs()}
    documents = list(source.documents())
    assert len(documents) == 8 and documents[0].part == documents[1].part
    assert all(isinstance(each, Document) and each.label == -1 for each in documents)
    turned = TranslatedHandbook(["en-US"], "fr-FR", book)
    assert {(each.target, each.source) for each in turned.pairs()} == {
        (each.source, each.target) for each in source.pairs()
    }
    assert source.fingerprint() != turned.fingerprint()
    with pytest.raises(InputError, match="name languages, each once"):
        TranslatedHandbook(["fr-FR", "fr-FR"], root=book)
    with pytest.raises(InputError, match=r"languages has xx, but .* has en-US, fr-FR"):
        TranslatedHandbook(["xx"], root=book)


def test_pages_fall_into_parts_by_their_share():
    parts = [_part(f"{number}.html") for number in range(20000)]
    assert parts.count("test") / 20000 == pytest.approx(TEST, abs=0.01)
    assert parts.count("validation") / 20000 == pytest.approx(VALIDATION, abs=0.01)


@pytest.mark.slow  # fetches 34 MB
def test_no_text_of_the_package_is_in_two_parts_in_any_language():
    pairs = list(TranslatedHandbook(["de-DE", "fr-FR", "it-IT"]).pairs())
    assert len(pairs) > 6000
    parts: dict[str, set[str]] = {}
    for pair in pairs:
        for text in (pair.source, pair.target):
            parts.setdefault(text, set()).add(pair.part)
    assert all(len(each) == 1 for each in parts.values())
    assert {pair.part for pair in pairs} == {"train", "validation", "test"}
