"""VQ-VAE's quantizer against plain loops, and entries that nothing chooses."""

import pytest
import torch
import torch.distributed as dist

from ssl_zoo.errors import InputError
from ssl_zoo.parts.averaged_quantizer import AveragedQuantizer
from ssl_zoo.randomness import example_keys
from tests.two_processes import in_group

ROWS, PLACES, DIM = 4, 6, 5
KEYS = example_keys(0, 1, torch.arange(ROWS))


def make(used: bool = True, **settings) -> AveragedQuantizer:
    torch.manual_seed(0)
    found = AveragedQuantizer(DIM, **{"entries": 7, "code_dim": 3, **settings})
    if used:
        found.codebook.normal_()
        found.sums.copy_(found.codebook)
        found.idle.zero_()
    return found


def vectors(seed: int = 1) -> torch.Tensor:
    return torch.randn(ROWS, PLACES, DIM, generator=torch.Generator().manual_seed(seed))


def test_codes_vectors_and_gradients_are_those_of_plain_loops():
    quantizer, given = make(), vectors().requires_grad_()
    before = quantizer.codebook.clone()
    upstream, weights = torch.randn(ROWS, PLACES, 3), torch.rand(ROWS, PLACES)
    found = quantizer(given, KEYS)
    ((found.vectors * upstream).sum() + (found.penalty * weights).sum()).backward()
    ours = [given.grad.clone(), *(parameter.grad.clone() for parameter in quantizer.parameters())]
    given.grad = None
    quantizer.zero_grad()
    total = 0.0
    for row in range(ROWS):
        for place in range(PLACES):
            z = quantizer.projection.weight @ given[row, place] + quantizer.projection.bias
            distances = [(z - entry).square().sum().item() for entry in before]
            code = distances.index(min(distances))
            assert int(found.codes[row, place]) == code
            assert torch.equal(found.vectors[row, place], before[code])  # bit for bit, and not as it is afterwards
            away = (z - before[code]).square().sum() / 3
            assert found.penalty[row, place].item() == pytest.approx(away.item(), rel=1e-5)
            total = total + (z * upstream[row, place]).sum() + away * weights[row, place]  # straight through
    total.backward()
    for one, other in zip(ours, [given.grad, *(p.grad for p in quantizer.parameters())], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_entries_are_running_means_of_what_chooses_them():
    quantizer = make(decay=0.9, patience=1000)
    counts, sums, entries = torch.ones(7), quantizer.codebook.clone(), quantizer.codebook.clone()
    for step in range(5):
        given = vectors(step)
        found = quantizer(given, KEYS)
        projected = quantizer.projection(given)
        for code in range(7):
            chosen = projected[found.codes == code]
            counts[code] = 0.9 * counts[code] + 0.1 * len(chosen)
            sums[code] = 0.9 * sums[code] + 0.1 * chosen.sum(0)
            if len(chosen):
                entries[code] = sums[code] / counts[code]
        torch.testing.assert_close(quantizer.codebook, entries, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_an_entry_that_is_not_chosen_stays_and_one_step_throws_none_away():
    quantizer = make()
    quantizer.codebook[3] = quantizer.sums[3] = torch.tensor([0.0, 0.0, 50.0])  # out of reach
    before = quantizer.codebook.clone()
    for _ in range(20):
        quantizer(vectors(), KEYS)
    assert torch.equal(quantizer.codebook[3], before[3])
    # With counts that begin at 0, as in rosinality's code, m / N of such an entry is e / 1e-5 after a step.
    assert quantizer.codebook.abs().max() <= 50


@torch.no_grad()
def test_entries_begin_as_different_vectors_of_the_first_batch():
    quantizer, given = make(used=False), vectors()
    assert float(quantizer.in_use) == 0
    projected = quantizer.projection(given).flatten(0, 1)
    found = quantizer(given, KEYS)
    assert float(found.penalty.min()) == pytest.approx(0, abs=1e-12)
    # Before it has moved: of another one that stands still.
    still = make(used=False, decay=0.999999)
    still(given, KEYS)
    nearest = torch.cdist(still.codebook, projected)
    assert nearest.min(1).values.max() < 1e-4 and len(set(nearest.argmin(1).tolist())) == 7
    assert float(quantizer.in_use) == 1


@torch.no_grad()
def test_what_nothing_chooses_for_long_begins_anew_and_what_is_chosen_does_not():
    quantizer = make(patience=3)
    quantizer.codebook[2] = quantizer.sums[2] = 90.0
    given = vectors()
    for step in range(3):
        assert (quantizer.codebook[2] == 90).all()
        quantizer(given, KEYS)
        assert int(quantizer.idle[2]) == step + 1
    assert float(quantizer.in_use) < 1
    quantizer(given, KEYS)
    assert quantizer.codebook[2].abs().max() < 10 and float(quantizer.counts[2]) > 0.9
    evaluated = make(patience=1).eval()
    evaluated.idle.fill_(9)
    state = {name: value.clone() for name, value in evaluated.state_dict().items()}
    evaluated(given, KEYS)
    make_nothing = make(patience=1)
    make_nothing(given)  # without keys
    assert all(torch.equal(state[name], value) for name, value in evaluated.state_dict().items())
    assert torch.equal(make_nothing.codebook, make().codebook)


def trained(share: slice) -> dict[str, torch.Tensor]:
    """The state after some steps on a share of the rows."""
    quantizer = make(patience=2)
    quantizer.idle[:3] = 5
    for seed in range(4):
        quantizer(vectors(seed)[share], KEYS[share])
    return quantizer.state_dict()


def of_a_rank() -> dict[str, torch.Tensor]:
    return trained(slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2))


def test_two_processes_keep_the_codebook_of_one(two_processes):
    expected = trained(slice(None))
    for found in two_processes(in_group, of_a_rank):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"entries": 1}, "entries is 1; give a number of at least 2"),
        ({"code_dim": 0}, "code_dim is 0; give a number of at least 1"),
        ({"patience": 0}, "patience is 0; give a number of at least 1"),
        ({"decay": 1.0}, r"decay is 1\.0; give a number from 0 up to but not including 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        make(**settings)
