from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch.fx.experimental.proxy_tensor import make_fx

from ssl_zoo.objectives.frame_negatives import equal_to_positive
from ssl_zoo.randomness import draw, example_keys, fold_in, normal, uniform


def splitmix64(state: int) -> int:
    """The published finalizer in Python's unbounded integers."""
    mask = 2**64 - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_the_hash_is_splitmix64_in_wrapping_arithmetic():
    from ssl_zoo.randomness import _mix

    words = [0, 1, 2**63 - 1, 0x9E3779B97F4A7C15, 2**64 - 1, 123456789]
    signed = torch.tensor([word - 2**64 if word >= 2**63 else word for word in words])
    assert [int(word) % 2**64 for word in _mix(signed)] == [splitmix64(word) for word in words]


def test_numbers_hashed_on_the_host_and_on_the_device_are_the_same():
    index = torch.tensor([0, 5, 2**40])
    for seed in (0, 1, 2**62 - 1):
        assert torch.equal(example_keys(seed, 3, index), example_keys(torch.tensor(seed), 3, index))
        assert torch.equal(fold_in(index, seed), fold_in(index, torch.tensor(seed)))


def test_every_bit_is_fair_and_independent_of_its_neighbours_in_every_direction():
    # steps x examples x numbers, as a run draws them
    index = torch.arange(64)
    draws = torch.stack([draw(example_keys(9, step, index), 48).uniform for step in range(64)])
    bits = (((draws * 2**24).long()[..., None] >> torch.arange(24)) & 1).double() * 2 - 1
    count = bits[..., 0].numel()
    assert bits.flatten(0, 2).mean(0).abs().max() < 4.5 / count**0.5
    for direction in range(3):
        turned = bits.roll(1, direction)
        agreement = torch.einsum("abcx,abcy->xy", bits, turned) / count
        assert agreement.abs().max() < 5 / count**0.5  # of 24 x 24 pairs
        assert (bits == turned).all(-1).double().mean() < 1e-4  # never the same number


def test_a_block_of_draws_holds_numbers_of_their_own_and_columns_are_keys_for_more():
    keys = example_keys(3, 1, torch.arange(400))
    first, second = draw(keys, 5, blocks=2).uniform.chunk(2)
    assert torch.equal(draw(keys, 5).uniform, first) and torch.equal(uniform(keys, 5), first)
    columns = [*first.unbind(1), *second.unbind(1)]
    more = draw(keys, 5).columns(1, 3)
    assert torch.equal(more.uniform, first[:, 1:3])
    columns += [*uniform(more.keys[:, 0], 3).unbind(1), *uniform(more.keys[:, 1], 3).unbind(1)]
    correlation = torch.corrcoef(torch.stack(columns)) - torch.eye(len(columns))
    assert correlation.abs().max() < 4.5 / 400**0.5
    assert stats.kstest(torch.stack(columns).flatten(), "uniform").pvalue > 1e-3


def test_draws_are_uniform_and_normal():
    keys = example_keys(seed=1, step=2, index=torch.arange(500))
    assert stats.kstest(uniform(keys, 40).flatten(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal(keys, 41).flatten(), "norm").pvalue > 1e-3
    draws = uniform(keys, 3, 5)
    assert draws.shape == (500, 3, 5) and draws.min() >= 0 and draws.max() < 1


def test_an_example_draws_the_same_whatever_surrounds_it():
    index = torch.tensor([7, 3, 900])
    keys = example_keys(4, 5, index)
    alone = example_keys(4, 5, torch.tensor([3]))
    assert torch.equal(uniform(keys, 6)[1], uniform(alone, 6)[0])
    assert torch.equal(uniform(keys.flip(0), 6), uniform(keys, 6).flip(0))


def test_seed_step_example_and_fold_all_change_the_draws_without_correlation():
    index = torch.arange(1000)
    base = example_keys(0, 0, index)
    others = [example_keys(1, 0, index), example_keys(0, 1, index), example_keys(0, 0, index + 1), fold_in(base, 1)]
    # Neighbouring examples at one step, and seed and step swapped, must not meet either.
    others.append(example_keys(1, 0, index).roll(1))
    for keys in others:
        both = torch.stack([uniform(base, 20).flatten(), uniform(keys, 20).flatten()])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 4 / 20000**0.5
    assert len(torch.cat([base, *others[:4]]).unique()) == 4000 + 1000 - 999  # index + 1 shares 999 keys with index


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    normal(example_keys(0, 0, torch.arange(3)), 5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "compute",
    [
        lambda keys: draw(keys, 24, blocks=2),
        lambda keys: uniform(keys, 3, 5),
        lambda keys: normal(keys, 7),
        lambda keys: example_keys(3, 4, keys),
        lambda keys: equal_to_positive(keys.float().view(1, 4, 2), keys.view(1, 4, 2) % 4),
    ],
    ids=["draw", "uniform", "normal", "example_keys", "equal_to_positive"],
)
def test_no_position_meets_a_number_beyond_32_bits_which_a_gpus_compiler_would_compute_indices_with(
    compute: Callable[[torch.Tensor], object],
):
    graph = make_fx(compute)(torch.arange(8)).graph
    positions: set[torch.fx.Node] = set()
    for node in graph.nodes:
        name = str(node.target)
        numbers = [value for value in node.args if isinstance(value, int)]
        if "arange" in name:
            positions.add(node)
        elif {*node.all_input_nodes} and {*node.all_input_nodes} <= positions and any(map(name.__contains__, FOLDED)):
            positions.add(node)
        else:
            continue
        assert all(abs(number) < 2**31 for number in numbers), f"{name} of a position and {numbers}"


# What TorchInductor folds into an index.
FOLDED = ("view", "expand", "slice", "select", "add.", "sub.", "mul.", "neg.", "remainder")
