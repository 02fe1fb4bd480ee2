"""The prior over codes: nothing of what is predicted is seen, and grids are distinguished."""

import pytest
import torch

from ssl_zoo.decoders.code_maps import MapDecoder
from ssl_zoo.decoders.code_prior import CodePrior
from ssl_zoo.errors import InputError

GRIDS = [(2, 2), (3, 4)]


def make() -> CodePrior:
    torch.manual_seed(0)
    prior = CodePrior((5, 7), 16, 2, 2).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(5)
    return prior


def codes() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, count, (2, n), generator=generator) for count, n in ((5, 4), (7, 12))]


@torch.no_grad()
def test_a_code_is_predicted_from_all_before_it_and_from_nothing_else():
    prior, given = make(), codes()
    before = prior(given, GRIDS)
    assert [each.shape for each in before] == [(2, 4, 5), (2, 12, 7)]
    whole = torch.cat([each.logsumexp(2) for each in before], dim=1)
    for place in range(16):
        changed = [each.clone() for each in given]
        grid, inside = (0, place) if place < 4 else (1, place - 4)
        changed[grid][:, inside] = (changed[grid][:, inside] + 1) % (5, 7)[grid]
        moved = (torch.cat([each.logsumexp(2) for each in prior(changed, GRIDS)], dim=1) - whole).abs() > 1e-6
        assert moved.tolist() == [[each > place for each in range(16)]] * 2


@torch.no_grad()
def test_the_beginning_of_an_image_has_the_logits_of_the_whole():
    prior, given = make(), codes()
    whole = prior(given, GRIDS)
    (only,) = prior(given[:1], GRIDS)
    torch.testing.assert_close(only, whole[0])
    some = prior([given[0], given[1][:, :6]], GRIDS)
    torch.testing.assert_close(some[1], whole[1][:, :6])


@torch.no_grad()
def test_places_of_a_row_and_grids_differ():
    prior = make()
    same = [torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 12, dtype=torch.int64)]
    prior.embeddings[1].weight[0] = prior.embeddings[0].weight[0]
    vectors = prior._vectors(same, GRIDS)[0]
    assert torch.pdist(vectors).min() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
def test_a_map_becomes_an_image_that_much_larger(stride):
    torch.manual_seed(0)
    decoder = MapDecoder(3, 2, stride, 8, 1)
    images = decoder(torch.randn(2, 3, 4, 5))
    assert images.shape == (2, 2, 4 * stride, 5 * stride)
    moved = torch.randn(1, 3, 9, 9)
    other = moved.clone()
    other[:, :, 0, 0] += 1
    changed = (decoder(moved) != decoder(other)).any(1)[0].nonzero()
    assert 0 < changed.max() < 9 * stride - 1  # what is far away is another place's


def test_sizes_out_of_range_are_refused():
    with pytest.raises(InputError, match="The decoder has -1 blocks of 8 channels"):
        MapDecoder(3, 1, 2, 8, -1)
    with pytest.raises(InputError, match="The prior's width 10 is not a multiple of its 4 heads"):
        CodePrior((5,), 10, 1, 4)
