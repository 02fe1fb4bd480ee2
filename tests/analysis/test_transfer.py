import numpy as np
import pytest

from ssl_zoo.analysis.transfer import transfer
from ssl_zoo.data.text.sources.handbook_places import Paragraph
from ssl_zoo.errors import InputError
from tests.analysis.planted import ENGLISH, GERMAN, planted_tokens

PARTS = ["train"] * 7 + ["validation"] + ["test"] * 2


def book() -> list[Paragraph]:
    """Two chapters in two languages, each with words of its own; place by place the same."""
    found = []
    for language, words in enumerate((ENGLISH, GERMAN)):
        for number in range(60):
            chapter = number % 2
            text = f"{words[4 * chapter + number % 4]} {words[4 * chapter + (number + 1) % 4]}"
            found.append(Paragraph(text, language, chapter, "page.html", number + 1, PARTS[number // 2 % 10]))
    return [*found, found[0]._replace(text="preface", chapter=-1, page="preface.html")]


def embed(texts: list[str]) -> np.ndarray:
    """The chapter in the first number, and far away from it the language, which tilts what a classifier sees."""
    rows = []
    for text in texts:
        language = int(text.split()[0] in GERMAN)
        words = GERMAN if language else ENGLISH
        chapter = words.index(text.split()[0]) // 4
        rows.append([chapter + 20 * language, 20.0 * language, 0.1 * len(text)])
    return np.array(rows, dtype=np.float32)


def test_a_probe_of_one_language_is_evaluated_on_the_others_beside_words_and_the_language_itself():
    found = transfer(embed, planted_tokens(), book(), ["en", "de"])
    assert list(found) == ["en", "de"] and found["de"].tests == 12
    english, german = found["en"], found["de"]
    assert english.zero_shot == english.within == english.centred == 1
    assert german.zero_shot == 0.5 and german.centred == german.within == 1
    assert english.words == 1 and german.words_within == 1 and german.words == 0.5
    assert german.majority == 0.5


def test_translations_in_other_parts_are_refused():
    leaky = [each._replace(part="train") if each.language else each for each in book()]
    with pytest.raises(InputError, match="read the handbook with `together`"):
        transfer(embed, planted_tokens(), leaky, ["en", "de"])


def test_a_language_without_paragraphs_of_a_part_is_named():
    with pytest.raises(InputError, match="fr has no train paragraphs in chapters"):
        transfer(embed, planted_tokens(), book(), ["en", "de", "fr"])
