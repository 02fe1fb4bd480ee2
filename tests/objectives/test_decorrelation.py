import math

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss
from torch.nn import functional as F

from ssl_zoo.objectives.decorrelation import barlow_twins, covariance_penalty, cross_correlation, variance_hinge


def projections(examples: int = 6, dim: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(examples, dim, generator=generator)
    return first, first + 0.5 * torch.randn(examples, dim, generator=generator) + 3


def columns(vectors: torch.Tensor) -> list[list[float]]:
    return [list(map(float, column)) for column in vectors.T]


def covariance(x: list[float], y: list[float], over: int) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / over


def vicreg(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    hinge, penalty = (each(first) + each(second) for each in (variance_hinge, covariance_penalty))
    return 25 * F.mse_loss(first, second) + 25 * hinge / 2 + penalty


def test_barlow_twins_is_the_papers_equation_in_plain_loops():
    first, second = projections()
    total = 0.0
    for i, x in enumerate(columns(first)):
        for j, y in enumerate(columns(second)):
            c = covariance(x, y, 6) / math.sqrt((covariance(x, x, 6) + 1e-5) * (covariance(y, y, 6) + 1e-5))
            total += (1 - c) ** 2 if i == j else 0.3 * c**2
    assert float(barlow_twins(cross_correlation(first, second), 0.3)) == pytest.approx(total, abs=1e-5)


def test_vicregs_terms_are_the_papers_equations_in_plain_loops():
    (vectors, _), dim = projections(), 4
    vectors[:, 0] *= 0.2
    hinge = sum(max(0.0, 1 - math.sqrt(covariance(x, x, 5) + 1e-4)) for x in columns(vectors)) / dim
    assert float(variance_hinge(vectors)) == pytest.approx(hinge, abs=1e-6)
    squares = [
        covariance(x, y, 5) ** 2
        for i, x in enumerate(columns(vectors))
        for j, y in enumerate(columns(vectors))
        if i != j
    ]
    assert float(covariance_penalty(vectors)) == pytest.approx(sum(squares) / dim, abs=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda *views: barlow_twins(cross_correlation(*views), 0.02), BarlowTwinsLoss(0.02)),
        (vicreg, VICRegLoss()),
    ],
    ids=["Barlow Twins", "VICReg"],
)
def test_losses_and_gradients_equal_lightlys(ours, theirs):
    mine, others = ([view.clone().requires_grad_() for view in projections(32, 16)] for _ in range(2))
    loss, expected = ours(*mine), theirs(*others)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-6)
    loss.backward()
    expected.backward()
    for one, other in zip(mine, others, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=0)


def test_constant_projections_cost_what_the_alarms_take_for_chance_and_have_a_finite_gradient():
    same = torch.ones(8, 5, requires_grad=True)
    loss, hinge = barlow_twins(cross_correlation(same, same), 0.005), variance_hinge(same)
    assert loss.item() == 5 and hinge.item() == pytest.approx(0.99)
    (loss + hinge + covariance_penalty(same)).backward()
    assert same.grad.isfinite().all()


def test_the_batch_s_order_and_a_shift_change_nothing():
    first, second = projections()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    for function in (variance_hinge, covariance_penalty):
        torch.testing.assert_close(function(first), function(first[order] + 7))
    torch.testing.assert_close(
        cross_correlation(first, second), cross_correlation(first[order] + 7, second[order] - 2), atol=1e-5, rtol=0
    )


def test_they_are_computed_in_float32_under_autocast():
    first, second = projections()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(covariance_penalty(first.bfloat16()), covariance_penalty(first.bfloat16().float()))
        assert cross_correlation(first, second).dtype == torch.float32
        assert float(cross_correlation(first, first)[0, 0]) == pytest.approx(1, abs=1e-4)
