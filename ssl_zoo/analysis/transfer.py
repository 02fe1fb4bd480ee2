"""Zero-shot transfer: a classifier fitted on the texts of one language predicts those of others."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.splits import PARTS, Part
from ssl_zoo.data.text.sources.base import UNLABELLED
from ssl_zoo.data.text.sources.handbook_places import Paragraph
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.bag_of_words import WordCounts, classify_words
from ssl_zoo.probes.accuracy import accuracy
from ssl_zoo.probes.linear import LinearProbe, fit_linear


class Transfer(NamedTuple):
    """Accuracies in [0, 1] on the test texts of one language.

    Attributes:
        zero_shot: the linear probe that was fitted on the source language.
        centred: the same probe where the mean vector of a language's training texts is subtracted from its vectors.
        within: a linear probe that was fitted on the language itself.
        words: logistic regression on tf-idf weights of tokens that was fitted on the source language.
        words_within: logistic regression on them that was fitted on the language itself.
        majority: always predicting the source language's largest class.
        tests: number of test texts.
    """

    zero_shot: float
    centred: float
    within: float
    words: float
    words_within: float
    majority: float
    tests: int


class _Set(NamedTuple):
    """Texts of one language and one part: their vectors ``(N, D)``, centred ones, ``(N,)`` labels, counts of tokens."""

    vectors: Tensor
    centred: Tensor
    labels: Tensor
    counts: WordCounts


def transfer(
    embed: Callable[[list[str]], np.ndarray],
    tokens: Tokens,
    paragraphs: Sequence[Paragraph],
    languages: list[str],
    source: int = 0,
) -> dict[str, Transfer]:
    """How well the chapter of a paragraph is predicted in languages without any labels.

    All choose their penalty by the validation paragraphs of the language they are fitted on.

    Args:
        embed: gives ``(N, D)`` vectors of texts; `Run.embed`, say.
        tokens: tokenizer whose tokens are counted.
        paragraphs: what `DebianHandbook.paragraphs` gives with `together`, so that no translation of a test paragraph
            is in training; those outside of chapters are left out.
        languages: names of the languages by number.
        source: number of the language that has labels.

    Raises:
        InputError: a paragraph and a translation of it are in different parts, or a part of a language is empty.
    """
    _require_together(paragraphs)
    sets = {
        (language, part): _read(embed, tokens, paragraphs, language, part)
        for language in range(len(languages))
        for part in PARTS[:3]
    }
    for (language, part), each in sets.items():
        if not len(each.labels):
            raise InputError(f"{languages[language]} has no {part} paragraphs in chapters: give more of the book.")
    for language in range(len(languages)):
        mean = sets[language, "train"].vectors.mean(0)
        for part in PARTS[:3]:
            each = sets[language, part]
            sets[language, part] = each._replace(centred=each.vectors - mean)
    classes = 1 + max(int(each.labels.max()) for each in sets.values())
    largest = sets[source, "train"].labels.bincount().argmax()
    plain, centred = _fit(sets, source, classes), _fit(sets, source, classes, centred=True)
    # One fit predicts the texts of all languages.
    tests = [sets[language, "test"] for language in range(len(languages))]
    asked = _join([test.counts for test in tests])
    known, chosen = sets[source, "train"].counts, sets[source, "validation"].counts
    predicted = classify_words(known, asked, chosen).classes.split([len(test.labels) for test in tests])
    found = {}
    for language, (name, test, from_words) in enumerate(zip(languages, tests, predicted, strict=True)):
        known, chosen = sets[language, "train"].counts, sets[language, "validation"].counts
        found[name] = Transfer(
            accuracy(plain.predict(test.vectors), test.labels),
            accuracy(centred.predict(test.centred), test.labels),
            accuracy(_fit(sets, language, classes).predict(test.vectors), test.labels),
            accuracy(from_words, test.labels),
            accuracy(classify_words(known, test.counts, chosen).classes, test.labels),
            accuracy(largest.expand_as(test.labels), test.labels),
            len(test.labels),
        )
    return found


def _join(counts: list[WordCounts]) -> WordCounts:
    from scipy.sparse import vstack

    return WordCounts(vstack([each.counts for each in counts], "csr"), torch.cat([each.labels for each in counts]))


def _fit(sets: dict[tuple[int, Part], _Set], language: int, classes: int, centred: bool = False) -> LinearProbe:
    """The linear probe of one language, with the penalty that its validation texts choose."""
    train, validation = sets[language, "train"], sets[language, "validation"]
    if centred:
        chosen = (validation.centred, validation.labels)
        return fit_linear(train.centred, train.labels, classes, chosen)[0]
    return fit_linear(train.vectors, train.labels, classes, (validation.vectors, validation.labels))[0]


def _read(
    embed: Callable[[list[str]], np.ndarray], tokens: Tokens, paragraphs: Sequence[Paragraph], language: int, part: Part
) -> _Set:
    """The paragraphs of one language and one part that stand in chapters."""
    some = [
        each for each in paragraphs if (each.language, each.part) == (language, part) and each.chapter != UNLABELLED
    ]
    labels = torch.tensor([each.chapter for each in some], dtype=torch.int64)
    texts = [each.text for each in some]
    vectors = torch.from_numpy(embed(texts)) if texts else torch.empty(0, 1)
    return _Set(vectors, vectors, labels, WordCounts(_count(texts, tokens), labels))


def _count(texts: list[str], tokens: Tokens) -> Any:
    """How often each token occurs in each text, ``(N, V)`` of SciPy's; what is cut off for an encoder counts, too."""
    from scipy.sparse import csr_matrix

    ids, lengths = tokens.tokenizer.encode(texts)
    rows = np.repeat(np.arange(len(texts)), lengths)
    kept = ~np.isin(ids, list(tokens.tokenizer.special_ids))
    return csr_matrix((np.ones(kept.sum()), (rows[kept], ids[kept])), (len(texts), tokens.tokenizer.size))


def _require_together(paragraphs: Sequence[Paragraph]) -> None:
    parts: dict[tuple[str, int], Part] = {}
    for each in paragraphs:
        if parts.setdefault((each.page, each.number), each.part) != each.part:
            raise InputError(
                f"Paragraph {each.number} of {each.page} is in the {each.part} part and a translation of it is not: "
                "read the handbook with `together`."
            )
