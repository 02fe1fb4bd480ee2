"""The floor under every text encoder: logistic regression on tf-idf weights, which knows words but not their order."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.base import Examples
from ssl_zoo.evaluation.features import batches
from ssl_zoo.evaluation.linear import PENALTIES
from ssl_zoo.vocabulary import Vocabulary


class WordCounts(NamedTuple):
    """How often each token occurs in each text.

    Attributes:
        counts: ``(N, V)`` SciPy CSR matrix.
        labels: ``(N,)`` int64.
    """

    counts: Any
    labels: Tensor

    def choose(self, positions: Tensor) -> "WordCounts":
        """The texts at these positions."""
        return WordCounts(self.counts[positions.numpy()], self.labels[positions])


def count_words(examples: Examples, vocabulary: Vocabulary) -> WordCounts:
    """Counts the tokens of labelled texts; padding and other special tokens do not count.

    Args:
        examples: with labels.
        vocabulary: of the tokenizer that made their ids.
    """
    from scipy.sparse import csr_matrix

    rows, columns, first = [], [], 0
    for batch in batches(examples):
        kept = ~np.isin(batch.inputs.numpy(), vocabulary["special"])
        if batch.mask is not None:
            kept &= batch.mask.bool().numpy()
        rows.append(kept.nonzero()[0] + first)
        columns.append(batch.inputs.numpy()[kept])
        first += len(kept)
    row, column = np.concatenate(rows), np.concatenate(columns)
    assert examples.labels is not None, "the floor is a classifier"
    return WordCounts(csr_matrix((np.ones(len(row)), (row, column)), (first, vocabulary["size"])), examples.labels)


def classify_words(train: WordCounts, validation: WordCounts, test: WordCounts) -> Tensor:
    """Classes ``(N,)`` int64 of the test texts, by scikit-learn's logistic regression on tf-idf weights.

    The weights are (1 + log count) times the inverse document frequency over the training texts, and every text has
    length one. The penalties tried, and how one is chosen on validation data, are the linear probe's.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    weigh = TfidfTransformer(sublinear_tf=True).fit(train.counts)
    # What no training text has would get no weight: few texts have few tokens, and are fitted as fast.
    seen = train.counts.getnnz(axis=0).nonzero()[0]
    known, held, wanted = (weigh.transform(part.counts)[:, seen] for part in (train, validation, test))
    best, predicted = -1.0, np.empty(0)
    classifier = LogisticRegression(warm_start=True, max_iter=100)
    for penalty in sorted(PENALTIES, reverse=True):
        classifier.C = 1 / (penalty * len(train.labels))
        with warnings.catch_warnings():
            # A hundred iterations are the linear probe's limit, too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(known, train.labels.numpy())
        accuracy = float((classifier.predict(held) == validation.labels.numpy()).mean())
        if accuracy > best:
            best, predicted = accuracy, classifier.predict(wanted)
    return torch.from_numpy(predicted)
