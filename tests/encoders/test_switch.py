"""Switch Transformer's experts against loops over tokens, and how their balance loss reaches whatever trains them."""

from copy import deepcopy

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

import ssl_zoo.methods
from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.encoders.auxiliary import with_auxiliary
from ssl_zoo.encoders.switch import Experts, SwitchBertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.train import FineTuner, Settings
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.bert import BERT
from ssl_zoo.methods.data2vec import Data2Vec
from ssl_zoo.methods.text_vae import TextVAE
from ssl_zoo.tasks.examples import TaskBatch
from ssl_zoo.tasks.heads import ClassHead
from tests.contracts.found import concrete
from tests.encoders.test_text import VOCABULARY, padded
from tests.two_processes import in_group

DIM, NUMBER = 16, 4


def make_experts(**settings) -> Experts:
    torch.manual_seed(0)
    return Experts(**{"dim": DIM, "experts": NUMBER, "balance": 0.01, "jitter": 0.0, "spread": 0.5, **settings})


def make(**settings) -> SwitchBertEncoder:
    torch.manual_seed(0)
    sizes = {"dim": DIM, "depth": 2, "heads": 2, "dropout": 0.0, "jitter": 0.0, "experts": NUMBER, "max_length": 32}
    return SwitchBertEncoder(VOCABULARY, **{**sizes, **settings})


def tokens(rows: int = 3, length: int = 10) -> tuple[Tensor, Tensor]:
    vectors = torch.randn(rows, length, DIM, generator=torch.Generator().manual_seed(1))
    return vectors, torch.arange(length) < torch.tensor([10, 4, 7])[:rows, None]


def by_loops(experts: Experts, vectors: Tensor, real: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """What every token gets, the balance loss, and how many tokens each expert has."""
    given, numbers, masses = torch.zeros_like(vectors), [0] * NUMBER, [torch.zeros(())] * NUMBER
    for row in range(len(vectors)):
        for place in range(vectors.shape[1]):
            if real[row, place]:
                token = vectors[row, place]
                probabilities = torch.softmax(experts.router.weight @ token, dim=0)
                one = int(probabilities.argmax())
                inner, _, outer = experts.experts[one]
                hidden = F.gelu(inner.weight @ token + inner.bias)
                given[row, place] = probabilities[one] * (outer.weight @ hidden + outer.bias)
                numbers[one] += 1
                masses = [mass + each for mass, each in zip(masses, probabilities, strict=True)]
    total = sum(numbers)
    balance = NUMBER * sum(number / total * mass / total for number, mass in zip(numbers, masses, strict=True))
    return given, 0.01 * balance, numbers


def gradients(loss: Tensor, experts: Experts) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(experts.parameters()), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(experts.parameters(), found, strict=True)]


def test_values_gradients_and_the_balance_loss_are_those_of_loops_over_tokens():
    experts, (vectors, real) = make_experts(), tokens()
    expected, balance, numbers = by_loops(experts, vectors, real)
    given = experts(vectors, real)
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)
    found = experts.collect()
    torch.testing.assert_close(found["loss"], balance, atol=1e-6, rtol=1e-5)
    assert float(found["busiest_expert"]) == pytest.approx(max(numbers) / 21)
    assert float(found["idle_experts"]) == numbers.count(0)
    weight = torch.randn(given.shape, generator=torch.Generator().manual_seed(2))
    for one, other in ((given * weight, expected * weight), (found["loss"], balance)):
        for ours, theirs in zip(gradients(one.sum(), experts), gradients(other.sum(), experts), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(experts(vectors)[real], expected[real], atol=1e-5, rtol=1e-5)  # whoever else is there


@torch.no_grad()
def test_programs_that_are_exported_compute_the_same_in_shapes_known_beforehand():
    experts, (vectors, _) = make_experts(), tokens()
    choice = experts.probabilities(vectors.flatten(0, 1)).argmax(1)
    every, own = (way(vectors.flatten(0, 1), choice, *more) for way, more in (
        (experts._all, ()), (experts._own, (torch.ones(30, dtype=torch.bool),))))  # fmt: skip
    torch.testing.assert_close(every, own, atol=1e-5, rtol=1e-5)


def test_evenly_spread_tokens_cost_the_least_and_all_for_one_expert_as_many_times_more():
    experts = make_experts()
    with torch.no_grad():
        experts.router.weight.copy_(20 * torch.eye(NUMBER, DIM))
    even = torch.eye(NUMBER, DIM)[None].repeat(1, 5, 1)
    for vectors, expected, busiest in ((even, 1.0, 1 / NUMBER), (even[:, :1].repeat(1, 20, 1), NUMBER, 1.0)):
        experts.forget()
        experts(vectors)
        found = experts.collect()
        assert float(found["loss"].detach()) == pytest.approx(0.01 * expected, rel=1e-3)
        assert float(found["busiest_expert"]) == pytest.approx(busiest)


def test_an_expert_without_tokens_has_a_gradient_for_which_other_processes_need_not_wait():
    experts, (vectors, _) = make_experts(), tokens(1)
    with torch.no_grad():
        experts.router.weight.zero_()
    experts(vectors).sum().backward()
    assert all(parameter.grad is not None for parameter in experts.parameters())
    assert not experts.experts[3][0].weight.grad.any() and experts.experts[0][0].weight.grad.any()


def test_the_router_is_float32_and_jitter_is_for_training():
    experts, (vectors, real) = make_experts(jitter=0.3), tokens()
    flat = vectors.flatten(0, 1)
    first, second = experts.probabilities(flat), experts.probabilities(flat)
    assert not torch.equal(first, second)
    experts.eval()
    with torch.autocast("cpu", torch.bfloat16):
        low = experts.probabilities(flat)
        assert experts(vectors, real).dtype == torch.float32
    assert torch.equal(low, experts.probabilities(flat)) and low.dtype == torch.float32


def batch() -> Batch:
    ids, mask = padded()
    ids = ids.masked_fill(ids == 2, 7)
    ids[:, 0] = 1
    return Batch(ids, mask, None, torch.arange(3))


METHODS = {"bert": BERT, "text_vae": TextVAE, "data2vec": Data2Vec}


@pytest.mark.parametrize("kind", METHODS)
def test_training_adds_the_balance_loss_of_all_layers_to_any_methods_loss_and_logs_its_figures(kind):
    model = METHODS[kind](make(depth=4)).train()
    torch.manual_seed(3)
    alone = model.losses(batch())
    layers = [part for part in model.encoder.modules() if isinstance(part, Experts)]
    extra = sum(layer.collect()["loss"] for layer in layers)
    assert len(layers) == 2 and 0.02 <= float(extra.detach()) < 0.08
    torch.manual_seed(3)
    terms = model.losses_in_precision(batch())
    torch.testing.assert_close(terms["loss"], alone["loss"] + extra, atol=1e-5, rtol=1e-5)
    assert 1 / NUMBER <= float(terms["busiest_expert"]) <= 1 and 0 <= float(terms["idle_experts"]) < NUMBER
    terms["loss"].backward()
    assert all(layer.router.weight.grad.abs().sum() > 0 for layer in layers)
    assert not any(part._kept for part in model.modules() if isinstance(part, Experts))
    deepcopy(model)  # nothing of the step is left in it
    model.eval()
    with torch.no_grad():
        held_out = model.losses_in_precision(batch())
    assert "busiest_expert" not in held_out


def test_a_copy_may_be_made_between_a_pass_and_its_loss():
    experts, (vectors, real) = make_experts(), tokens()
    experts(vectors, real)
    assert deepcopy(experts).collect() is None and experts.collect() is not None


def test_no_method_goes_around_what_adds_the_losses_of_auxiliary_parts():
    for method in concrete(Method, ssl_zoo.methods):
        assert "losses_in_precision" not in vars(method), method
        step = vars(method).get("training_step")
        assert step is None or "losses_in_precision" in step.__code__.co_names, method


def test_fine_tuning_adds_it_too():
    tuner = FineTuner(make(), ClassHead(DIM, 2, 0.0), Settings(1, 3, 1e-3)).train()
    seen = []
    for part in tuner.modules():
        if isinstance(part, Experts):
            part.register_forward_hook(lambda experts, *_: seen.append(experts.collect()["loss"]))
    ids, mask = padded()
    data = TaskBatch(ids, mask, torch.tensor([[0], [1], [0]]), None)
    whole, head = tuner.training_step(data, 0), tuner.head.loss(tuner(data), data)
    torch.testing.assert_close(whole, head + seen[0], atol=1e-5, rtol=1e-5)


def test_passes_of_one_step_count_as_one_batch_and_those_of_before_not_at_all():
    experts, (vectors, real) = make_experts(), tokens()
    experts(vectors * 2, real)

    def compute() -> dict[str, Tensor]:
        return {"loss": sum(experts(vectors[row : row + 1], real[row : row + 1]).sum() for row in range(3))}

    _, balance, numbers = by_loops(experts, vectors, real)
    expected = experts(vectors, real).sum() + balance
    terms = with_auxiliary(torch.nn.ModuleList([experts]), compute)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-4, rtol=1e-5)
    assert float(terms["busiest_expert"]) == pytest.approx(max(numbers) / 21)


def part_of(rank: int | None) -> tuple[Tensor, list[Tensor]]:
    """The balance loss and its gradients of rows 0 and 1, of row 2, or of all; the ranks' tokens differ in number."""
    experts, (vectors, real) = make_experts(), tokens()
    rows = slice(None) if rank is None else (slice(0, 2), slice(2, 3))[rank]
    experts(vectors[rows], real[rows])
    loss = experts.collect()["loss"]
    return loss.detach(), gradients(loss, experts)


def of_rank() -> tuple[Tensor, list[Tensor]]:
    return part_of(dist.get_rank())


def test_the_balance_of_two_ranks_is_that_of_the_global_batch(two_processes):
    loss, gradient = part_of(None)
    ranks = two_processes(in_group, of_rank)
    torch.testing.assert_close(sum(each for each, _ in ranks) / 2, loss, atol=1e-6, rtol=1e-5)
    for whole, *parts in zip(gradient, *(each for _, each in ranks), strict=True):
        torch.testing.assert_close(sum(parts) / 2, whole, atol=1e-6, rtol=1e-4)


def test_one_expert_for_all_tokens_sounds_an_alarm():
    (alarm,) = (each for each in BERT(make()).alarms(8) if each.metric == metrics.BUSIEST_EXPERT)
    assert alarm.sounds({metrics.BUSIEST_EXPERT: 0.95}) and "0.95" in alarm.sentence.format_map(
        {metrics.BUSIEST_EXPERT: 0.95}
    )
    assert not alarm.sounds({metrics.BUSIEST_EXPERT: 0.5}) and not alarm.sounds({})


def test_what_cannot_work_is_refused_in_a_sentence():
    for settings, sentence in [
        ({"every": 3}, "every is 3, so that none of 2 layers"),
        ({"balance": -1.0}, "balance is -1"),
        ({"jitter": 1.0}, "balance is 0.01 and jitter 1"),
        ({"experts": 0}, "experts is 0"),
    ]:
        with pytest.raises(InputError, match=rf"^SwitchBertEncoder: {sentence}"):
            make(**settings)
