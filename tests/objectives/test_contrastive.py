import math

import pytest
import torch
from lightly.loss import NTXentLoss

from ssl_zoo.objectives.contrastive import nt_xent, nt_xent_logits


def projections(examples: int = 6, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(examples, dim, generator=generator)
    return first, first + 0.5 * torch.randn(examples, dim, generator=generator)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_nt_xent_equals_the_papers_equation_in_plain_loops(temperature):
    first, second = projections()
    views = [list(map(float, view)) for view in torch.cat([first, second])]

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for i in range(12):
        j = (i + 6) % 12
        others = sum(math.exp(cosine(views[i], views[k]) / temperature) for k in range(12) if k != i)
        total -= math.log(math.exp(cosine(views[i], views[j]) / temperature) / others)
    assert float(nt_xent(first, second, temperature)) == pytest.approx(total / 12, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_nt_xent_and_its_gradient_equal_lightlys(temperature):
    ours = [view.clone().requires_grad_() for view in projections(32, 16)]
    theirs = [view.clone().requires_grad_() for view in projections(32, 16)]
    loss = nt_xent(*ours, temperature)
    expected = NTXentLoss(temperature)(*theirs)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad, atol=1e-5, rtol=0)


def test_low_temperatures_stay_finite():
    first, second = projections()
    assert nt_xent(first, second, 1e-4).isfinite()


def test_an_anchor_is_never_its_own_candidate_and_the_positive_always_is():
    first, second = projections()
    logits, targets = nt_xent_logits(first, second, 0.5)
    assert torch.equal(logits.isinf(), torch.eye(12, dtype=torch.bool))
    assert targets.tolist() == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]


def test_similarities_are_computed_in_float32_under_autocast():
    first, second = projections()
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent_logits(first, second, 0.1)[0].dtype == torch.float32
