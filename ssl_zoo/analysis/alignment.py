"""Alignment of two languages: how near to a word is its translation, among all words of the other language?"""

from typing import NamedTuple

import torch

from ssl_zoo.analysis.words import LanguageVectors
from ssl_zoo.errors import InputError
from ssl_zoo.probes.ranks import chance_of, mean_reciprocal_rank


class Alignment(NamedTuple):
    """Mean reciprocal ranks of translations, in (0, 1].

    Attributes:
        layers: mean reciprocal rank in every layer, from what enters the first one to the last.
        centred: the same after each language's mean vector is subtracted.
        chance: what ranks at random would give.
        words: how many words were looked for.
        among: among how many words of the other language.
    """

    layers: list[float]
    centred: list[float]
    chance: float
    words: int
    among: int


def align(source: LanguageVectors, target: LanguageVectors, translations: dict[str, list[str]]) -> Alignment:
    """How well words are translated by the nearest vector of another language, layer by layer.

    The alignment score of C.-L. Liu, T.-Y. Hsu, Y.-S. Chuang and H.-Y. Lee, 2020, arXiv:2010.10938: the mean over words
    of 1 / the rank of the translation, by cosine similarity, of vectors averaged over all places where a word stands.
    Of several translations the nearest counts. A word that both languages write alike is left out, on either side: its
    tokens are the same, which is no translation. Centred vectors have their language's mean over all tokens subtracted,
    as J. Libovický, R. Rosa and A. Fraser do, 2020, arXiv:2004.05160.

    Args:
        source: vectors of the words that are translated.
        target: vectors of the words that are looked through, all of which count.
        translations: words of the other language by word.

    Raises:
        InputError: none of the words occurs together with a translation.
    """
    shared = set(source.words) & set(target.words)
    candidates = [word for word in target.words if word not in shared]
    numbers = {word: number for number, word in enumerate(candidates)}
    answers = {
        word: [numbers[each] for each in translations.get(word, []) if each in numbers]
        for word in source.words
        if word not in shared
    }
    asked = [word for word, right in answers.items() if right]
    if not asked:
        raise InputError("No word occurs in one language and its translation in the other: give more text, or words.")
    right = torch.zeros(len(asked), len(candidates), dtype=torch.bool)
    for row, word in enumerate(asked):
        right[row, answers[word]] = True
    words, others = source.of(asked), target.of(candidates)
    centred = words - source.means[:, None], others - target.means[:, None]
    return Alignment(
        [mean_reciprocal_rank(*vectors, right) for vectors in zip(words, others, strict=True)],
        [mean_reciprocal_rank(*vectors, right) for vectors in zip(*centred, strict=True)],
        chance_of(right),
        len(asked),
        len(candidates),
    )
