import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch.nn import functional as F

from ssl_zoo.objectives.similarity import negative_cosine


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(9, 5, generator=generator), torch.randn(9, 5, generator=generator)


def test_it_and_its_gradient_equal_lightlys():
    target = pair()[1]
    ours, theirs = (pair()[0].requires_grad_() for _ in range(2))
    loss, expected = negative_cosine(ours, target), NegativeCosineSimilarity()(theirs, target)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)


def test_byols_squared_distance_of_unit_vectors_is_two_plus_twice_it():
    predicted, target = pair()
    squared = (F.normalize(predicted, dim=1) - F.normalize(target, dim=1)).square().sum(1).mean()
    assert float(squared) == pytest.approx(float(2 + 2 * negative_cosine(predicted, target)), abs=1e-5)


def test_no_gradient_reaches_the_target():
    predicted, target = (each.requires_grad_() for each in pair())
    negative_cosine(predicted, target).backward()
    assert target.grad is None and predicted.grad.abs().sum() > 0


def test_it_is_computed_in_float32():
    predicted, target = pair()
    assert negative_cosine(predicted.bfloat16(), target.bfloat16()).dtype == torch.float32
