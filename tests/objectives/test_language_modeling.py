"""Token losses against PyTorch's own, plain loops, and one process against two."""

import math

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from ssl_zoo.objectives.language_modeling import (
    bits_per_byte,
    global_mean,
    initialize_head,
    token_nats,
)
from tests.two_processes import in_group

ROWS, TOKENS, KINDS = 6, 10, 30


def logits() -> torch.Tensor:
    return 3 * torch.randn(ROWS, TOKENS, KINDS, generator=torch.Generator().manual_seed(0))


def targets() -> torch.Tensor:
    return torch.randint(0, KINDS, (ROWS, TOKENS), generator=torch.Generator().manual_seed(1))


def valid() -> torch.Tensor:
    """Which tokens count: few in the first rows, many in the last."""
    return torch.arange(TOKENS) < torch.tensor([1, 2, 0, 10, 9, 10])[:, None]


def test_nats_are_minus_the_log_of_softmax():
    nats = token_nats(logits(), targets())
    assert nats.shape == (ROWS, TOKENS)
    for row in range(ROWS):
        for token in range(TOKENS):
            chance = logits()[row, token].double().softmax(0)[targets()[row, token]]
            assert float(nats[row, token]) == pytest.approx(-math.log(chance), abs=1e-5)


def test_autocast_takes_no_digits_away():
    exact = token_nats(logits(), targets())
    with torch.autocast("cpu", torch.bfloat16):
        low = token_nats(logits(), targets())
    assert low.dtype == torch.float32 and torch.equal(low, exact)
    assert token_nats(logits().bfloat16(), targets()).dtype == torch.float32


def test_the_mean_is_that_of_cross_entropy_with_ignored_targets():
    scores = logits().requires_grad_()
    mean = global_mean(token_nats(scores, targets()), valid())
    expected = F.cross_entropy(scores.flatten(0, 1), targets().masked_fill(~valid(), -100).flatten())
    torch.testing.assert_close(mean.share, expected)
    torch.testing.assert_close(mean.value, expected.detach())
    ours, theirs = (torch.autograd.grad(loss, scores)[0] for loss in (mean.share, expected))
    torch.testing.assert_close(ours, theirs)


def test_weights_count_as_such_and_none_give_zero():
    values, weights = torch.tensor([1.0, 5.0, 9.0], requires_grad=True), torch.tensor([0.5, 0.0, 1.5])
    assert float(global_mean(values, weights).value) == pytest.approx((0.5 * 1 + 1.5 * 9) / 2)
    nothing = global_mean(values, torch.zeros(3))
    nothing.share.backward()
    assert float(nothing.value) == 0 and values.grad.tolist() == [0, 0, 0]


def step(share: slice) -> dict[str, torch.Tensor]:
    scores = logits()[share].requires_grad_()
    mean = global_mean(token_nats(scores, targets()[share]), valid()[share])
    (gradient,) = torch.autograd.grad(mean.share, scores)
    return {"share": mean.share.detach(), "value": mean.value, "gradient": gradient}


def step_of_this_rank() -> dict[str, torch.Tensor]:
    return step(slice(3 * dist.get_rank(), 3 * dist.get_rank() + 3))


def test_two_processes_with_unequal_counts_have_the_mean_of_one(two_processes):
    one, two = step(slice(None)), two_processes(in_group, step_of_this_rank)
    torch.testing.assert_close((two[0]["share"] + two[1]["share"]) / 2, one["share"])
    assert torch.equal(two[0]["value"], two[1]["value"])
    torch.testing.assert_close(two[0]["value"], one["value"])
    # DDP averages gradients over ranks.
    torch.testing.assert_close(torch.cat([two[0]["gradient"], two[1]["gradient"]]) / 2, one["gradient"])
    # The test could not see the difference did the ranks' own means agree.
    nats = token_nats(logits(), targets())
    means = [float(nats[half][valid()[half]].mean()) for half in (slice(3), slice(3, 6))]
    assert abs(sum(means) / 2 - float(one["value"])) > 0.05


def test_bits_per_byte_count_what_all_tokens_cost_over_the_bytes_of_text():
    # Nine tokens of text, three bytes each, and an end token; every one costs two bits.
    assert float(bits_per_byte(torch.tensor(2 * math.log(2)), 9 * 3 / 10)) == pytest.approx(10 * 2 / (9 * 3))
    # A uniform guess among 256 bytes costs eight bits.
    assert float(bits_per_byte(torch.tensor(math.log(256)), 1.0)) == pytest.approx(8)


def test_heads_start_as_in_the_papers():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(300, 300), nn.LayerNorm(300), nn.Linear(300, 2, bias=False))
    initialize_head(head)
    weights = head[0].weight.detach()
    assert (
        abs(float(weights.mean())) < 5 * 0.02 / 300 and abs(float(weights.std()) / 0.02 - 1) < 5 / (2 * 300**2) ** 0.5
    )
    assert not head[0].bias.any() and head[1].weight.eq(1).all()
