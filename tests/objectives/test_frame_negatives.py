import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.objectives.frame_negatives import (
    candidate_logits,
    cosine_logits,
    draw_candidates,
    equal_to_positive,
    first_is_best,
)
from ssl_zoo.randomness import example_keys

COUNTS = torch.tensor([40, 7, 2, 23, 40, 3])


def keys(rows: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 1, torch.arange(rows))


def every_frame(rows: int, frames: int) -> torch.Tensor:
    return torch.arange(frames).expand(rows, -1)


def vectors(rows: int = 6, frames: int = 40, dim: int = 5) -> torch.Tensor:
    return torch.randn(rows, frames, dim, generator=torch.Generator().manual_seed(0))


def test_negatives_are_never_the_positive_padding_or_another_recording():
    candidates = draw_candidates(every_frame(6, 40), COUNTS, 200, keys(6))
    for row, count in enumerate(COUNTS.tolist()):
        for place in range(count):
            positive, negatives = int(candidates[row, place, 0]), candidates[row, place, 1:]
            assert positive == place
            assert set(negatives.tolist()) <= set(range(count)) - {place}
    # Every other frame is drawn for every positive, those before it and those after it.
    assert set(candidates[1, 3, 1:].tolist()) == {0, 1, 2, 4, 5, 6}


@pytest.mark.parametrize("row", range(8))
def test_in_every_row_of_a_batch_the_positive_is_left_out_and_the_others_are_drawn_alike(row):
    """Elsewhere rows but the first have gone wrong: an offset per row left the positive in and excluded another."""
    count, draws = 12, 20_000
    candidates = draw_candidates(every_frame(8, count), torch.full((8,), count), draws, keys(8))[row]
    for place in range(count):
        frequency = torch.bincount(candidates[place, 1:], minlength=count).double()
        assert frequency[place] == 0
        expected = draws / (count - 1)
        others = frequency[[other for other in range(count) if other != place]]
        assert ((others - expected).abs() < 5 * expected**0.5).all()


def test_positives_may_stand_anywhere_and_in_any_order():
    """As for several steps ahead: queries and positives are different frames, several queries have the same one."""
    positives = torch.tensor([[3, 1, 3, 0, 5], [2, 2, 2, 0, 1]])
    counts = torch.tensor([6, 3])
    candidates = draw_candidates(positives, counts, 500, keys(2))
    for row, count in enumerate(counts.tolist()):
        for query, positive in enumerate(positives[row].tolist()):
            assert set(candidates[row, query, 1:].tolist()) == set(range(count)) - {positive}
    assert not torch.equal(candidates[0, 0], candidates[0, 2])


def test_a_recording_of_one_frame_or_none_crashes_nothing():
    candidates = draw_candidates(every_frame(3, 4), torch.tensor([1, 0, 4]), 9, keys(3))
    assert candidates.min() >= 0 and candidates.max() < 4
    assert torch.isfinite(candidate_logits(vectors(3, 4), vectors(3, 4), candidates)).all()


def test_draws_depend_on_the_key_and_the_place_alone():
    whole = draw_candidates(every_frame(6, 40), COUNTS, 11, keys(6))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.equal(draw_candidates(every_frame(6, 40), COUNTS[order], 11, keys(6)[order]), whole[order])
    longer = draw_candidates(every_frame(6, 55), COUNTS, 11, keys(6))
    for row, count in enumerate(COUNTS.tolist()):
        assert torch.equal(longer[row, :count], whole[row, :count])
    assert not torch.equal(draw_candidates(every_frame(6, 40), COUNTS, 11, keys(6, seed=1)), whole)


def test_logits_are_dot_products_and_cosines_of_gathered_vectors():
    queries, targets = vectors(), vectors().flip(0)
    candidates = draw_candidates(every_frame(6, 40), COUNTS, 11, keys(6))
    gathered = torch.stack([targets[row][candidates[row]] for row in range(6)])
    expected = (queries[:, :, None] * gathered).sum(3)
    torch.testing.assert_close(candidate_logits(queries, targets, candidates), expected, atol=1e-5, rtol=1e-5)
    cosines = F.cosine_similarity(queries[:, :, None], gathered, dim=3) / 0.1
    torch.testing.assert_close(cosine_logits(queries, targets, candidates, 0.1), cosines, atol=1e-4, rtol=1e-5)


def test_logits_have_the_precision_of_float32_under_autocast():
    candidates = draw_candidates(every_frame(6, 40), COUNTS, 11, keys(6))
    exact = cosine_logits(vectors(), vectors().flip(0), candidates, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cosine_logits(vectors(), vectors().flip(0), candidates, 0.1), exact)


def test_equal_negatives_are_found_exactly():
    targets = torch.randint(0, 2, (4, 30, 3), generator=torch.Generator().manual_seed(0)).float()
    targets[0, :10] *= -0.0  # equal to zero, in other bits
    targets[1, 5:20] += 1e-7 * torch.arange(15)[:, None]  # nearly equal
    candidates = draw_candidates(every_frame(4, 30), torch.full((4,), 30), 50, keys(4))
    found = equal_to_positive(targets, candidates)
    for row in range(4):
        for place in range(30):
            expected = [
                bool((targets[row, place] == targets[row, other]).all()) for other in candidates[row, place, 1:]
            ]
            assert found[row, place].tolist() == expected
    assert 0.1 < found.float().mean() < 0.9


def test_a_tie_is_no_hit():
    """Constant vectors distinguish nothing, and yet the first of equal logits is one of the largest."""
    logits = torch.tensor([[[1.0, 1.0, 1.0], [2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [-3.0, -torch.inf, -torch.inf]]])
    assert first_is_best(logits).tolist() == [[False, True, False, True]]


def test_nothing_in_it_waits_for_the_device():
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    counts, targets = COUNTS.to("meta"), vectors().to("meta")
    candidates = draw_candidates(every_frame(6, 40).to("meta"), counts, 11, keys(6).to("meta"))
    assert equal_to_positive(targets, candidates).shape == (6, 40, 11)
