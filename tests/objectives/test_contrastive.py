import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn import functional as F

from ssl_zoo.objectives.contrastive import cross_view_logits, nt_xent, nt_xent_logits, queue_logits


def projections(examples: int = 6, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(examples, dim, generator=generator)
    return first, first + 0.5 * torch.randn(examples, dim, generator=generator)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_nt_xent_equals_the_papers_equation_in_plain_loops(temperature):
    first, second = projections()
    views = [list(map(float, view)) for view in torch.cat([first, second])]

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for i in range(12):
        j = (i + 6) % 12
        others = sum(math.exp(cosine(views[i], views[k]) / temperature) for k in range(12) if k != i)
        total -= math.log(math.exp(cosine(views[i], views[j]) / temperature) / others)
    assert float(nt_xent(first, second, temperature)) == pytest.approx(total / 12, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_nt_xent_and_its_gradient_equal_lightlys(temperature):
    ours = [view.clone().requires_grad_() for view in projections(32, 16)]
    theirs = [view.clone().requires_grad_() for view in projections(32, 16)]
    loss = nt_xent(*ours, temperature)
    expected = NTXentLoss(temperature)(*theirs)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad, atol=1e-5, rtol=0)


def test_low_temperatures_stay_finite():
    first, second = projections()
    assert nt_xent(first, second, 1e-4).isfinite()


def test_an_anchor_is_never_its_own_candidate_and_the_positive_always_is():
    first, second = projections()
    logits, targets = nt_xent_logits(first, second, 0.5)
    assert torch.equal(logits.isinf(), torch.eye(12, dtype=torch.bool))
    assert targets.tolist() == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]


def test_similarities_are_computed_in_float32_under_autocast():
    first, second = projections()
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent_logits(first, second, 0.1)[0].dtype == torch.float32


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_queue_logits_give_mocos_equation_in_plain_loops():
    queries, keys = projections(4, 5)
    negatives, excluded = unit(7, 5, seed=1), torch.zeros(4, 7, dtype=torch.bool)
    excluded[2, 3] = excluded[0, 6] = True
    loss = F.cross_entropy(*queue_logits(queries, keys, negatives, excluded, 0.2))
    total = 0.0
    for i in range(4):
        q = (queries[i] / queries[i].norm()).tolist()
        candidates = [keys[i] / keys[i].norm(), *(negatives[k] for k in range(7) if not excluded[i, k])]
        scores = [math.exp(sum(x * y for x, y in zip(q, c.tolist(), strict=True)) / 0.2) for c in candidates]
        total -= math.log(scores[0] / sum(scores))
    assert float(loss) == pytest.approx(total / 4, abs=1e-5)


def test_queue_logits_and_their_gradient_equal_lightlys_memory_bank():
    ours, theirs = (projections(16, 8)[0].requires_grad_() for _ in range(2))
    keys = projections(16, 8)[1]
    bank = NTXentLoss(0.1, memory_bank_size=(32, 8))
    negatives = unit(32, 8, seed=2)
    bank.memory_bank.bank, bank.memory_bank.bank_ptr = negatives.clone(), torch.zeros(1, dtype=torch.int64)
    expected = bank(theirs, keys)
    loss = F.cross_entropy(*queue_logits(ours, keys, negatives, torch.zeros(16, 32, dtype=torch.bool), 0.1))
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)


def test_cross_view_logits_give_moco_v3s_loss_in_plain_loops():
    queries, keys = projections()
    loss = F.cross_entropy(*cross_view_logits(queries, keys, 0.3))
    total = 0.0
    for i in range(6):
        scores = [math.exp(float(F.cosine_similarity(queries[i], keys[j], dim=0)) / 0.3) for j in range(6)]
        total -= math.log(scores[i] / sum(scores))
    assert float(loss) == pytest.approx(total / 6, abs=1e-5)


def test_no_gradient_reaches_keys():
    queries, keys = (view.requires_grad_() for view in projections())
    excluded = torch.zeros(6, 7, dtype=torch.bool)
    F.cross_entropy(*queue_logits(queries, keys, unit(7, 5, seed=1), excluded, 0.2)).backward()
    F.cross_entropy(*cross_view_logits(queries, keys, 0.2)).backward()
    assert keys.grad is None and queries.grad.abs().sum() > 0
