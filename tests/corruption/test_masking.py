"""What every way to draw hidden places owes a method. They are found by walking subclasses."""

import pytest
import torch

import ssl_zoo.corruption
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import KeptPlaces, RandomPlaces
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.corruption.token_spans import SegmentedSpans
from ssl_zoo.corruption.words import WordMasking, Words
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from tests.contracts.found import concrete

MASKINGS: list[type[Masking]] = concrete(Masking, ssl_zoo.corruption)
ROWS, SIDE = 20_000, 6
PLANE = SIDE * SIDE


def keys(rows: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def make(kind: type[Masking], ratio: float = 0.6) -> Masking:
    if kind is SegmentedSpans:  # of which longer ones can hide more
        return SegmentedSpans(ratio, mean_length=max(3.0, 1.01 * ratio / (1 - ratio)))
    return kind(mask_ratio=ratio)  # type: ignore[call-arg]  # the base class has no arguments, and all kinds have this one


def drawn(masking: Masking, maskable: torch.Tensor, keys: torch.Tensor, grid: tuple[int, int] | None = None) -> Hidden:
    """What is hidden; of texts each place is a word, and a row is one text."""
    if not isinstance(masking, WordMasking):
        return masking(maskable, keys, grid)
    follows = torch.ones_like(maskable[:, 1:])
    return masking(maskable, keys, words=Words.of(follows, ~follows))


@pytest.mark.parametrize("kind", MASKINGS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8])
def test_slots_and_what_is_left_are_bounds_and_a_row_depends_on_itself_alone(kind, ratio):
    masking, lengths = make(kind, ratio), torch.tensor([24, 20, 12, 16, 4, 8] * 40)
    real = torch.arange(24) < lengths[:, None]
    hidden = drawn(masking, real, keys(240))
    assert hidden.positions.shape == (240, masking.slots(24)) and not (hidden.mask & ~real).any()
    assert torch.equal(hidden.mask.sum(1), hidden.valid.sum(1)) and hidden.mask.any()
    assert torch.equal(torch.zeros_like(real).scatter(1, hidden.positions, hidden.valid), hidden.mask)
    assert int((real & ~hidden.mask).sum(1).max()) <= masking.left(24)
    order = torch.randperm(240, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn(masking, real[order], keys(240)[order]).mask, hidden.mask[order])
    longer = drawn(masking, torch.nn.functional.pad(real, (0, 8)), keys(240))
    assert torch.equal(longer.mask[:, :24], hidden.mask) and not longer.mask[:, 24:].any()
    assert not torch.equal(drawn(masking, real, keys(240, seed=1)).mask, hidden.mask)
    assert masking.settings["init_args"]["mask_ratio"] == ratio


@pytest.mark.parametrize("kind", MASKINGS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("ratio", [0.001, 0.2, 0.5, 0.8, 0.999])
def test_of_few_places_some_are_hidden_and_some_are_left_or_the_batch_is_refused(kind, ratio):
    planes = {4: (2, 2), 6: (3, 2), 8: (2, 4)} if kind is RandomBlocks else {}
    lacking = []
    for masking in [make(kind, ratio), *([RandomBlocks(ratio, rounding="up")] if kind is RandomBlocks else [])]:
        for places in range(1, 9):
            real = torch.arange(places) < torch.tensor([places, max(2, places // 2)] * 300)[:, None]
            try:
                hidden = drawn(masking, real, keys(600), planes.get(places))
            except InputError as error:  # a refusal is the other right answer
                lacking.append(places)
                assert str(places) in str(error) or "a single place" in str(error)
                continue
            left = (real & ~hidden.mask).sum(1)
            assert hidden.mask.any(1).all() and (left > 0).all(), places
            assert int(left.max()) <= masking.left(places) and hidden.valid.sum(1).equal(hidden.mask.sum(1))
    if kind is KeptPlaces:  # of which a row keeps as many as the ratio says
        assert lacking == [places for places in range(1, 9) if places * (1 - ratio) < 0.99999]
    else:
        assert set(lacking) == {1}


def test_whole_numbers_are_not_missed_for_the_rounding_of_fractions():
    for ratio, places, left in ((0.8, 5, 1), (0.9, 10, 1), (0.55, 100, 45), (0.4, 5, 3), (0.75, 49, 12)):
        real = torch.ones(3, places, dtype=torch.bool)
        kept, blocks = KeptPlaces(ratio), RandomBlocks(ratio, rounding="up")
        assert kept.left(places) == left == int((~kept(real, keys(3)).mask).sum(1).unique())
        assert blocks.left(places) == left == int((~blocks(real, keys(3)).mask).sum(1).unique())


def test_of_spans_that_would_cover_a_short_recording_one_is_hidden():
    """Two of ten frames, one after the other in twenty: 1 in 55 draws."""
    real = torch.ones(4000, 20, dtype=torch.bool)
    left = (~RandomSpans(1.0, 10)(real, keys(4000)).mask).sum(1)
    assert left.min() > 0 and left.max() == 10


def test_only_a_ratio_of_1_leaves_nothing():
    real = torch.ones(50, 6, dtype=torch.bool)
    for masking in (RandomPlaces(1.0), RandomBlocks(1.0), RandomBlocks(1.0, rounding="up")):
        assert masking(real, keys(50)).mask.all()


PLANES = {
    "blocks": RandomBlocks(0.6),
    "large": RandomBlocks(0.5, (0.3, 0.9)),
    "inverse": RandomBlocks(0.8, (0.1, 0.1), 1.0, inverse=True),
    "equal": RandomBlocks(0.5, rounding="up"),
    "kept": KeptPlaces(0.75),
}


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("shape", [(6, 6), (12, 3), (36, 1)])
def test_every_place_of_a_plane_is_hidden_equally_often_edges_and_corners_too(name, shape):
    masking = PLANES[name]
    mask = masking(torch.ones(ROWS, PLANE, dtype=torch.bool), keys(ROWS), shape).mask.double()
    ratio = masking.mask_ratio
    error = (ratio * (1 - ratio) / ROWS) ** 0.5
    assert (mask.mean(0) - ratio).abs().max() < 4.5 * error
    assert (mask.sum(1) - ratio * PLANE).abs().max() < 1
    if name in ("equal", "kept"):
        assert len(mask.sum(1).unique()) == 1


def neighbours(mask: torch.Tensor) -> float:
    """How much likelier the place below a hidden one is hidden than any."""
    return float((mask[:, 1:] * mask[:, :-1]).mean() / mask.mean() ** 2)


def test_blocks_hide_neighbours_together_and_inverse_ones_leave_them_together():
    everything = torch.ones(2000, PLANE, dtype=torch.bool)
    for inverse in (False, True):
        mask = RandomBlocks(0.5, inverse=inverse)(everything, keys(2000), (6, 6)).mask.view(-1, 6, 6)
        shown = ~mask if inverse else mask
        assert neighbours(shown.double()) > 1.25 and neighbours(shown.mT.double()) > 1.25
    assert abs(neighbours(KeptPlaces(0.5)(everything, keys(2000)).mask.view(-1, 6, 6).double()) - 1) < 0.05


def test_one_kept_block_is_a_rectangle_around_the_edges_of_what_is_real():
    masking = RandomBlocks(0.75, (0.25, 0.25), 1.0, inverse=True, rounding="up")
    real = torch.ones(50, 8, 6, dtype=torch.bool)
    real[25:, 6:] = False  # two lines of padding
    left = real & ~masking(real.flatten(1), keys(50), (8, 6)).mask.view(50, 8, 6)
    for row, (seen, lines) in enumerate(zip(left, [8] * 25 + [6] * 25, strict=True)):
        inside = seen[:lines]
        high, wide = int(inside.any(1).sum()), int(inside.any(0).sum())
        assert inside.sum() == lines * 6 // 4, row
        assert high * wide - inside.sum() < wide  # the last line of it may be cut off
        for axis in (inside.any(1), inside.any(0)):  # neighbours around the edge: one run begins
            assert int((axis & ~axis.roll(1)).sum()) == 1 or axis.all()


def test_shapes_are_known_without_values():
    for kind in MASKINGS:
        everything = torch.ones(8, PLANE, dtype=torch.bool, device="meta")
        assert drawn(make(kind), everything, keys(8).to("meta")).mask.shape == (8, PLANE)


def test_what_means_nothing_is_refused_in_a_sentence():
    for settings, sentence in [
        ({"mask_ratio": 0.0}, "mask_ratio is 0.0"),
        ({"area": (0.3, 0.1)}, r"area is \(0.3, 0.1\)"),
        ({"area": (0.0, 0.1)}, "area is"),
        ({"area": (1e-5, 0.1)}, r"blocks of 1e-05 of the places, .* would take at least 91,631 for every example"),
        ({"area": (1e-12, 0.1)}, r"blocks of 1e-12 of the places, .* RandomPlaces, which hides single places"),
        ({"area": (5e-324, 0.1)}, "blocks of 4.94066e-324 of the places"),
        ({"aspect": 0.0}, "aspect is 0.0"),
        ({"aspect": 1e-300}, "aspect is 1e-300"),
        ({"aspect": float("inf")}, "aspect is inf"),
    ]:
        with pytest.raises(InputError, match=f"{sentence}[^.]*"):
            RandomBlocks(**settings)
    for ratio in (0.0, 1.0):
        with pytest.raises(InputError, match="KeptPlaces: mask_ratio is"):
            KeptPlaces(ratio)
    with pytest.raises(InputError, match="hides none or all of 16 places"):
        KeptPlaces(0.97)(torch.ones(1, 16, dtype=torch.bool), keys(1))
