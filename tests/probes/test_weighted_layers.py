import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from ssl_zoo.probes import weighted_layers
from ssl_zoo.probes.weighted_layers import fit_weighted

CLASSES = 5


def layers(examples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Four layers of very different lengths, of which only layer 2 knows the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (examples,), generator=generator)
    found = torch.randn(4, examples, 16, generator=generator)
    found[2, :, :CLASSES] += 2 * torch.nn.functional.one_hot(labels, CLASSES)
    return found * torch.tensor([30.0, 1.0, 0.1, 10.0])[:, None, None] + 3, labels


def accuracy(probe: weighted_layers.WeightedProbe, test: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float((probe.predict(test[0]) == test[1]).float().mean())


def test_it_finds_the_layer_that_knows_and_beats_their_mean():
    train, validation, test = layers(1000, 0), layers(200, 1), layers(1000, 2)
    probe = fit_weighted(*train, validation, CLASSES, (1e-4,))
    assert probe.shares.argmax() == 2 and probe.shares[2] > 0.6
    assert probe.shares.sum() == pytest.approx(1)

    def mean(part: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (part[0] - train[0].mean(1, keepdim=True)) / train[0].std((1, 2), keepdim=True)
        return scaled.mean(0, keepdim=True), part[1]

    alone = [(part[0][2:3], part[1]) for part in (train, validation, test)]
    known = accuracy(fit_weighted(*alone[0], alone[1], CLASSES, (1e-4,)), alone[2])
    averaged = accuracy(fit_weighted(*mean(train), mean(validation), CLASSES, (1e-4,)), mean(test))
    assert accuracy(probe, test) > averaged + 0.05
    assert accuracy(probe, test) > known - 0.05


def test_on_a_single_layer_it_is_logistic_regression():
    images, digits = load_digits(return_X_y=True)
    features, labels = torch.tensor(images, dtype=torch.float32), torch.tensor(digits)
    train, penalty = slice(0, 500), 1e-4
    probe = fit_weighted(
        features[None, train], labels[train], (features[None, 500:600], labels[500:600]), 10, (penalty,)
    )
    assert probe.shares.tolist() == [1]
    centred = (features - features[train].mean(0)).double()
    scaled = (centred / centred[train].square().sum(1).mean().sqrt()).numpy()
    reference = LogisticRegression(C=1 / (penalty * 500), tol=1e-8, max_iter=10_000).fit(scaled[train], digits[train])

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        logits = torch.tensor(scaled[train] @ weight.T + bias)
        return float(torch.nn.functional.cross_entropy(logits, labels[train])) + penalty / 2 * np.square(weight).sum()

    best = objective(reference.coef_, reference.intercept_)
    # The probe's features are longer by the root of their 64 dimensions, and its weights so much smaller.
    ours = objective(8 * probe.weight.double().numpy(), probe.bias.double().numpy())
    assert best < ours < 1.02 * best
    predicted = probe.predict(features[None, 600:]).numpy()
    assert np.mean(predicted == reference.predict(scaled[600:])) > 0.99


def test_it_takes_the_penalty_that_is_best_on_validation_data_and_fits_each_by_itself(monkeypatch):
    monkeypatch.setattr(weighted_layers, "STEPS", 200)
    train, validation = layers(60, 0), layers(300, 1)
    penalties = (10.0, 1e-2, 1e-7)
    alone = {penalty: fit_weighted(*train, validation, CLASSES, (penalty,)) for penalty in penalties}
    accuracies = {penalty: accuracy(probe, validation) for penalty, probe in alone.items()}
    best = max(accuracies, key=lambda penalty: accuracies[penalty])
    assert len(set(accuracies.values())) == 3
    together = fit_weighted(*train, validation, CLASSES, penalties)
    torch.testing.assert_close(together.weight, alone[best].weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(together.shares, alone[best].shares, atol=1e-3, rtol=1e-3)


def test_half_precision_and_the_size_of_a_layer_change_nothing(monkeypatch):
    monkeypatch.setattr(weighted_layers, "STEPS", 200)
    train, validation, test = layers(1000, 0), layers(200, 1), layers(500, 2)
    plain = fit_weighted(*train, validation, CLASSES, (1e-4,)).predict(test[0])
    half = fit_weighted(train[0].half(), train[1], (validation[0].half(), validation[1]), CLASSES, (1e-4,))
    assert (half.predict(test[0].half()) == plain).float().mean() > 0.98
    factors = torch.tensor([1.0, 50.0, 7.0, 0.01])[:, None, None]
    longer = fit_weighted(train[0] * factors, train[1], (validation[0] * factors, validation[1]), CLASSES, (1e-4,))
    assert (longer.predict(test[0] * factors) == plain).float().mean() > 0.98
