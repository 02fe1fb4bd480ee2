"""The baseline of every text encoder: logistic regression on tf-idf weights, which knows words but not their order."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssl_zoo.data.examples import Examples
from ssl_zoo.probes.accuracy import Prediction
from ssl_zoo.probes.cross_validation import (
    FIXED_PENALTY,
    FOLDS,
    PENALTIES,
    assign_folds,
    choose_by_held_out_loss,
)
from ssl_zoo.probes.features import batches
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
        examples: examples with labels.
        vocabulary: vocabulary of the tokenizer that made their ids.
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
    length one. The penalty is chosen as that of the linear probe.

    Args:
        train: labelled texts.
        test: examples to be classified.
        validation: texts whose accuracy chooses the penalty; None lets nothing beyond the labelled texts choose.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    weigh = TfidfTransformer(sublinear_tf=True).fit(train.counts)
    # What no training text has would get no weight: few texts have few tokens, and are fitted as fast.
    seen = train.counts.getnnz(axis=0).nonzero()[0]

    def weights(part: WordCounts) -> Any:
        return weigh.transform(part.counts)[:, seen]

    known, labels, wanted = weights(train), train.labels.numpy(), weights(test)
    if validation is None:
        penalty = _choose_within(known, train.labels)
        classifier = _fit(_classifier(), known, labels, penalty)
        return Prediction(torch.from_numpy(classifier.predict(wanted)), {"penalty": penalty})
    held, classifier, best, prediction = weights(validation), _classifier(), -1, None
    for penalty in PENALTIES:
        _fit(classifier, known, labels, penalty)
        right = int((classifier.predict(held) == validation.labels.numpy()).sum())
        if right > best:
            best, prediction = right, Prediction(torch.from_numpy(classifier.predict(wanted)), {"penalty": penalty})
    assert prediction is not None, "some penalty is better than none"
    return prediction


def _choose_within(known: Any, labels: Tensor) -> float:
    """The linear probe's choice within labelled examples, of weights ``(N, V)`` and ``(N,)`` int64 labels."""
    from sklearn.metrics import log_loss

    fold = assign_folds(labels)
    if fold is None:
        return FIXED_PENALTY / len(labels)
    kept, target = [(fold != one).numpy() for one in range(FOLDS)], labels.numpy()
    classifiers = [_classifier() for _ in kept]

    def held_out_loss(penalty: float) -> float:
        losses = []
        for part, classifier in zip(kept, classifiers, strict=True):
            _fit(classifier, known[part], target[part], penalty)
            # A class of few examples may have all of them in the part held out, of which the classifier knows nothing.
            asked = ~part & np.isin(target, classifier.classes_)
            chances = classifier.predict_proba(known[asked])
            losses.append(log_loss(target[asked], chances, normalize=False, labels=classifier.classes_))
        return sum(losses)

    return choose_by_held_out_loss(held_out_loss)


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    # A hundred iterations are the linear probe's limit, too; each fit starts from the last.
    return LogisticRegression(warm_start=True, max_iter=100)


def _fit(classifier: Any, known: Any, labels: np.ndarray, penalty: float) -> Any:
    """The same classifier, fitted with a penalty against the mean cross entropy."""
    from sklearn.exceptions import ConvergenceWarning

    classifier.C = 1 / (penalty * len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the limit of iterations is meant
        # With one label per class there are as many classes as examples, which scikit-learn takes for a regression.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)  # it is none
        return classifier.fit(known, labels)
