import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier

from ssl_zoo.probes import knn, linear
from ssl_zoo.probes.cross_validation import FOLDS, PENALTIES, assign_folds
from ssl_zoo.probes.knn import choose_vote, knn_predict
from ssl_zoo.probes.linear import LinearProbe, center_and_scale, fit_linear, logistic_regression


@pytest.fixture(autouse=True)
def all_penalties(monkeypatch):
    """As many to choose from as for users."""
    monkeypatch.setattr(linear, "PENALTIES", PENALTIES)


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


def right(probe: LinearProbe, part: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float((probe.predict(part[0]) == part[1]).float().mean())


def test_with_all_labels_validation_data_chooses_the_penalty():
    features, labels = digits()
    train, held = slice(0, 30), (features[500:1000], labels[500:1000])
    probe, penalty = fit_linear(features[train], labels[train], 10, held)
    alone = {one: right(fit_linear(features[train], labels[train], 10, held, (one,))[0], held) for one in PENALTIES}
    assert right(probe, held) >= max(alone.values()) - 0.005 and max(alone.values()) > min(alone.values())
    assert penalty in PENALTIES


def test_with_ten_labels_per_class_they_choose_the_penalty_by_cross_validation():
    """Five folds in plain loops, by scikit-learn; the more noise, the stronger the penalty."""
    features, labels = digits()
    features, labels = features[:250], labels[:250]
    chosen = []
    for noise in (0.0, 0.5, 2.0):
        noisy = features + noise * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
        center, scale = center_and_scale(noisy)
        given, wanted = ((noisy - center) / scale).double().numpy(), labels.numpy()
        fold = assign_folds(labels).numpy()
        losses = {}
        for penalty in PENALTIES:
            losses[penalty] = 0.0
            for one in range(FOLDS):
                known = fold != one
                fit = LogisticRegression(C=1 / (penalty * known.sum()), tol=1e-6, max_iter=10_000)
                chances = fit.fit(given[known], wanted[known]).predict_proba(given[~known])
                losses[penalty] += log_loss(wanted[~known], chances, labels=range(10), normalize=False)
        _, penalty = fit_linear(noisy, labels, 10)
        assert penalty == min(losses, key=lambda one: losses[one])
        chosen.append(penalty)
    assert chosen[0] < chosen[1] <= chosen[2]


def test_folds_have_their_share_of_every_class_and_are_equally_large():
    labels = torch.tensor([0, 1, 2] * 11 + [0] * 17)
    fold = assign_folds(labels)
    for one in range(FOLDS):
        assert ((labels[fold == one].bincount() - labels.bincount() / FOLDS).abs() < 1).all()
        assert abs(int((fold == one).sum()) - len(labels) / FOLDS) < 1
    # One class with too few of them is no reason to do without, and most classes are.
    assert assign_folds(torch.tensor([0] * 10 + [1] * 10 + [2] * 3)) is not None
    assert assign_folds(torch.tensor([0] * 10 + [1] * 9 + [2] * 9)) is None


def test_with_fewer_labels_the_penalty_is_a_fixed_prior_of_the_weights():
    features, labels = digits()
    for count in (30, 80):
        given = features[:count], labels[:count]
        probe, penalty = fit_linear(*given, 10)
        center, scale = given[0].mean(0), float((given[0] - given[0].mean(0)).square().sum(1).mean().sqrt())
        # Against the summed cross entropy, as scikit-learn has it, C is 100 however many examples there are.
        reference = LogisticRegression(C=100, tol=1e-8, max_iter=10_000).fit((given[0] - center) / scale, given[1])
        expected = reference.predict((features[500:] - center) / scale)
        assert np.mean(probe.predict(features[500:]).numpy() == expected) > 0.98 and penalty == 0.01 / count


def test_scaling_and_shifting_all_features_changes_nothing():
    features, labels = digits()
    # In powers of two all of it is free of rounding, so that weak penalties cannot make more of a last digit.
    train, rest = slice(0, 256), slice(256, 600)
    validation, test = (features[rest], labels[rest]), features[600:]
    plain, _ = fit_linear(features[train], labels[train], 10, validation)
    moved, _ = fit_linear(features[train] * 128 + 8, labels[train], 10, (validation[0] * 128 + 8, validation[1]))
    assert torch.equal(plain.predict(test), moved.predict(test * 128 + 8))


def test_of_a_collapsed_representation_rounding_errors_are_no_features():
    labels = torch.tensor([0] * 30 + [1] * 70)
    noise = 1e-7 * torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    noise[:, 0] = 2e-7 * labels  # all that distinguishes the classes lies in the last digits
    features = 1 + noise
    assert center_and_scale(features)[1].isinf() and not center_and_scale(features * torch.arange(8) * noise)[1].isinf()
    for chooses in (None, (features, labels)):
        probe, _ = fit_linear(features, labels, 2, chooses)
        assert probe.predict(features).tolist() == [1] * 100  # the larger class, whatever the features


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
    found = knn_predict(features[500:], features[:500], labels[:500], neighbours=1, temperature=0.07)
    assert np.mean(found.numpy() == reference) > 0.999


def test_a_bank_smaller_than_k_votes_as_a_whole():
    features, labels = digits()
    found = knn_predict(features[10:20], features[:5], labels[:5], neighbours=20, temperature=0.07)
    assert found.max() <= labels[:5].max()
    assert torch.equal(found, knn_predict(features[10:20], features[:5], labels[:5], neighbours=5, temperature=0.07))


def test_a_low_temperature_is_the_nearest_neighbour_and_no_infinity():
    features, labels = digits()
    one = knn_predict(features[500:], features[:500], labels[:500], neighbours=1, temperature=1)
    cold = knn_predict(features[500:], features[:500], labels[:500], neighbours=50, temperature=1e-4)
    assert (one == cold).float().mean() > 0.98


@pytest.mark.parametrize("at_once", [1, 2**26])
def test_with_few_labels_every_example_is_predicted_by_the_others(monkeypatch, at_once):
    """Leave-one-out in plain loops; and whatever is in memory at once, the same is chosen."""
    monkeypatch.setattr(knn, "AT_ONCE", at_once)
    features, labels = digits()
    bank, known = features[:60], labels[:60]
    right = {}
    for vote in knn.VOTES:
        predicted = [
            int(knn_predict(bank[i : i + 1], bank[others], known[others], *vote))
            for i in range(60)
            for others in [[j for j in range(60) if j != i]]
        ]
        right[vote] = int((torch.tensor(predicted) == known).sum())
    chosen = choose_vote(bank, known)
    assert right[chosen] == max(right.values()) > min(right.values())
    assert chosen.neighbours == min(vote.neighbours for vote in right if right[vote] == max(right.values()))


def test_with_one_label_per_class_the_nearest_decides():
    features, labels = digits()
    first = torch.stack([(labels == label).nonzero()[0, 0] for label in range(10)])
    assert choose_vote(features[first], labels[first]).neighbours == 1
    assert choose_vote(features[:1], labels[:1]).neighbours == 1


def test_with_all_labels_validation_data_chooses_the_vote():
    features, labels = digits()
    bank, held = (features[:700], labels[:700]), (features[700:1000], labels[700:1000])
    chosen = choose_vote(*bank, held)
    right = [int((knn_predict(held[0], *bank, *vote) == held[1]).sum()) for vote in knn.VOTES]
    assert right[knn.VOTES.index(chosen)] == max(right)
    # Where the nearest is an outlier among many of the other class, one neighbour is wrong and three are right.
    points = torch.tensor([[1.0, 0.0]] + [[0.99, 0.01]] * 9)
    known = torch.tensor([0] + [1] * 9)
    assert choose_vote(points, known, (points[:1], torch.tensor([1]))).neighbours == 3


def test_similarities_in_memory_are_bounded(monkeypatch):
    sizes = []
    topk = torch.Tensor.topk

    def watched(similarity: torch.Tensor, *args: object, **options: object) -> object:
        sizes.append(similarity.numel())
        return topk(similarity, *args, **options)

    monkeypatch.setattr(knn, "AT_ONCE", 10_000)
    monkeypatch.setattr(torch.Tensor, "topk", watched)
    features, labels = digits()
    knn_predict(features[600:], features[:600], labels[:600], neighbours=3, temperature=0.07)
    assert len(sizes) > 50 and max(sizes) <= 10_000
