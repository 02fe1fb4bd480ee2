import pytest
import torch
from lightly.loss.swav_loss import sinkhorn as lightly_sinkhorn

from ssl_zoo.objectives.sinkhorn import sinkhorn


def scores(count: int, prototypes: int) -> torch.Tensor:
    return torch.randn(count, prototypes, generator=torch.Generator().manual_seed(0)).tanh()


def test_it_is_equation_5_in_plain_loops_and_lightlys():
    given = scores(7, 4)
    table = [[float((x / 0.05).double().exp()) for x in row] for row in given]
    for _ in range(3):
        for k in range(4):
            total = sum(row[k] for row in table)
            for row in table:
                row[k] /= 4 * total
        for row in table:
            total = sum(row)
            row[:] = [x / (7 * total) for x in row]
    found = sinkhorn(given, 0.05, 3)
    torch.testing.assert_close(found, 7 * torch.tensor(table), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, lightly_sinkhorn(given, iterations=3, epsilon=0.05), atol=1e-5, rtol=1e-5)


def test_after_many_iterations_both_marginals_are_shared_evenly():
    codes = sinkhorn(scores(30, 6), 0.2, 200)
    torch.testing.assert_close(codes.sum(1), torch.ones(30))
    torch.testing.assert_close(codes.sum(0), torch.full((6,), 5.0), atol=1e-4, rtol=0)


def test_examples_that_do_not_count_change_nothing_for_the_others():
    given, counted = scores(12, 5), torch.arange(12) < 8
    torch.testing.assert_close(sinkhorn(given, 0.05, 3, counted)[:8], sinkhorn(given[:8], 0.05, 3))
    assert not torch.allclose(sinkhorn(given, 0.05, 3)[:8], sinkhorn(given[:8], 0.05, 3))
    assert sinkhorn(given, 0.05, 3, counted).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_scores_in_half_precision_are_finite_where_their_exponential_is_not(dtype):
    given = (3 * scores(9, 4)).to(dtype)  # exp(60) is infinite in half precision
    with torch.autocast("cpu", torch.bfloat16):
        codes = sinkhorn(given, 0.05, 3)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes, sinkhorn(given.float(), 0.05, 3))
    torch.testing.assert_close(codes.sum(1), torch.ones(9))


def test_equal_examples_share_all_prototypes_evenly():
    torch.testing.assert_close(sinkhorn(scores(1, 4).expand(6, 4), 0.05, 3), torch.full((6, 4), 0.25))
