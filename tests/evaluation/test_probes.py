import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ssl_zoo.evaluation.knn import knn_predict
from ssl_zoo.evaluation.linear import PENALTIES, fit_linear, logistic_regression


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)


def test_logistic_regression_finds_scikit_learns_optimum():
    features, labels = digits()
    features, labels = features[:600] - features[:600].mean(0), labels[:600]
    penalty = 1e-2
    weight, bias = logistic_regression(features, labels, penalty, torch.zeros(10, 64), torch.zeros(10))
    reference = LogisticRegression(C=1 / (penalty * 600), tol=1e-10, max_iter=10_000).fit(features.double(), labels)
    np.testing.assert_allclose(weight, reference.coef_, atol=0.01 * np.abs(reference.coef_).max())
    assert np.mean((features @ weight.T + bias).argmax(1).numpy() == reference.predict(features)) > 0.998


def test_the_linear_probe_takes_the_penalty_that_is_best_on_validation_data():
    features, labels = digits()
    train, validation = slice(0, 30), slice(500, 1000)
    probe = fit_linear(features[train], labels[train], (features[validation], labels[validation]), 10)
    accuracies = []
    for penalty in PENALTIES:
        alone = fit_linear(features[train], labels[train], (features[validation], labels[validation]), 10, (penalty,))
        accuracies.append(float((alone.predict(features[validation]) == labels[validation]).float().mean()))
    chosen = float((probe.predict(features[validation]) == labels[validation]).float().mean())
    assert chosen >= max(accuracies) - 0.005 and max(accuracies) > min(accuracies)


def test_scaling_and_shifting_all_features_changes_nothing():
    features, labels = digits()
    # In powers of two all of it is free of rounding, so that weak penalties cannot make more of a last digit.
    train, rest = slice(0, 256), slice(256, 600)
    validation, test = (features[rest], labels[rest]), features[600:]
    plain = fit_linear(features[train], labels[train], validation, 10).predict(test)
    moved = fit_linear(features[train] * 128 + 8, labels[train], (validation[0] * 128 + 8, validation[1]), 10).predict(
        test * 128 + 8
    )
    assert torch.equal(plain, moved)


def test_knn_equals_a_weighted_vote_in_plain_loops():
    generator = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(40, 6, generator=generator), torch.randn(15, 6, generator=generator)
    labels = torch.randint(3, (40,), generator=generator)
    expected = []
    for query in queries:
        similarity = [float(torch.cosine_similarity(query, vector, dim=0)) for vector in bank]
        nearest = sorted(range(40), key=lambda i: -similarity[i])[:7]
        votes = [0.0, 0.0, 0.0]
        for i in nearest:
            votes[int(labels[i])] += np.exp(similarity[i] / 0.07)
        expected.append(int(np.argmax(votes)))
    assert knn_predict(queries, bank, labels, neighbours=7, temperature=0.07).tolist() == expected


def test_one_neighbour_is_scikit_learns():
    features, labels = digits()
    reference = KNeighborsClassifier(1, metric="cosine").fit(features[:500], labels[:500]).predict(features[500:])
    found = knn_predict(features[500:], features[:500], labels[:500], neighbours=1)
    assert np.mean(found.numpy() == reference) > 0.999


def test_a_bank_smaller_than_k_votes_as_a_whole():
    features, labels = digits()
    assert knn_predict(features[10:20], features[:5], labels[:5]).max() <= labels[:5].max()
