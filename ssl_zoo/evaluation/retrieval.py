"""Retrieval across styles: of all test examples in one style, is its partner the nearest to an example in another?"""

from itertools import permutations

import torch
from torch import Tensor

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.data.representations import Representation
from ssl_zoo.probes.features import extract
from ssl_zoo.probes.ranks import chance_of, ranks
from ssl_zoo.runs.results import CHANCE, Retrieval, Retrievals
from ssl_zoo.whereabouts import whereabouts

FIVE = 5


def retrievals(encoders: dict[str, Representation], data: DataModule, device: torch.device) -> Retrievals:
    """How well partners are found among test examples, by encoders, by the data's baselines and by chance.

    Args:
        encoders: encoders by row, the run's own first.
        data: set up.
        device: the device to compute on.
    """
    pairs = data.test_pairs()
    if pairs is None:
        return {}
    baselines = {row: each for row, each in data.baselines().items() if isinstance(each, Representation)}
    vectors = {}
    for row, representation in {**encoders, **baselines}.items():
        with whereabouts.during(f"retrieval by {row}"):
            vectors[row] = _vectors(representation, data, device)
    return retrieve(vectors, pairs)


def retrieve(vectors: dict[str, Tensor], pairs: Pairs) -> Retrievals:
    """How well partners are found, from every style to every other that it has some in, by direction and by row.

    An example that has a partner is asked about, and all examples of the partner's style are answers, whether they have
    partners or not. They are ranked by cosine similarity, each style's mean vector subtracted first: all features of a
    network point nearly the same way before, and a style is a direction that has nothing to do with what is shown. A
    tie counts against the partner.

    Args:
        vectors: ``(N, D)`` by row, of N examples.
        pairs: partners among them.
    """
    found: Retrievals = {}
    for source, target in permutations(range(len(pairs.names)), 2):
        asked = ((pairs.styles == source) & (pairs.styles[pairs.partners] == target)).nonzero()[:, 0]
        answers = (pairs.styles == target).nonzero()[:, 0]
        if len(asked) == 0:
            continue
        right = pairs.partners[asked, None] == answers
        by_row = {}
        for row, each in vectors.items():
            of_source, of_target = (each[pairs.styles == style].mean(0) for style in (source, target))
            rank = ranks(each[asked] - of_source, each[answers] - of_target, right)
            first, among_five = (float((rank <= most).double().mean()) for most in (1, FIVE))
            by_row[row] = Retrieval(first, among_five, float((1 / rank).double().mean()), *right.shape)
        first, among_five = (min(1.0, most / len(answers)) for most in (1, FIVE))
        by_row[CHANCE] = Retrieval(first, among_five, chance_of(right), *right.shape)
        found[f"{pairs.names[source]} to {pairs.names[target]}"] = by_row
    return found


def _vectors(representation: Representation, data: DataModule, device: torch.device) -> Tensor:
    found = extract(lambda batch: representation.extract(batch, False).pooled, data.test_set, device)
    return found.vectors.cpu()
