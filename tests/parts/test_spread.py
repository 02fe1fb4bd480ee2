import pytest
import torch

from ssl_zoo.parts.spread import feature_std, global_feature_std, global_std, mean_deviation, participation_ratio
from tests.two_processes import in_group


def places() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([[True, True, False], [True, False, False], [True, True, True], [False, False, False]])
    return torch.randn(4, 3, 5, generator=generator) * 2 + 30, weights


def test_it_is_the_deviation_from_place_to_place_of_those_that_count():
    vectors, weights = places()
    torch.testing.assert_close(global_std(vectors, weights), vectors[weights].std(0, correction=0).mean())
    torch.testing.assert_close(global_feature_std(vectors, weights), feature_std(vectors[weights]))
    assert global_std(torch.ones(2, 3, 5), weights[:2]) == 0 == global_std(vectors, torch.zeros_like(weights))
    assert not global_std(vectors.requires_grad_(), weights).requires_grad


def share() -> tuple[torch.Tensor, torch.Tensor]:
    start = 2 * torch.distributed.get_rank()
    vectors, weights = (each[start : start + 2] for each in places())
    return global_std(vectors, weights), global_feature_std(vectors, weights)


def test_two_processes_that_differ_in_how_many_count_find_what_one_does(two_processes):
    vectors, weights = places()
    for first, second in two_processes(in_group, share):
        torch.testing.assert_close(first, global_std(vectors, weights))
        torch.testing.assert_close(second, global_feature_std(vectors, weights))


def test_the_participation_ratio_counts_dimensions_that_vary_alike():
    generator = torch.Generator().manual_seed(0)
    for examples, dim in ((400, 8), (400, 600)):
        mixed = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
        for used in (1, 3, 8):
            scores = torch.linalg.qr(
                torch.randn(examples, used + 1, generator=generator).index_fill_(1, torch.tensor(0), 1)
            )
            vectors = scores[0][:, 1:] @ mixed[:used] + 5  # orthogonal scores around 0, of one length
            assert float(participation_ratio(vectors)) == pytest.approx(used, rel=1e-3)
    assert participation_ratio(torch.ones(9, 4)) == 0
    assert feature_std(vectors[:, :1].expand(-1, 8) - 5) > 0.9  # which sees no collapse to a line


def test_the_mean_deviation_knows_of_scale():
    vectors = torch.randn(5000, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert float(mean_deviation(3 * vectors + 1)) == pytest.approx(3, rel=0.03)
    assert not mean_deviation(vectors).requires_grad and mean_deviation(torch.ones(9, 4)) == 0
