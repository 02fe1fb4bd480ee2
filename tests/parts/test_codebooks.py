import math

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.errors import InputError
from ssl_zoo.parts.codebooks import GumbelQuantizer, Quantized, code_use, gumbel
from ssl_zoo.randomness import example_keys

ROWS, FRAMES, DIM, GROUPS, ENTRIES, CODE_DIM = 4, 9, 6, 2, 5, 8


def keys(rows: int = ROWS) -> torch.Tensor:
    return example_keys(0, 1, torch.arange(rows))


def quantizer() -> GumbelQuantizer:
    torch.manual_seed(0)
    return GumbelQuantizer(DIM, GROUPS, ENTRIES, CODE_DIM)


def vectors() -> torch.Tensor:
    return torch.randn(ROWS, FRAMES, DIM, generator=torch.Generator().manual_seed(1))


def looked_up(model: GumbelQuantizer, codes: torch.Tensor) -> torch.Tensor:
    """Entries of the codes ``(B, K, G)``, one by one."""
    return torch.stack(
        [
            torch.stack([torch.cat([model.codebooks[group, code[group]] for group in range(GROUPS)]) for code in row])
            for row in codes
        ]
    )


def test_in_evaluation_the_likeliest_entries_are_taken_and_noise_plays_no_part():
    model = quantizer().eval()
    found = model(vectors(), keys(), 1.0)
    logits = F.linear(vectors(), model.logits.weight, model.logits.bias).view(ROWS, FRAMES, GROUPS, ENTRIES)
    assert torch.equal(found.codes, logits.argmax(3))
    assert torch.equal(found.vectors, looked_up(model, logits.argmax(3)))
    torch.testing.assert_close(found.probabilities, logits.softmax(3))
    assert torch.equal(model(vectors(), keys() + 1, 2.0).vectors, found.vectors)


def test_in_training_an_entry_is_drawn_with_its_probability():
    model = quantizer()
    with torch.no_grad():
        model.logits.weight.mul_(0.5)
    rows = 20_000
    same = vectors()[:1, :1].expand(rows, 1, DIM)
    found = model(same, keys(rows), 0.7)
    for group in range(GROUPS):
        entries = model.codebooks[group]
        part = found.vectors[:, 0].view(rows, GROUPS, -1)[:, group]
        drawn = (part[:, None] == entries).all(2)
        assert (drawn.sum(1) == 1).all()  # exactly one of the entries, bit for bit
        expected = found.probabilities[0, 0, group].detach()
        error = 5 * (expected * (1 - expected) / rows).sqrt() + 1e-4
        assert ((drawn.float().mean(0) - expected).abs() < error).all()


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_values_and_gradients_are_those_of_pytorchs_straight_through_gumbel_softmax(temperature, monkeypatch):
    model, inputs = quantizer(), vectors().requires_grad_()
    noise = gumbel(keys(), FRAMES, GROUPS, ENTRIES)
    weight = torch.randn(ROWS, FRAMES, CODE_DIM, generator=torch.Generator().manual_seed(2))
    (model(inputs, keys(), temperature).vectors * weight).sum().backward()
    ours = [inputs.grad.clone(), *(p.grad.clone() for p in model.parameters())]

    # PyTorch draws exponential numbers, whose negative logarithm is Gumbel noise.
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self: torch.exp(-noise))
    model.zero_grad()
    inputs.grad = None
    logits = model.logits(inputs).view(ROWS, FRAMES, GROUPS, ENTRIES)
    choice = F.gumbel_softmax(logits, tau=temperature, hard=True)
    expected = (choice[..., None] * model.codebooks).sum(3).flatten(2)
    torch.testing.assert_close(model(inputs, keys(), temperature).vectors, expected)
    (expected * weight).sum().backward()
    for gradient, theirs in zip(ours, [inputs.grad, *(p.grad for p in model.parameters())], strict=True):
        torch.testing.assert_close(gradient, theirs, atol=1e-5, rtol=1e-4)


def test_an_examples_noise_is_its_own():
    model, inputs = quantizer(), vectors()
    whole = model(inputs, keys(), 1.0).vectors
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(model(inputs[order], keys()[order], 1.0).vectors, whole[order])
    assert torch.equal(model(inputs[:, :5], keys(), 1.0).vectors, whole[:, :5])
    assert not torch.equal(model(inputs, keys() + 1, 1.0).vectors, whole)


def test_gumbel_noise_has_its_distribution():
    noise = gumbel(keys(200), 1000)
    assert torch.isfinite(noise).all()
    count = noise.numel()
    assert abs(float(noise.mean()) - 0.577216) < 5 * (math.pi**2 / 6 / count) ** 0.5
    for quantile in (0.01, 0.5, 0.99):
        below = float((noise < -math.log(-math.log(quantile))).float().mean())
        assert abs(below - quantile) < 5 * (quantile * (1 - quantile) / count) ** 0.5


def test_it_starts_as_the_papers_code_does():
    weights = {name: value.detach() for name, value in GumbelQuantizer(512, 2, 320, 256).named_parameters()}
    assert abs(float(weights["logits.weight"].std()) - 1) < 0.01 and not weights["logits.bias"].any()
    codebooks = weights["codebooks"]
    assert codebooks.shape == (2, 320, 128) and 0 <= codebooks.min() and codebooks.max() < 1
    assert abs(float(codebooks.mean()) - 0.5) < 0.01


def test_autocast_changes_no_code():
    model = quantizer()
    exact = model(vectors(), keys(), 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        low = model(vectors(), keys(), 1.0)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(low, exact, strict=True))


@torch.no_grad()
def test_code_use_by_loops():
    found = quantizer()(vectors(), keys(), 1.0)
    valid = torch.rand(ROWS, FRAMES, generator=torch.Generator().manual_seed(3)) < 0.6
    perplexity = counted = 0.0
    for group in range(GROUPS):
        probabilities = [found.probabilities[row, frame, group] for row, frame in valid.nonzero().tolist()]
        mean = sum(probabilities) / len(probabilities)
        perplexity += math.exp(-sum(float(p) * math.log(float(p)) for p in mean))
        codes = [int(found.codes[row, frame, group]) for row, frame in valid.nonzero().tolist()]
        shares = [codes.count(code) / len(codes) for code in set(codes)]
        counted += math.exp(-sum(share * math.log(share) for share in shares))
    use = code_use(found, valid)
    size = GROUPS * ENTRIES
    assert float(use.diversity_loss) == pytest.approx((size - perplexity) / size, abs=1e-5)
    assert float(use.perplexity) == pytest.approx(counted, abs=1e-4)


def test_code_use_at_its_ends():
    even = torch.full((1, 10, GROUPS, ENTRIES), 1 / ENTRIES)
    codes = (torch.arange(10) % ENTRIES)[None, :, None].expand(1, 10, GROUPS)
    everything = torch.ones(1, 10, dtype=torch.bool)
    use = code_use(Quantized(even, codes, even), everything)
    assert float(use.diversity_loss) == pytest.approx(0, abs=1e-5)
    assert float(use.perplexity) == pytest.approx(GROUPS * ENTRIES, abs=1e-4)
    one = F.one_hot(torch.zeros_like(codes), ENTRIES).float().requires_grad_()
    use = code_use(Quantized(one, torch.zeros_like(codes), one), everything)
    assert float(use.diversity_loss.detach()) == pytest.approx(1 - 1 / ENTRIES, abs=1e-5)
    assert float(use.perplexity) == pytest.approx(GROUPS, abs=1e-4)
    use.diversity_loss.backward()
    assert torch.isfinite(one.grad).all()  # probabilities that underflow to 0 must not end a run
    nothing = code_use(Quantized(even, codes, even), ~everything)
    assert torch.isfinite(nothing.diversity_loss) and torch.isfinite(nothing.perplexity)


def test_its_penalty_spreads_the_codes():
    model, inputs = quantizer(), vectors()
    everything = torch.ones(ROWS, FRAMES, dtype=torch.bool)
    with torch.no_grad():
        model.logits.bias[0] = model.logits.bias[ENTRIES] = 8.0  # one entry of each group takes nearly all
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    before = code_use(model(inputs, keys(), 1.0), everything).perplexity
    for _ in range(100):
        optimizer.zero_grad()
        code_use(model(inputs, keys(), 1.0), everything).diversity_loss.backward()
        optimizer.step()
    after = code_use(model(inputs, keys(), 1.0), everything).perplexity
    assert before < 4 and after > 9


def test_what_cannot_work_is_refused():
    for groups, code_dim in ((3, 8), (0, 8), (2, 0)):
        with pytest.raises(InputError, match=f"code_dim {code_dim} is not a multiple of groups {groups}"):
            GumbelQuantizer(4, groups, 5, code_dim)
    with pytest.raises(InputError, match="entries is 1"):
        GumbelQuantizer(4, 2, 1, 8)
