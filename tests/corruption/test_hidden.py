"""One type for hidden places: what stands there, what an encoder is shown, and that nothing hidden gets through."""

import importlib
import inspect
import pkgutil

import pytest
import torch

import ssl_zoo.methods
from ssl_zoo.corruption.hidden import Hidden, all_real, require_mask_ratio
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.randomness import example_keys

MASK = torch.tensor([[0, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
POSITIONS = torch.tensor([[4, 1, 3], [0, 4, 2], [2, 0, 1]])
VALID = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])


def test_a_mask_becomes_slots_in_ascending_order_and_slots_become_the_same_mask():
    hidden = Hidden.of_mask(MASK, 4)
    assert hidden.mask is MASK
    assert [row[valid].tolist() for row, valid in zip(hidden.positions, hidden.valid, strict=True)] == [
        [1, 3, 4],
        [0],
        [],
    ]
    assert all(len(set(row)) == 4 for row in hidden.positions.tolist())
    back = Hidden.of_slots(hidden.positions, hidden.valid, 5)
    assert all(map(torch.equal, back, hidden))
    assert torch.equal(Hidden.of_slots(POSITIONS, VALID, 5).mask, MASK)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_values_at_hidden_places_and_their_gradients(shape):
    values = torch.randn(3, 5, *shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = Hidden(MASK, POSITIONS, VALID).at(values)
    assert found.shape == (3, 3, *shape)
    for row in range(3):
        for slot in range(3):
            assert torch.equal(found[row, slot], values[row, POSITIONS[row, slot]])
    found.sum().backward()
    taken = torch.zeros(3, 5).scatter(1, POSITIONS, 1.0)
    assert torch.equal(values.grad, taken.view(3, 5, *[1] * len(shape)).expand_as(values))


def test_an_encoder_is_shown_one_vector_at_all_hidden_places_and_the_truth_elsewhere():
    vectors = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.ones(3, 5, dtype=torch.bool)
    vector = torch.arange(4.0).requires_grad_()
    shown = Hidden(MASK, POSITIONS, VALID).replace(Embedded(vectors, mask, {"size": 5}), vector)
    assert shown.mask is mask and shown.hints == {"size": 5}
    for row in range(3):
        for place in range(5):
            assert torch.equal(shown.vectors[row, place], vector if MASK[row, place] else vectors[row, place])
    shown.vectors.sum().backward()
    assert torch.equal(vectors.grad != 0, ~MASK[..., None].expand_as(vectors))  # what is hidden gets no gradient
    assert torch.equal(vector.grad, torch.full((4,), float(MASK.sum())))


def test_under_autocast_vectors_keep_their_precision():
    low = torch.zeros(3, 5, 4, dtype=torch.bfloat16)
    shown = Hidden(MASK, POSITIONS, VALID).replace(Embedded(low), torch.ones(4))
    assert shown.vectors.dtype == torch.bfloat16


def test_all_places_are_real_where_nothing_is_padded():
    vectors = torch.zeros(2, 5, 3)
    assert all_real(vectors, None).all() and all_real(vectors, None).shape == (2, 5)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    assert torch.equal(all_real(vectors, mask), mask)
    packed = torch.tensor([[1, 1, 2, 2, 2], [1, 1, 3, 0, 0]])  # numbers of documents
    assert torch.equal(all_real(vectors, packed), mask)


@pytest.mark.parametrize("padded", [False, True])
def test_what_is_visible_is_what_is_neither_hidden_nor_padding_in_order(padded):
    real = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]]) if padded else None
    hidden = Hidden(MASK, POSITIONS, VALID)
    for slots in (None, 5):
        places, left = hidden.visible(real, slots)
        found = [row[which].tolist() for row, which in zip(places, left, strict=True)]
        assert found == ([[0, 2], [1, 2], [0, 1, 2, 3]] if padded else [[0, 2], [1, 2, 3, 4], [0, 1, 2, 3, 4]])
        assert all(len(set(row)) == len(row) for row in places.tolist())
    # Where all rows have equally many left, and it is known, nothing is padding.
    even = Hidden.of_mask(MASK[:1], 3)
    assert even.visible(None, 2)[1] is None and even.visible(None, 2)[0].tolist() == [[0, 2]]
    assert even.visible(torch.ones(1, 5), 2)[1].tolist() == [[True, True]]


def test_ratios_that_mean_nothing_are_refused():
    require_mask_ratio(1.0)
    for ratio in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="mask_ratio"):
            require_mask_ratio(ratio)
        with pytest.raises(InputError, match="mask_ratio"):
            RandomPlaces(ratio)


def test_the_part_that_is_hidden_is_the_mask_ratio_of_every_method():
    settings: dict[str, set[str]] = {}
    for module in pkgutil.walk_packages(ssl_zoo.methods.__path__, "ssl_zoo.methods."):
        for name, found in vars(importlib.import_module(module.name)).items():
            if inspect.isclass(found) and issubclass(found, Method):
                settings[name] = {each for each in inspect.signature(found).parameters if each.startswith("mask")}
    assert set.union(*settings.values()) <= {"mask_ratio", "mask_length", "masking", "masks_per_target", "masked_views"}
    assert "mask_ratio" in settings["BERT"] & settings["Wav2Vec2"]


def test_the_places_left_over_are_those_that_an_encoder_sees_alone():
    """How MAE (He et al., 2021) uses it: of 16 patches 12 are hidden in every image, the others are encoded."""
    keys = example_keys(0, 1, torch.arange(50))
    hidden = RandomPlaces(0.75)(torch.ones(50, 16, dtype=torch.bool), keys)
    seen = Hidden.of_mask(~hidden.mask, 4)
    assert seen.valid.all() and (hidden.valid.sum(1) == 12).all()
    for row in range(50):
        left = seen.positions[row].tolist()
        assert left == sorted(left) and set(left) == set(range(16)) - set(
            hidden.positions[row, hidden.valid[row]].tolist()
        )
