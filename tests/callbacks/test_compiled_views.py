"""Views by a compiled program: the same as without, in one graph, and without a compiler too."""

import re
import shutil
import sys

import lightning as L
import pytest
import torch
from torch import Tensor
from torch._inductor import config
from torch._inductor.utils import run_and_get_code

from ssl_zoo.callbacks.compiled_views import CompiledForward, CompiledViews
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.randomness import example_keys
from ssl_zoo.views.audio import AudioViews
from ssl_zoo.views.base import Views
from ssl_zoo.views.image import BYOLViews, DigitViews, SimCLRViews

# Of Inductor's imports, and its own advice.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*complex operators")  # not ours to mend

# Between them they have every operator; the other recipes have the same ones.
RECIPES = [BYOLViews(), DigitViews(), AudioViews(0.1)]
ROUNDING = {"atol": 1e-5, "rtol": 0.0}


def inputs_of(views: Views) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    if isinstance(views, AudioViews):
        return torch.rand(6, 3200, generator=draw) - 0.5
    return torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=draw)


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("views", RECIPES, ids=lambda views: type(views).__name__)
def test_every_recipe_traces_into_one_graph_that_makes_the_same_views(views: Views) -> None:
    inputs, keys = inputs_of(views), example_keys(3, 1, torch.arange(6))
    compiled = CompiledForward(views, backend="aot_eager")
    torch.testing.assert_close(compiled(inputs, keys), views(inputs, keys), **ROUNDING)
    if isinstance(views, BYOLViews):
        fields = {"whole": torch.nn.functional.interpolate(inputs, (20, 20)), "aspect": torch.linspace(0.5, 2, 6)}
        torch.testing.assert_close(compiled(inputs, keys, fields), views(inputs, keys, fields), **ROUNDING)
    assert compiled.compiled is not compiled.plain


@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # the data lies in memory
def test_training_steps_are_compiled_and_nothing_else_is_changed(tmp_path) -> None:
    def train(*callbacks: L.Callback) -> dict[str, Tensor]:
        L.seed_everything(0, verbose=False)
        method = SimCLR(ResNet(10, width=8, channels=1), DigitViews())
        settings = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = L.Trainer(
            accelerator="cpu", max_steps=3, limit_val_batches=1, enable_checkpointing=False,
            default_root_dir=tmp_path, callbacks=list(callbacks), **settings,
        )  # fmt: skip
        trainer.fit(method, ImageData(batch_size=32, train_size=100))
        assert "forward" not in vars(method.views)
        return method.state_dict()

    callback = CompiledViews(backend="aot_eager")
    compiled, plain = train(callback), train()
    (forward,) = callback.forwards
    assert forward.compiled is not forward.plain
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-4, rtol=1e-3)


class Darker(Views):
    """Two views, of as little as there is to compile."""

    views_per_example = 2

    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        return torch.cat([inputs / 256, inputs / 512])


def test_without_a_compiler_a_sentence_says_so_and_training_goes_on() -> None:
    views = Darker()
    inputs, keys = inputs_of(views), example_keys(3, 1, torch.arange(6))
    with config.patch({"cpp.cxx": ("no-such-compiler",), "fx_graph_cache": False}):
        compiled = CompiledForward(views)
        with pytest.warns(UserWarning, match="one operation at a time, as torch.compile failed: .*"):
            assert torch.equal(compiled(inputs, keys), views(inputs, keys))
        assert torch.equal(compiled(inputs, keys), views(inputs, keys))  # and says it once


def test_a_users_mistake_is_still_a_sentence() -> None:
    with pytest.warns(UserWarning, match="torch.compile failed"), pytest.raises(InputError, match="give images"):
        CompiledForward(DigitViews(), "aot_eager")(torch.zeros(2, 3), torch.arange(2))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None or sys.platform != "linux", reason="needs a C++ compiler")
def test_the_compiled_views_of_colour_images_are_a_tenth_of_what_they_were() -> None:
    # 1,461 operations before one draw served both views; see tests/operations.py for what is counted.
    views = SimCLRViews()
    inputs, keys = inputs_of(views), example_keys(3, 1, torch.arange(6))
    compiled = CompiledForward(views)
    output, (code,) = run_and_get_code(compiled, inputs, keys)
    torch.testing.assert_close(output, views(inputs, keys), **ROUNDING)
    program = code[code.index("def call(") :]
    # Fused loops, products of matrices, and what has no compiled form, as sorting
    kinds = r"cpp_fused\w+|extern_kernels\.\w+|torch\.ops\.[\w.]+"
    calls = re.findall(rf"^ +(?:buf\d+ = )?({kinds})\(", program, re.MULTILINE)
    assert len(calls) <= 146 and any(call.startswith("cpp_fused") for call in calls)
