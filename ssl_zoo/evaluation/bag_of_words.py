"""The floor under every text encoder: logistic regression on tf-idf weights, which knows words but not their order."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.base import Examples
from ssl_zoo.probes.accuracy import Prediction
from ssl_zoo.probes.features import batches
from ssl_zoo.probes.linear import FIXED_PENALTY, PENALTIES
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
    assert examples.labels is not None, "the baseline is a classifier"
    return WordCounts(csr_matrix((np.ones(len(row)), (row, column)), (first, vocabulary["size"])), examples.labels)


def classify_words(train: WordCounts, test: WordCounts, validation: WordCounts | None = None) -> Prediction:
    """Predicts the classes of the test texts by scikit-learn's logistic regression on tf-idf weights.

    The weights are (1 + log count) times the inverse document frequency over the training texts, and every text has
    length one.

    Args:
        train: labelled texts.
        test: to be classified.
        validation: choose the penalty as in the linear probe; None lets nothing choose and takes the linear probe's
            fixed one.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    weigh = TfidfTransformer(sublinear_tf=True).fit(train.counts)
    # What no training text has would get no weight: few texts have few tokens, and are fitted as fast.
    seen = train.counts.getnnz(axis=0).nonzero()[0]

    def weights(part: WordCounts) -> Any:
        return weigh.transform(part.counts)[:, seen]

    known, wanted, best, prediction = weights(train), weights(test), -1, None
    penalties = (FIXED_PENALTY / len(train.labels),) if validation is None else sorted(PENALTIES, reverse=True)
    held, right = (None, 0) if validation is None else (weights(validation), 0)
    classifier = LogisticRegression(warm_start=True, max_iter=100)
    for penalty in penalties:
        classifier.C = 1 / (penalty * len(train.labels))
        with warnings.catch_warnings():
            # A hundred iterations are the linear probe's limit, too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # With one label per class there are as many classes as examples, and no regression is meant.
            warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
            classifier.fit(known, train.labels.numpy())
        if validation is not None:
            right = int((classifier.predict(held) == validation.labels.numpy()).sum())
        if right > best:
            best, prediction = right, Prediction(torch.from_numpy(classifier.predict(wanted)), {"penalty": penalty})
    assert prediction is not None, "no penalty to choose from"
    return prediction
