"""Single places, on rows of any kind; tests of tokens hold them to BERT's shares."""

import math

import pytest
import torch

from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.randomness import example_keys

ROWS, PLACES = 20_000, 49


def keys(rows: int = ROWS, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def test_of_all_patches_of_an_image_each_is_hidden_as_often_and_with_every_other_as_often():
    mask = RandomPlaces(0.75)(torch.ones(ROWS, PLACES, dtype=torch.bool), keys()).mask.double()
    assert set(mask.sum(1).tolist()) == {36, 37}
    error = 5 * (0.75 * 0.25 / ROWS) ** 0.5
    assert (mask.mean(0) - 0.75).abs().max() < error
    assert abs(float(mask.sum(1).mean()) - 0.75 * PLACES) < 5 * (0.75 * 0.25 / ROWS) ** 0.5
    # Drawn without replacement: two patches together in 36 * 35 of 49 * 48 images, in 37 * 36 where one more is hidden.
    together = mask.T @ mask / ROWS
    expected = (0.25 * 36 * 35 + 0.75 * 37 * 36) / (PLACES * (PLACES - 1))
    others = together[~torch.eye(PLACES, dtype=torch.bool)]
    assert (others - expected).abs().max() < 5.5 * (expected * (1 - expected) / ROWS) ** 0.5


def test_a_row_depends_on_its_key_and_its_places_alone():
    real = torch.arange(PLACES) < torch.randint(1, PLACES + 1, (64, 1), generator=torch.Generator().manual_seed(0))
    whole = RandomPlaces(0.4)(real, keys(64))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    assert all(map(torch.equal, RandomPlaces(0.4)(real[order], keys(64)[order]), (each[order] for each in whole)))
    longer = RandomPlaces(0.4)(torch.cat([real, torch.zeros(64, 9, dtype=torch.bool)], dim=1), keys(64))
    assert torch.equal(longer.mask[:, :PLACES], whole.mask) and not longer.mask[:, PLACES:].any()
    assert not (whole.mask & ~real).any() and whole.mask.any(1).all()
    assert not torch.equal(RandomPlaces(0.4)(real, keys(64, seed=1)).mask, whole.mask)


@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.75, 1.0])
def test_slots_hold_all_hidden_places_whatever_is_drawn(ratio):
    real = torch.arange(PLACES) < torch.arange(PLACES + 1).repeat(40)[:, None]
    drawn = RandomPlaces(ratio)(real, keys(len(real)))
    assert drawn.positions.shape == drawn.valid.shape == (len(real), min(PLACES, math.ceil(ratio * PLACES) + 1))
    assert torch.equal(drawn.mask.sum(1), drawn.valid.sum(1))
    assert all(len(set(row)) == len(row) for row in drawn.positions.tolist())
    assert torch.equal(torch.zeros_like(real).scatter(1, drawn.positions, drawn.valid), drawn.mask)


def test_nothing_waits_for_the_device():
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    real = torch.ones(8, PLACES, dtype=torch.bool).to("meta")
    assert RandomPlaces(0.5)(real, keys(8).to("meta")).mask.shape == (8, PLACES)
