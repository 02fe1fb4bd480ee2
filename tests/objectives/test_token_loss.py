"""The loss of a part at a time against the loss of everything at once."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from ssl_zoo.objectives import token_loss as module
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.objectives.token_loss import token_loss

ROWS, TOKENS, DIM, KINDS = 5, 7, 16, 60


def case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(ROWS, TOKENS, DIM, generator=generator).requires_grad_()
    table = torch.randn(KINDS, DIM, generator=generator).requires_grad_()
    bias = torch.randn(KINDS, generator=generator).requires_grad_()
    targets = torch.randint(0, KINDS, (ROWS, TOKENS), generator=generator)
    return vectors, table, bias, targets, torch.rand(ROWS, TOKENS, generator=generator) < 0.7


@pytest.mark.parametrize("at_once", [1, 4 * KINDS, 33 * KINDS + 5, 10**6])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_are_those_of_all_logits_at_once(at_once, with_bias, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    vectors, table, bias, targets, valid = case()
    bias = bias if with_bias else None
    given = [part for part in (vectors, table, bias) if part is not None]
    logits = F.linear(vectors, table, bias)
    expected = global_mean(token_nats(logits, targets), valid)
    found = token_loss(vectors, table, bias, targets, valid)
    torch.testing.assert_close(found.mean.share, expected.share)
    torch.testing.assert_close(found.mean.value, expected.value)
    assert torch.equal(found.likeliest, logits.argmax(-1)) and not found.mean.value.requires_grad
    ours, theirs = (torch.autograd.grad(3 * mean.share, given) for mean in (found.mean, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)
    with torch.no_grad():
        assert torch.equal(token_loss(vectors, table, bias, targets, valid).mean.value, found.mean.value)


@pytest.mark.parametrize("at_once", [1, 4 * KINDS, 10**6])
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_label_smoothing_is_pytorchs_and_what_is_reported_is_without_it(at_once, smoothing, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    vectors, table, bias, targets, valid = case()
    given = [vectors, table, bias]
    logits = F.linear(vectors, table, bias)
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing, reduction="none")
    expected = (each * valid.flatten()).sum() / valid.sum()
    found = token_loss(*given, targets, valid, smoothing=smoothing).mean
    torch.testing.assert_close(found.share, expected)
    torch.testing.assert_close(found.value, global_mean(token_nats(logits, targets), valid).value)
    for our, their in zip(*(torch.autograd.grad(loss, given) for loss in (found.share, expected)), strict=True):
        torch.testing.assert_close(our, their)


def test_label_smoothing_in_closed_form():
    # Of the target the logit z, of the others 0: -log p is log(e^z + V - 1) - z of it, and log(e^z + V - 1) of others.
    kinds, logit, smoothing = 5, 2.0, 0.3
    table = torch.zeros(kinds, 1)
    table[3] = logit
    found = token_loss(
        torch.ones(1, 1), table, None, torch.tensor([3]), torch.ones(1, dtype=torch.bool), smoothing=smoothing
    )
    share_of_target = 1 - smoothing + smoothing / kinds
    total = math.log(math.exp(logit) + kinds - 1)
    assert float(found.mean.share) == pytest.approx(total - share_of_target * logit, abs=1e-6)
    assert float(found.mean.value) == pytest.approx(total - logit, abs=1e-6)


@pytest.mark.parametrize("at_once", [4 * KINDS, 10**6])
def test_tokens_are_drawn_as_often_as_the_softmax_says_and_without_gradient(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    vectors, table, bias, targets, valid = case()
    many = 500
    draws = torch.rand(many, ROWS, TOKENS, generator=torch.Generator().manual_seed(1))
    given = vectors.expand(many, -1, -1, -1), table, bias, targets.expand(many, -1, -1), valid.expand(many, -1, -1)
    found = token_loss(*given, draws)
    assert found.drawn is not None and not found.drawn.requires_grad
    odds = F.linear(vectors, table, bias).detach().double().softmax(-1)
    expected = many * odds.sum((0, 1))
    counts = torch.bincount(found.drawn.flatten(), minlength=KINDS)
    rare = expected < 5  # too few to be counted one by one
    found_often, expected_often = ([*each[~rare], each[rare].sum() + 1] for each in (counts, expected))
    assert stats.chisquare(found_often, expected_often).pvalue > 1e-3
    # A draw says which token it is: the first up to which the probabilities exceed it.
    for row, place in ((0, 0), (3, 5)):
        total, token = 0.0, -1
        while total <= float(draws[7, row, place]):
            token += 1
            total += float(odds[row, place, token])
        assert int(found.drawn[7, row, place]) == token
    plain, too = (token_loss(vectors, table, bias, targets, valid, draw) for draw in (None, draws[0]))
    assert plain.drawn is None and torch.equal(plain.mean.value, too.mean.value)
    assert torch.equal(too.drawn, found.drawn[0])


def test_in_bfloat16_it_is_as_close_to_the_exact_gradient_as_the_logits_at_once(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 6 * KINDS)
    vectors, table, bias, targets, valid = case()
    given = (vectors, table, bias)
    exact = torch.autograd.grad(global_mean(token_nats(F.linear(*given), targets), valid).share, given)
    with torch.autocast("cpu", torch.bfloat16):
        at_once = torch.autograd.grad(global_mean(token_nats(F.linear(*given), targets), valid).share, given)
        loss = token_loss(*given, targets, valid).mean.share
    assert loss.dtype == torch.float32
    for ours, theirs, right in zip(torch.autograd.grad(loss, given), at_once, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - right).norm() < 1.5 * (theirs - right).norm() + 1e-6


def test_extreme_logits_and_an_empty_choice_give_finite_numbers():
    vectors, table, _, targets, valid = case()
    loss = token_loss(1000 * vectors, 1000 * table, None, targets, valid).mean.share
    assert loss.isfinite() and all(grad.isfinite().all() for grad in torch.autograd.grad(loss, (vectors, table)))
    nothing = token_loss(vectors, table, None, targets, torch.zeros_like(valid)).mean
    assert not nothing.share.detach() and not nothing.value


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that an operation gives."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


def test_no_more_logits_exist_at_a_time_than_it_says(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 8 * KINDS)
    vectors, table, bias, targets, valid = case()
    with Largest() as largest:
        token_loss(vectors, table, bias, targets, valid).mean.share.backward()
    assert ROWS * TOKENS * KINDS > 2 * largest.numbers and largest.numbers <= max(8 * KINDS, KINDS * DIM)
