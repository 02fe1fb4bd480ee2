import cmath
import math

import pytest
import torch
from lightly.loss.lejepa_loss import SIGReg, lejepa_invariance_loss

from ssl_zoo.objectives.sigreg import AT_A_POINT, random_directions, sigreg
from ssl_zoo.objectives.similarity import distance_to_centre
from ssl_zoo.randomness import example_keys


def key(number: int = 0) -> torch.Tensor:
    return example_keys(0, number, torch.tensor([0]))


def projections(views: int = 2, examples: int = 6, dim: int = 4) -> torch.Tensor:
    return 1.5 * torch.randn(views, examples, dim, generator=torch.Generator().manual_seed(0)) + 0.3


def closed_form(sample: list[float]) -> float:
    """The statistic of Epps and Pulley with the integral over the whole line, which has Gaussian terms alone."""
    size = len(sample)
    pairs = sum(math.exp(-((x - y) ** 2) / 2) for x in sample for y in sample) / size**2
    cross = sum(math.exp(-(x**2) / 4) for x in sample) / size
    return size * (math.sqrt(2 * math.pi) * pairs - 2 * math.sqrt(math.pi) * cross + math.sqrt(2 * math.pi / 3))


def by_quadrature(sample: list[float]) -> float:
    """The same on 33 knots from -3 to 3, with complex numbers, as the definition has it."""
    values = []
    for step in range(-16, 17):
        t = 3 * step / 16
        empirical = sum(cmath.exp(1j * t * x) for x in sample) / len(sample)
        values.append(abs(empirical - math.exp(-(t**2) / 2)) ** 2 * math.exp(-(t**2) / 2))
    return len(sample) * 3 / 16 * (sum(values) - (values[0] + values[-1]) / 2)


def mean_of_tests(statistic, vectors: torch.Tensor, directions: torch.Tensor) -> float:
    """One test for each view and direction."""
    samples = [(view @ direction).tolist() for view in vectors for direction in directions.T]
    return sum(map(statistic, samples)) / len(samples)


def test_it_is_the_quadrature_of_its_definition():
    vectors, directions = projections(), random_directions(key(), 4, 5)
    expected = mean_of_tests(by_quadrature, vectors, directions)
    assert float(sigreg(vectors, directions)) == pytest.approx(expected, abs=1e-5)


def test_with_many_knots_it_is_the_closed_form_of_epps_and_pulley():
    vectors, directions = projections(), random_directions(key(), 4, 5)
    expected = mean_of_tests(closed_form, vectors, directions)
    assert float(sigreg(vectors, directions, knots=161, limit=8.0)) == pytest.approx(expected, abs=1e-5)
    assert float(sigreg(vectors, directions)) == pytest.approx(expected, rel=0.02)  # 17 knots to 3 lose little


def test_it_and_its_gradient_equal_lightlys():
    directions = random_directions(key(), 4, 7)
    theirs = SIGReg(num_vectors=7)
    theirs._generate_unit_vectors = lambda *_, **__: directions
    ours, others = (projections().requires_grad_() for _ in range(2))
    loss, expected = sigreg(ours, directions), sum(theirs(view) for view in others) / 2
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, others.grad, atol=1e-5, rtol=0)


def test_each_view_has_a_test_of_its_own():
    """Other code has put all views into one sample, where what each view lacks may be in the others."""
    sample = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).sort(0).values
    halves, directions = sample.view(2, 250, 1), torch.ones(1, 1)
    each = [float(sigreg(half[None], directions)) for half in halves]
    assert float(sigreg(halves, directions)) == pytest.approx(sum(each) / 2)
    assert min(each) > 20 * float(sigreg(sample[None], directions))


def test_the_statistic_of_a_normal_sample_is_about_its_mean_and_that_of_zeros_grows_with_the_batch():
    directions = random_directions(key(), 16, 64)
    for size in (32, 256):
        normal = torch.randn(64, size, 16, generator=torch.Generator().manual_seed(size))
        # E |mean of exp(itx) - exp(-t^2 / 2)|^2 is (1 - exp(-t^2)) / N
        assert float(sigreg(normal, directions)) == pytest.approx(math.sqrt(2 * math.pi) * (1 - 3**-0.5), rel=0.05)
        zeros = float(sigreg(torch.zeros(1, size, 16), directions))
        assert zeros == pytest.approx(size * AT_A_POINT) == pytest.approx(size * by_quadrature([0.0]))
        for constant in (0.1, 1.0, 10.0):
            assert sigreg(torch.full((1, size, 16), constant), directions) > zeros


def test_every_fault_of_a_sample_makes_it_larger():
    directions = random_directions(key(), 8, 64)
    normal = torch.randn(1, 512, 8, generator=torch.Generator().manual_seed(0))
    signs = normal.sign() * (1 + 0.01 * normal)
    for faulty in (normal * 2, normal / 2, normal + 0.3, normal[:, :, :1].expand(-1, -1, 8), signs):
        assert sigreg(faulty, directions) > 1.5 * sigreg(normal, directions)


def test_the_batchs_order_changes_nothing():
    vectors, directions = projections(), random_directions(key(), 4, 5)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sigreg(vectors, directions), sigreg(vectors[:, order], directions))


def test_directions_are_unit_vectors_all_over_the_sphere_and_their_keys_alone_decide():
    directions = random_directions(key(), 5, 4000)
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(4000))
    torch.testing.assert_close(directions @ directions.T / 4000, torch.eye(5) / 5, atol=0.01, rtol=0)
    assert directions.mean(1).abs().max() < 0.03
    assert torch.equal(directions, random_directions(key(), 5, 4000))
    assert not torch.isclose(directions, random_directions(key(1), 5, 4000)).any(0).all()


def test_it_is_computed_in_float32_under_autocast():
    vectors, directions = projections(), random_directions(key(), 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sigreg(vectors, directions), sigreg(vectors, directions).float())
        inside = sigreg(vectors.bfloat16(), directions)
    torch.testing.assert_close(inside, sigreg(vectors.bfloat16().float(), directions))


@pytest.mark.parametrize("central", [2, 3])
def test_the_distance_to_the_centre_in_plain_loops(central):
    """Other code has left the views that the centre is of out of the mean."""
    vectors = projections(3, 4, 2)
    total = 0.0
    for example in range(4):
        for dimension in range(2):
            values = vectors[:, example, dimension].tolist()
            total += sum((value - sum(values[:central]) / central) ** 2 for value in values)
    assert float(distance_to_centre(vectors, central)) == pytest.approx(total / 24, abs=1e-6)


def test_of_two_views_the_distance_to_the_centre_is_a_quarter_of_that_between_them_and_both_have_a_gradient():
    first, second = (view.clone().requires_grad_() for view in projections(2, 4, 2))
    distance = distance_to_centre(torch.stack([first, second]), 2)
    torch.testing.assert_close(distance, (first - second).square().mean() / 4)
    distance.backward()
    torch.testing.assert_close(first.grad, -second.grad)
    assert first.grad.abs().sum() > 0


def test_it_equals_lightlys_invariance():
    vectors = projections(5, 4, 3)
    expected = lejepa_invariance_loss(all_proj=vectors, global_proj=vectors[:2])
    torch.testing.assert_close(distance_to_centre(vectors, 2), expected)
