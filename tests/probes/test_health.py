import math

import pytest
import torch

from ssl_zoo.parts.spread import feature_std
from ssl_zoo.probes.health import alignment, rank_me, uniformity


def sphere(examples: int = 2000, dim: int = 16) -> torch.Tensor:
    return torch.randn(examples, dim, generator=torch.Generator().manual_seed(0))


def test_rank_me_counts_the_dimensions_in_use():
    assert rank_me(sphere()) == pytest.approx(16, abs=0.2)
    low = sphere(dim=3) @ torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    assert 2 < rank_me(low) < 3.01
    assert rank_me(torch.ones(100, 16)) == pytest.approx(1, abs=1e-3)
    diagonal = torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))
    shares = [0.5, 0.25, 0.125, 0.125]
    assert rank_me(diagonal) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), abs=1e-4)


def test_std_is_one_for_an_even_spread_and_zero_for_a_constant():
    assert feature_std(sphere()) == pytest.approx(1, abs=0.02)
    assert feature_std(torch.ones(100, 16)) == pytest.approx(0, abs=1e-5)
    assert feature_std(sphere() * 100) == pytest.approx(float(feature_std(sphere())), abs=1e-4)


def test_alignment_and_uniformity_equal_their_definitions_in_plain_loops():
    first, second = sphere(20, 4), sphere(20, 4).roll(1, 0)
    a, b = (list(x / x.norm(dim=1, keepdim=True)) for x in (first, second))
    assert float(alignment(first, second)) == pytest.approx(
        sum(float((x - y).square().sum()) for x, y in zip(a, b, strict=True)) / 20, abs=1e-5
    )
    potentials = [math.exp(-2 * float((a[i] - a[j]).square().sum())) for i in range(20) for j in range(i)]
    assert float(uniformity(first)) == pytest.approx(math.log(sum(potentials) / len(potentials)), abs=1e-5)
    assert alignment(first, first) == 0
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-4)
