import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.parts.queue import KeyQueue


def unit(count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 3), dim=1)


def test_it_holds_the_last_keys_in_plain_loops():
    torch.manual_seed(0)
    queue, history = KeyQueue(7, 3), []
    for number, size in enumerate([3, 2, 4, 7, 1, 9, 5]):
        keys, index = unit(size), torch.arange(size) + 100 * number
        queue.push(keys, index)
        history += list(zip(index.tolist(), keys.tolist(), strict=True))
        held = dict(history[-7:])
        filled = [(int(i), key) for i, key in zip(queue.index, queue.keys.tolist(), strict=True) if i >= 0]
        assert len(filled) == min(7, len(history))
        assert all(held[i] == key for i, key in filled)


def test_it_starts_with_random_directions_that_belong_to_no_example():
    queue = KeyQueue(5, 3)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(5))
    assert queue.index.tolist() == [-1] * 5


def test_it_is_saved_with_the_weights_and_goes_on_where_it_was():
    torch.manual_seed(0)
    queue, restored = KeyQueue(4, 3), KeyQueue(4, 3)
    queue.push(unit(3), torch.arange(3))
    assert set(queue.state_dict()) == {"keys", "index", "pointer"}
    restored.load_state_dict(queue.state_dict())
    keys = unit(3)
    for each in (queue, restored):
        each.push(keys, torch.arange(3, 6))
    assert torch.equal(queue.keys, restored.keys)
    assert restored.index.tolist() == [4, 5, 2, 3]


def test_keys_carry_no_gradient_and_bfloat16_keys_are_kept_in_float32():
    queue = KeyQueue(4, 3)
    queue.push(unit(2).requires_grad_().bfloat16(), torch.arange(2))
    assert not queue.keys.requires_grad and queue.keys.dtype == torch.float32


@pytest.mark.parametrize("size", [1, 4])
def test_a_batch_as_large_as_the_queue_replaces_it(size):
    queue, keys = KeyQueue(size, 3), unit(4)
    queue.push(keys, torch.arange(4))
    assert {tuple(key) for key in queue.keys.tolist()} == {tuple(key) for key in keys[-size:].tolist()}
