"""How good answers are."""

import re
import string
from collections import Counter

Entity = tuple[str, int, int]


def accuracy(predicted: list[list[int]], wanted: list[list[int]]) -> float:
    """The part of all answers, over all examples together, that are right."""
    pairs = [pair for a, b in zip(predicted, wanted, strict=True) for pair in zip(a, b, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def entity_f1(predicted: list[list[str]], wanted: list[list[str]]) -> float:
    """The harmonic mean of precision and recall of entities, over all sentences together.

    As in the shared task of CoNLL (Tjong Kim Sang and De Meulder, 2003, arXiv:cs/0306050): an entity counts when its
    kind, its first and its last word are right. 0 when there is nothing right.

    Args:
        predicted: tags of every sentence.
        wanted: right tags of every sentence, as many.
    """
    found, true = (
        {(number, *entity) for number, tags in enumerate(sentences) for entity in entities(tags)}
        for sentences in (predicted, wanted)
    )
    return 2 * len(found & true) / max(1, len(found) + len(true))


def entities(tags: list[str]) -> set[Entity]:
    """Kind, first word and last word of all entities in a sentence.

    `B-kind` begins one, `I-kind` goes on with one of that kind or, when there is none, begins it, and `O` is outside of
    all. Any other tag, such as `NOUN`, is an entity of one word.
    """
    found: list[Entity] = []
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        continues = prefix == "I" and found and found[-1][0] == kind and found[-1][2] == place - 1
        if continues:
            found[-1] = (kind, found[-1][1], place)
        elif tag != "O":
            found.append((kind if prefix in ("B", "I") else tag, place, place))
    return set(found)


def exact_match(predicted: list[str], wanted: list[str]) -> float:
    """The part of answers that are the wanted ones.

    As in SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250, section 6.1), case, punctuation and English articles do not
    count.
    """
    return sum(_words(a) == _words(b) for a, b in zip(predicted, wanted, strict=True)) / len(wanted)


def overlap_f1(predicted: list[str], wanted: list[str]) -> float:
    """The mean over answers of the F1 between their words and those of the wanted answer, as in SQuAD.

    Words are counted without their order; case, punctuation and English articles do not count. Where either answer has
    no words left, the F1 is 1 if both have none and 0 otherwise.
    """
    return sum(map(_overlap, map(_words, predicted), map(_words, wanted))) / len(wanted)


def _overlap(predicted: list[str], wanted: list[str]) -> float:
    if not predicted or not wanted:
        return float(predicted == wanted)
    shared = (Counter(predicted) & Counter(wanted)).total()
    return 2 * shared / (len(predicted) + len(wanted))


def _words(answer: str) -> list[str]:
    plain = answer.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()
