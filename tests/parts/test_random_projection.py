import pytest
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.parts.codebooks import code_perplexity
from ssl_zoo.parts.random_projection import RandomProjection, mean_and_deviation


def quantizer(dim: int = 6, entries: int = 40, code_dim: int = 4) -> RandomProjection:
    torch.manual_seed(0)
    return RandomProjection(dim, entries, code_dim)


def vectors(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_a_code_is_the_nearest_entry_to_the_projected_vector_both_of_length_one():
    model, x = quantizer(), vectors(3, 5, 6)
    model.standardize(torch.stack([torch.full((6,), 0.3), torch.full((6,), 2.0)]))
    codes = model(x)
    for row in range(3):
        for place in range(5):
            projected = torch.stack([((x[row, place] - 0.3) / 2) @ model.projection[:, d] for d in range(4)])
            projected = projected / projected.norm()
            distances = [float((projected - entry / entry.norm()).norm()) for entry in model.codebook]
            assert codes[row, place] == distances.index(min(distances))


def test_a_code_depends_on_its_own_vector_alone():
    """In a peer vectors were once normalised over time, and a frame's code changed with its neighbours."""
    model, x = quantizer(), vectors(2, 9, 6)
    codes = model(x)
    assert torch.equal(model(x[:, :4]), codes[:, :4]) and torch.equal(model(100 * x[:1]), codes[:1])


def test_nothing_of_it_is_trained_and_all_of_it_is_kept():
    model = quantizer()
    assert not list(model.parameters())
    assert set(model.state_dict()) == {"mean", "deviation", "projection", "codebook"}
    assert float(model.projection.abs().max()) <= (6 / (6 + 4)) ** 0.5  # Xavier's uniform bound


def test_standardized_vectors_use_many_codes_where_raw_ones_use_few():
    x = 5 + 0.1 * vectors(4000, 6)
    model = quantizer(entries=64)
    raw = code_perplexity(model(x), torch.ones(4000, dtype=torch.bool), 64)
    model.standardize(mean_and_deviation(x))
    standard = code_perplexity(model(x), torch.ones(4000, dtype=torch.bool), 64)
    assert raw < 4 and standard > 30


def test_mean_and_deviation_and_what_never_changes():
    x = torch.cat([vectors(50, 3), torch.full((50, 1), 0.7)], dim=1)
    mean, deviation = mean_and_deviation(x)
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(deviation[:3], x[:, :3].std(0, correction=0))
    assert deviation[3] == 1


def test_perplexity_of_codes():
    codes = torch.tensor([[0, 0, 1], [1, 3, 3]])
    assert float(code_perplexity(codes, torch.ones(2, 3, dtype=torch.bool), 5)) == pytest.approx(3, abs=1e-4)
    assert float(code_perplexity(codes, codes < 2, 5)) == pytest.approx(2, abs=1e-4)
    assert float(code_perplexity(codes, codes < 1, 5)) == pytest.approx(1, abs=1e-4)


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="entries is 1"):
        RandomProjection(6, 1)
    for code_dim in (0, 1):
        with pytest.raises(InputError, match=f"code_dim {code_dim}"):
            RandomProjection(6, 10, code_dim)
