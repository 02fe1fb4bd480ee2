"""Probes of every layer: which one is chosen, and that test data chooses nothing."""

import torch

from ssl_zoo.evaluation import layers
from ssl_zoo.evaluation.layers import choose_layered, probe_layers
from ssl_zoo.probes.accuracy import accuracy
from ssl_zoo.probes.linear import fit_linear

PARTS = {"train": 300, "validation": 100, "test": 100}


def made(
    signal: dict[str, list[float]], seed: int = 0
) -> tuple[dict[str, list[torch.Tensor]], dict[str, torch.Tensor]]:
    """Layers of unlike width; how much of the class is in each, by part."""
    generator = torch.Generator().manual_seed(seed)
    labels = {part: torch.randint(3, (count,), generator=generator) for part, count in PARTS.items()}
    vectors = {}
    for part, count in PARTS.items():
        vectors[part] = []
        for layer, strength in enumerate(signal[part]):
            noise = torch.randn(count, 4 + layer, generator=generator)
            noise[:, :3] += strength * torch.nn.functional.one_hot(labels[part], 3)
            vectors[part].append(noise.half())
    return vectors, labels


def test_every_layer_has_the_linear_probe_s_accuracy():
    vectors, labels = made({part: [0.5, 3.0, 1.0] for part in PARTS})
    found = probe_layers(vectors, labels, 3)
    for layer in range(3):
        known, held, wanted = (vectors[part][layer].float() for part in PARTS)
        probe, _ = fit_linear(known, labels["train"], 3, (held, labels["validation"]))
        assert found.test[layer] == accuracy(probe.predict(wanted), labels["test"])
        assert found.validation[layer] == accuracy(probe.predict(held), labels["validation"])
    assert found.chosen == 1 and found.test[1] > found.test[2] > found.test[0]


def test_validation_data_chooses_and_test_data_does_not():
    strong_first, strong_last = [3.0, 0.0], [0.0, 3.0]
    vectors, labels = made({"train": [3.0, 3.0], "validation": strong_first, "test": strong_last})
    found = probe_layers(vectors, labels, 3)
    assert found.test[1] > found.test[0] + 0.3 and found.chosen == 0
    vectors["test"] = vectors["test"][::-1]
    vectors["test"] = [torch.zeros_like(layer) for layer in made({part: strong_first for part in PARTS})[0]["test"]]
    assert probe_layers(vectors, labels, 3).chosen == 0


def test_of_equal_layers_the_last_is_taken():
    vectors, labels = made({part: [1.0] for part in PARTS})
    twice = {part: each * 2 for part, each in vectors.items()}
    assert probe_layers(twice, labels, 3).chosen == 1


def test_at_most_so_many_examples_are_probed_and_always_the_same(monkeypatch):
    monkeypatch.setattr(layers, "EXAMPLES", 7)
    chosen = choose_layered(100)
    assert len(chosen) == 7 and torch.equal(chosen, chosen.sort().values) and torch.equal(chosen, choose_layered(100))
    assert torch.equal(choose_layered(5), torch.arange(5))
