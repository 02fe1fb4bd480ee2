"""vq-wav2vec's k-means quantizer against plain loops, and entries that nothing uses."""

import pytest
import torch
import torch.distributed as dist
from torch.nn import functional as F

from ssl_zoo.errors import InputError
from ssl_zoo.parts.nearest_quantizer import NearestQuantizer
from ssl_zoo.randomness import example_keys
from tests.two_processes import in_group

ROWS, PLACES, DIM = 4, 12, 6
KEYS = example_keys(0, 1, torch.arange(ROWS))
REAL = torch.arange(PLACES) < torch.tensor([12, 11, 2, 5])[:, None]


def make(**settings) -> NearestQuantizer:
    torch.manual_seed(0)
    found = NearestQuantizer(DIM, **{"groups": 2, "entries": 5, "code_dim": 8, **settings})
    with torch.no_grad():
        found.norm.weight.mul_(1.3)
        found.norm.bias.add_(0.1)
        found.codebooks.normal_()
    found.idle.zero_()
    return found


def vectors(seed: int = 1) -> torch.Tensor:
    return torch.randn(ROWS, PLACES, DIM, generator=torch.Generator().manual_seed(seed))


def test_codes_vectors_penalty_and_gradients_are_those_of_plain_loops():
    quantizer, given = make(), vectors().requires_grad_()
    upstream, weights = torch.randn(ROWS, PLACES, 8), torch.rand(ROWS, PLACES)
    found = quantizer(given, REAL, KEYS)
    ((found.vectors * upstream).sum() + (found.penalty * weights).sum()).backward()
    ours = [given.grad.clone(), *(parameter.grad.clone() for parameter in quantizer.parameters())]
    given.grad = None
    quantizer.zero_grad()
    total = 0.0
    matrices = quantizer.projection.weight[..., 0].unflatten(0, (2, 4))
    for row in range(ROWS):
        for place in range(PLACES):
            away = 0.0
            for group in range(2):
                z = matrices[group] @ given[row, place, 3 * group : 3 * group + 3]
                z = (z - z.mean()) / (z.var(correction=0) + 1e-5).sqrt()
                here = slice(4 * group, 4 * group + 4)
                z = z * quantizer.norm.weight[here] + quantizer.norm.bias[here]
                distances = [(z - entry).square().sum().item() for entry in quantizer.codebooks[group].detach()]
                code = distances.index(min(distances))
                assert int(found.codes[row, place, group]) == code
                q = quantizer.codebooks[group, code]
                torch.testing.assert_close(found.vectors[row, place, here], q, atol=1e-6, rtol=1e-5)
                away = away + ((q - z.detach()).square() + 0.25 * (z - q.detach()).square()).sum() / 8
                total = total + (z * upstream[row, place, here]).sum()  # straight through
            assert found.penalty[row, place].item() == pytest.approx(float(away.detach()), rel=1e-4)
            total = total + away * weights[row, place]
    total.backward()
    for one, other in zip(ours, [given.grad, *(p.grad for p in quantizer.parameters())], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_equal_codes_have_equal_vectors_bit_for_bit():
    found = make()(vectors(), REAL, KEYS)
    entries = make().codebooks[torch.arange(2), found.codes].flatten(2)
    assert torch.equal(found.vectors, entries)


@torch.no_grad()
def test_entries_begin_as_different_real_vectors_of_the_first_batch():
    torch.manual_seed(0)
    quantizer = NearestQuantizer(DIM, 2, 5, 8)
    assert quantizer.codebooks.abs().max() < 0.1  # the authors' code, as far as nothing has been seen
    given = vectors()
    projected = F.group_norm(F.conv1d(given.flatten(0, 1)[..., None], quantizer.projection.weight, groups=2)[..., 0], 2)
    real = projected.view(ROWS, PLACES, 2, 4)[REAL]
    found = quantizer(given, REAL, KEYS)
    for group in range(2):
        distances = (quantizer.codebooks[group][:, None] - real[:, group]).norm(dim=2)
        assert distances.amin(1).max() < 1e-4 and len(set(distances.argmin(1).tolist())) == 5
        assert set(range(5)) == set(found.codes[REAL][:, group].tolist())  # each is chosen by itself


@torch.no_grad()
def test_an_entry_that_nothing_uses_becomes_a_vector_of_the_batch_and_others_stay():
    quantizer = make(patience=3)
    quantizer.codebooks[0, 2] = 100.0
    before = quantizer.codebooks.clone()
    for step in range(3):
        quantizer(vectors(step), REAL, KEYS)
        assert torch.equal(quantizer.codebooks, before) and int(quantizer.idle[0, 2]) == step + 1
    found = quantizer(vectors(3), REAL, KEYS)
    assert (found.codes[REAL][:, 0] == 2).any() and int(quantizer.idle[0, 2]) == 0
    changed = (quantizer.codebooks != before).any(2)
    assert changed[0, 2] and not changed[quantizer.idle == 0].sum() > 1
    assert quantizer.codebooks[0, 2].abs().max() < 10


@torch.no_grad()
def test_evaluation_and_whoever_has_no_keys_change_nothing():
    quantizer = make(patience=1)
    quantizer.idle.fill_(5)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(vectors(), REAL)
    quantizer.eval()(vectors(), REAL, KEYS)
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, before[name])


@torch.no_grad()
def test_padding_is_no_vector_that_an_entry_begins_as_nor_one_that_uses_it():
    torch.manual_seed(0)
    one, other = NearestQuantizer(DIM, 2, 5, 8), NearestQuantizer(DIM, 2, 5, 8)
    other.load_state_dict(one.state_dict())
    noisy = torch.where(REAL[..., None], vectors(), vectors(9))
    for _ in range(2):
        one(vectors(), REAL, KEYS), other(noisy, REAL, KEYS)
    assert torch.equal(one.codebooks, other.codebooks) and torch.equal(one.idle, other.idle)


def of_a_rank() -> dict[str, torch.Tensor]:
    share = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    torch.manual_seed(0)
    quantizer = NearestQuantizer(DIM, 2, 30, 8, patience=1)
    for step in range(3):
        quantizer(vectors(step)[share], REAL[share], KEYS[share])
    return quantizer.state_dict()


def test_two_processes_keep_the_codebooks_of_one(two_processes):
    torch.manual_seed(0)
    quantizer = NearestQuantizer(DIM, 2, 30, 8, patience=1)  # as many as there are real vectors
    for step in range(3):
        quantizer(vectors(step), REAL, KEYS)
    for found in two_processes(in_group, of_a_rank):
        for name, value in quantizer.state_dict().items():
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-6)


def test_sizes_that_do_not_divide_are_refused():
    for sizes in ((7, 2, 8), (6, 4, 8), (6, 2, 9), (6, 0, 8)):
        with pytest.raises(InputError, match=f"groups {sizes[1]} divides not both"):
            NearestQuantizer(sizes[0], sizes[1], 5, sizes[2])
    with pytest.raises(InputError, match="entries is 1; a codebook needs at least 2"):
        NearestQuantizer(6, 2, 1, 8)
    with pytest.raises(InputError, match="code_dim is 2 for groups 2: give at least two numbers to each"):
        NearestQuantizer(6, 2, 5, 2)
