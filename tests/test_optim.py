import math

import lightning as L
import pytest
import torch
from lightly.utils.lars import LARS as LightlyLARS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssl_zoo.encoders.image import MLP, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.lars import LARS
from ssl_zoo.methods.simsiam import SimSiam
from ssl_zoo.optim import Optimizer, make_optimizer, parameter_groups, scheduled, total_steps
from ssl_zoo.views.image import DigitViews


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def test_norms_and_biases_have_no_weight_decay():
    module = network()
    decayed, free = parameter_groups(module, Optimizer(weight_decay=0.1))
    assert {id(p) for p in decayed["params"]} == {id(module[0].weight), id(module[2].weight)}
    assert {id(p) for p in free["params"]} == {
        id(p) for p in (module[0].bias, module[1].weight, module[1].bias, module[2].bias)
    }
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def test_frozen_parameters_are_not_optimized():
    module = network()
    module[0].weight.requires_grad_(False)
    groups = parameter_groups(module, Optimizer())
    assert all(p is not module[0].weight for group in groups for p in group["params"])


def test_lars_takes_lightlys_steps():
    ours, theirs = network(), network()
    adapted = [p for p in theirs.parameters() if p.ndim > 1]
    plain = [p for p in theirs.parameters() if p.ndim <= 1]
    expected = LightlyLARS(
        [{"params": adapted, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=0.5,
        momentum=0.9,
        trust_coefficient=0.001,
    )
    optimizer = make_optimizer(Optimizer("lars", 0.5, 0.01), ours)
    inputs = torch.randn(16, 4)
    for _ in range(5):
        for module, optim in ((ours, optimizer), (theirs, expected)):
            optim.zero_grad()
            module(inputs).square().mean().backward()
            optim.step()
    # Lightly adds a small number to the denominator and exempts exactly the groups without weight decay, as here.
    for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-6)


class Allocated(TorchDispatchMode):
    """Lists the sizes of tensors that operations make anew."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        fresh = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.sizes += [x.numel() for x in fresh if x.untyped_storage().data_ptr() not in given]
        return result


def test_lars_makes_no_tensor_as_large_as_a_weight_and_leaves_gradients_alone():
    module = nn.Sequential(nn.Linear(40, 50), nn.BatchNorm1d(50), nn.Linear(50, 60))
    optimizer = make_optimizer(Optimizer("lars", 0.5, 0.01), module)
    for _ in range(2):  # the first step makes the buffers
        optimizer.zero_grad()
        module(torch.randn(16, 40)).square().mean().backward()
        before = [p.grad.clone() for p in module.parameters()]
        with Allocated() as allocated:
            optimizer.step()
    assert allocated.sizes and max(allocated.sizes) <= len(before)
    assert all(torch.equal(p.grad, grad) for p, grad in zip(module.parameters(), before, strict=True))


def test_lars_leaves_a_zero_weight_to_plain_sgd():
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = LARS([weight], lr=0.1)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars", "adagrad"])
def test_every_optimizer_minimises(name):
    module, inputs = network(), torch.randn(16, 4)
    optimizer = make_optimizer(Optimizer(name, {"lars": 0.3, "adagrad": 0.03}.get(name, 0.01)), module)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append((module(inputs) - 1).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_warmup_rises_and_cosine_falls_as_fractions_of_the_run():
    def rates(steps: int) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        schedule = scheduled(optimizer, Optimizer(warmup=0.1), steps)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    short, long = rates(100), rates(1000)
    assert short[0] > 0 and max(short) == pytest.approx(2.0) and short.index(max(short)) == 10
    assert short[55] == pytest.approx(1.0 + math.cos(math.pi * 0.5), abs=1e-6)
    assert short[-1] < 0.01
    assert long[550] == pytest.approx(short[55], abs=1e-6)


def test_steady_parts_keep_their_rate_in_groups_of_their_own():
    module = network()
    settings = Optimizer("sgd", 2.0, 0.1, warmup=0.2)
    optimizer = make_optimizer(settings, module, steady=[module[2]])
    schedule = scheduled(optimizer, settings, 20)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(20):
        for steady in rates:
            found = {group["lr"] for group in optimizer.param_groups if group["steady"] == steady}
            rates[steady].append(*found)
        optimizer.step()
        schedule.step()
    assert rates[True] == [2.0] * 20
    assert rates[False][0] < 1 and max(rates[False]) == 2.0 and rates[False][-1] < 0.1
    kept = {p: group["weight_decay"] for group in optimizer.param_groups if group["steady"] for p in group["params"]}
    assert kept == {module[2].weight: 0.1, module[2].bias: 0.0}
    everything = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, everything)) == sorted(map(id, module.parameters()))


def test_weight_decay_moves_along_half_a_cosine_where_there_is_any_and_goes_on_from_a_checkpoint():
    settings = Optimizer(weight_decay=0.04, final_weight_decay=0.4)

    def begin(steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        optimizer = make_optimizer(settings, network())
        return optimizer, scheduled(optimizer, settings, steps)

    def decays(optimizer: torch.optim.Optimizer) -> list[float]:
        return [group["weight_decay"] for group in optimizer.param_groups]

    optimizer, schedule = begin(20)
    for step in range(20):
        expected = 0.4 - 0.36 * (1 + math.cos(math.pi * step / 20)) / 2
        assert decays(optimizer) == pytest.approx([expected, 0.0])  # norms and biases have none
        if step == 10:
            saved = optimizer.state_dict(), schedule.state_dict()
        optimizer.step()
        schedule.step()
    assert decays(optimizer) == pytest.approx([0.4, 0.0])
    for steps, expected in ((20, 0.22), (40, 0.4 - 0.36 * (1 + math.cos(math.pi / 4)) / 2)):
        again, its_schedule = begin(steps)
        again.load_state_dict(saved[0])
        its_schedule.load_state_dict(saved[1])
        assert decays(again) == pytest.approx([expected, 0.0])  # of the longer run, its own course
    assert "weight_decay" not in saved[1]  # a function, which no checkpoint holds
    with pytest.raises(InputError, match=r"final_weight_decay is -1\.0; it must be at least 0"):
        Optimizer(final_weight_decay=-1.0)


def test_without_a_final_value_weight_decay_stays_what_it_is():
    settings = Optimizer(weight_decay=0.04)
    optimizer = make_optimizer(settings, network())
    schedule = scheduled(optimizer, settings, 4)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.04, 0.0]


@pytest.mark.parametrize(
    ("schedule", "course"),
    [
        ("linear", {0.1: 1.0, 0.55: 0.5, 0.775: 0.25}),
        ("constant", {0.1: 1.0, 0.55: 1.0, 0.999: 1.0}),
        ("wsd", {0.1: 1.0, 0.55: 1.0, 0.82: 1.0, 0.91: 0.5, 0.955: 0.25}),
    ],
)
def test_other_schedules_follow_the_same_warm_up_as_fractions_of_the_run(schedule, course):
    for steps in (1000, 4000):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        schedule_ = scheduled(optimizer, Optimizer(schedule=schedule, warmup=0.1), steps)
        (factor,) = schedule_.lr_lambdas
        assert factor(0) > 0 and factor(steps // 20) == pytest.approx(0.5, abs=0.01)
        for part, expected in course.items():
            assert factor(round(part * steps)) == pytest.approx(expected, abs=1e-6), (steps, part)


def test_a_run_that_goes_on_for_longer_takes_its_next_step_at_the_rate_of_the_longer_run():
    def begin(steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        return optimizer, scheduled(optimizer, Optimizer(), steps)

    short, short_schedule = begin(10)
    for _ in range(10):
        short.step()
        short_schedule.step()
    assert short.param_groups[0]["lr"] == 0
    for steps, rate in ((10, 0.0), (20, 2 * 0.5 * (1 + math.cos(math.pi * 8 / 18)))):  # 2 of 20 steps warm up
        longer, longer_schedule = begin(steps)
        longer.load_state_dict(short.state_dict())
        longer_schedule.load_state_dict(short_schedule.state_dict())
        assert longer.param_groups[0]["lr"] == pytest.approx(rate)
        assert longer_schedule.get_last_lr() == [longer.param_groups[0]["lr"]]


def test_adagrad_is_fused_on_a_cpu_alone_as_cuda_has_no_such_kernel():
    module = network()
    assert make_optimizer(Optimizer("adagrad"), module).defaults["fused"]
    assert not make_optimizer(Optimizer("adagrad"), module.to("meta")).defaults["fused"]


def test_every_setting_reaches_the_optimizer_and_what_is_left_out_is_pytorchs_own():
    module = network()
    adamw = make_optimizer(Optimizer("adamw", 0.5, betas=(0.8, 0.95), eps=1e-6), module).defaults
    assert (adamw["lr"], adamw["betas"], adamw["eps"]) == (0.5, (0.8, 0.95), 1e-6)
    plain, theirs = make_optimizer(Optimizer(), module).defaults, torch.optim.AdamW(module.parameters()).defaults
    assert {name: plain[name] for name in ("betas", "eps")} == {name: theirs[name] for name in ("betas", "eps")}
    assert make_optimizer(Optimizer("sgd", momentum=0.0), module).defaults["momentum"] == 0.0
    adagrad, theirs = (
        make_optimizer(Optimizer("adagrad", eps=1e-3), module).defaults,
        torch.optim.Adagrad(module.parameters()).defaults,
    )
    assert adagrad["eps"] == 1e-3 and adagrad["initial_accumulator_value"] == theirs["initial_accumulator_value"] == 0
    assert make_optimizer(Optimizer("adagrad"), module).defaults["eps"] == theirs["eps"]
    lars = make_optimizer(Optimizer("lars", momentum=0.5, trust=0.02), module).defaults
    assert (lars["momentum"], lars["trust"]) == (0.5, 0.02)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"momentum": 0.9}, "adamw takes no momentum, which is a setting of sgd and lars; it takes learning_rate"),
        ({"name": "sgd", "trust": 0.1}, "sgd takes no trust, which is a setting of lars; it takes .*momentum"),
        ({"name": "adagrad", "momentum": 0.9}, "adagrad takes no momentum, .* it takes .*schedule, eps"),
        ({"name": "lars", "betas": (0.9, 0.95)}, "lars takes no betas, which is a setting of adamw"),
        (
            {"name": "adam"},
            "optimizer.name is 'adam', but must be one of adamw, sgd, lars, adagrad, did you mean 'adamw'",
        ),
        ({"schedule": "step"}, "optimizer.schedule is 'step', but must be one of cosine, linear, constant, wsd"),
        ({"learning_rate": -1.0}, "optimizer.learning_rate is -1.0; it must be at least 0"),
        ({"learning_rate": math.nan}, "optimizer.learning_rate is nan"),
        ({"warmup": 1.0}, "optimizer.warmup is 1.0; it must be at least 0 and below 1"),
        ({"layer_decay": 0.0}, "optimizer.layer_decay is 0.0; it must be above 0"),
        ({"betas": (0.9, 1.0)}, "optimizer.betas is"),
    ],
)
def test_what_an_optimizer_does_not_take_is_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Optimizer(**settings)


def test_layer_decay_multiplies_the_rate_for_each_layer_down_from_the_top():
    """Bao et al., 2021, appendix: the head trains at the whole rate, layer l of L at that times decay^(L + 1 - l)."""
    vit = ViT(image_size=8, patch_size=4, dim=16, depth=3, heads=2, channels=1)
    settings = Optimizer("sgd", 2.0, 0.1, layer_decay=0.5, warmup=0.0)
    model = SimSiam(vit, DigitViews(), 16, 8, optimizer=settings)
    optimizer = make_optimizer(settings, model, model.steady_parts())
    names = {parameter: name for name, parameter in model.named_parameters()}
    rates = {names[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decays = {names[p]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == set(names.values())
    for name, rate in rates.items():
        expected = 2.0
        if name.startswith("encoder.model.embeddings."):
            expected = 2.0 * 0.5**4
        elif name.startswith("encoder.model.layers."):
            expected = 2.0 * 0.5 ** (3 - int(name.split(".")[3]))
        assert rate == pytest.approx(expected), name
    assert decays["encoder.model.embeddings.cls_token"] == 0 and decays["encoder.model.layers.0.mlp.fc1.bias"] == 0
    assert optimizer.param_groups[0]["lr"] == 2.0  # which is what is logged
    schedule = scheduled(optimizer, settings, 10)
    for _ in range(5):
        optimizer.step()
        schedule.step()
    later = {names[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert later["encoder.model.embeddings.cls_token"] == pytest.approx(rates["encoder.model.embeddings.cls_token"] / 2)
    assert later["predictor.0.weight"] == 2.0


class Silent(MLP):
    def parameter_layers(self) -> list[list[str]]:
        return []


def test_an_encoder_that_does_not_name_its_layers_refuses_layer_decay():
    with pytest.raises(InputError, match=r"layer_decay needs an encoder that names its layers, which Silent does not"):
        SimSiam(Silent([16], 1, 8), DigitViews(), 16, 8, optimizer=Optimizer(layer_decay=0.7))
    SimSiam(Silent([16], 1, 8), DigitViews(), 16, 8)


def test_a_run_without_an_end_is_refused():
    with pytest.raises(InputError, match=r"trainer\.max_steps"):
        total_steps(L.Trainer(max_epochs=-1, logger=False, accelerator="cpu", enable_checkpointing=False))


@pytest.mark.parametrize(("total", "warmup"), [(400, 0.1), (50, 0.5), (20, 0.0)])
def test_the_inverse_square_root_is_the_rate_of_the_transformers_paper(total, warmup):
    dim, rises = 512, round(warmup * total) + 1
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=(dim * rises) ** -0.5)
    settings = Optimizer("sgd", (dim * rises) ** -0.5, schedule="inverse_sqrt", warmup=warmup)
    schedule = scheduled(optimizer, settings, total)
    for step in range(1, total + 1):
        paper = dim**-0.5 * min(step**-0.5, step * rises**-1.5)  # equation 3
        assert optimizer.param_groups[0]["lr"] == pytest.approx(paper, rel=1e-9)
        optimizer.step()
        schedule.step()
