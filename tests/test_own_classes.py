"""Mistakes in classes of a user's own, named by `module.Class`, and in settings that are groups of settings."""

import sys
import warnings
from pathlib import Path

import pytest
import torch

import ssl_zoo
from ssl_zoo.cli import main, run
from ssl_zoo.data.text.lines import warn_of_lines
from ssl_zoo.errors import InputError
from ssl_zoo.own_code import warnings_in_own_lines

ROOT = Path(__file__).parents[1]
SMOKE = ["--config", str(ROOT / "experiments" / "smoke.yaml"), "--trainer.accelerator=cpu"]
QUICKSTART = ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"), *SMOKE]
BERT = ["fit", "--config", str(ROOT / "experiments" / "text" / "bert.yaml"), *SMOKE]

OWN = '''
import torch
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.views.base import Views


class Half(Encoder):
    """Has no `contextualize`."""

    def embed(self, inputs, mask=None):
        return Embedded(inputs)


class Nameless(Half):
    """Says neither its modality nor how many layers it has."""

    def __init__(self):
        super().__init__()
        self.dim = 8
        self.patches = torch.nn.Conv2d(1, 8, 4, 4)

    def embed(self, inputs, mask=None):
        return Embedded(self.patches(inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs).flatten(2).mT)

    def contextualize(self, embedded, *, places=None, layers=False):
        vectors = embedded.vectors
        return Encoded(vectors, vectors.mean(1), None, (vectors,) if layers else ())


class Whole(Nameless):
    """Takes no arguments."""

    modality, num_layers, stride = "image", 1, 4


class Uninitialised(Whole):
    def __init__(self):
        self.patches = torch.nn.Conv2d(1, 8, 4, 4)


class Unbegun(Views):
    views_per_example = 2

    def __init__(self):
        self.noise = 0.1

    def forward(self, inputs, keys, fields=None):
        return torch.cat([inputs, inputs]) / 255
'''
METHODS = """
import torch
from ssl_zoo.methods.base import Method
from ssl_zoo.encoders.base import Encoder

class Lossless(Method):
    pass

class Raises(Method):
    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        {}["key"]

    def losses(self, batch):
        return {"loss": self.encoder(batch.inputs).pooled}

class Uneven(Raises):
    def __init__(self, encoder: Encoder):
        Method.__init__(self, encoder)

class Plain(Uneven):
    def losses(self, batch):
        return {"loss": self.encoder(batch.inputs).pooled.mean() + self.progress}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

class Misspelt(Plain):
    def configure_optimizers(self):
        return torch.optim.Adam(self.encodr.parameters())

class Nothing(Plain):
    def configure_optimizers(self):
        torch.optim.Adam(self.parameters())

class Late(Plain):
    def losses(self, batch):
        if self.global_step == 1:
            {}["key"]
        return super().losses(batch)
"""
SOURCES = """
import torch
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages

class Nameless(ImageSource):
    channels, image_size = 1, 8

    def load(self):
        return LoadedImages(ArrayImages(torch.zeros(400, 1, 8, 8).byte(), torch.zeros(100).long()), None, None, ["a"])

class Uneven(Nameless):
    name, licence = "mine", "none"
"""
CALLBACKS = """
import lightning as L

class Fails(L.Callback):
    def __init__(self):
        raise OSError("no luck")

class Late(L.Callback):
    def on_train_batch_end(self, *_):
        raise RuntimeError("late")

class AtEnd(L.Callback):
    def on_train_end(self, trainer, pl_module):
        raise RuntimeError("at the end")

class Hook(L.Callback):
    def on_train_batch_end(self, trainer):
        pass
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    (tmp_path / "my_encoders.py").write_text(OWN)
    (tmp_path / "my_syntax.py").write_text("class Encoder(:\n")
    (tmp_path / "my_imports.py").write_text("import os\nimport not_there\n")
    (tmp_path / "my_error.py").write_text("import os\n\n1 / 0\n")
    (tmp_path / "my_exit.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "my_methods.py").write_text(METHODS)
    (tmp_path / "my_sources.py").write_text(SOURCES)
    (tmp_path / "my_callbacks.py").write_text(CALLBACKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]  # the next test's lie elsewhere


@pytest.mark.parametrize(
    ("command", "option", "sentence"),
    [
        (QUICKSTART, "--model=my_encoders.Wole", "model: my_encoders has no class 'Wole', did you mean 'Whole'?"),
        (
            QUICKSTART,
            "--model.encoder=my_encoders.Wole",
            "model.encoder: my_encoders has no class 'Wole', did you mean",
        ),
        (QUICKSTART, "--data.source=my_encoders.Sauce", "data.source: my_encoders has no class 'Sauce'; it has Half"),
        (QUICKSTART, "--model=my_encoder.X", "model: there is no module 'my_encoder', did you mean 'my_encoders'?"),
        (QUICKSTART, "--model.views=my_views.X", "model.views: there is no module 'my_views'"),
        (QUICKSTART, "--model.encoder=my_syntax.Encoder", "model.encoder: my_syntax cannot be imported, SyntaxError: "),
        (
            QUICKSTART,
            "--model=my_imports.X",
            "model: my_imports cannot be imported, because there is no module 'not_there' (my_imports.py, line 2)",
        ),
        (QUICKSTART, "--model=my_syntax.X", "invalid syntax (my_syntax.py, line 1): mend it there."),
        (QUICKSTART, "--model=my_error.X", "ZeroDivisionError: division by zero (my_error.py, line 3): mend it there."),
        (
            QUICKSTART,
            "--model=my_exit.X",
            "my_exit.py, line 2 ends the program while its file is imported: put that be",
        ),
        (
            QUICKSTART,
            "--model=my_encoders",
            "model: my_encoders is a module: name a class in it, too, as my_encoders.C",
        ),
        (QUICKSTART, "--model=my_methods.Lossless", "write losses (my_methods.py, line 6)."),
        (QUICKSTART, "--model=my_methods.Raises", "Raises.__init__ failed with KeyError: 'key' (my_methods.py, line 1"),
        (QUICKSTART, "--model.encoder=my_encoders.Uninitialised", "module before Module.__init__() call (my_encoders"),
        (
            QUICKSTART,
            "--model.encoder=my_encoders.Whole --model.encoder.depth=3",
            "has no setting 'depth'; it has none.",
        ),
        (
            QUICKSTART,
            "--trainer.callbacks+=my_methods.Raises",
            "Raises is no Callback, which is needed here (my_methods",
        ),
        (
            QUICKSTART,
            "--trainer.callbacks+=my_callbacks.Fails",
            "Fails.__init__ failed with OSError: no luck (my_callb",
        ),
        (
            QUICKSTART,
            "--trainer.callbacks+=my_callbacks.Hook",
            "Hook.on_train_batch_end cannot be called as Lightning d",
        ),
        (
            QUICKSTART,
            "--data.source=my_sources.Nameless",
            "Nameless (my_sources.py, line 5) does not say its name, lic",
        ),
        (
            QUICKSTART,
            "--model.views=my_encoders.Unbegun",
            "Unbegun.__init__ (my_encoders.py, line 44) does not initialise its base class: begin it with super().__i",
        ),
        (QUICKSTART, "--model.encoder=my_encoders.Half", "my_encoders.Half lacks what its base class leaves to it: wr"),
        (QUICKSTART, "--data=my_encoders.Whole", "data: my_encoders.Whole is no LightningDataModule, which is needed"),
        (BERT, "--model.encoder=my_encoders.Whole", "model.encoder: my_encoders.Whole is no TextEncoder, which BERT n"),
        (
            QUICKSTART,
            "--model.encoder=my_encoders.Nameless",
            "line 14) does not say its modality, num_layers, stride: set",
        ),
        (QUICKSTART, "--model=nowhere.yaml", "model: there is no file nowhere.yaml."),
        (QUICKSTART, "--model.optimizer.betas=0.9", "model.optimizer.betas: expected tuple or null, got 0.9."),
        (
            QUICKSTART,
            "--model.encoder.depth=deep",
            "model.encoder.depth: expected an int or null, got deep.",
        ),
        (QUICKSTART, "--model.optimizer=null", "model.optimizer is empty: write some of name, learning_rate, weight_d"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_where(command, option, sentence):
    with pytest.raises(InputError) as refused:
        run([*command, *option.split()])
    said = str(refused.value)
    assert sentence in said and not any(word in said for word in ("Parser key", "Union", "NestedArg", "<class"))
    assert not list(Path("runs").glob("*/*"))


def test_so_is_one_in_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("model:\n  init_args:\n    encoder:\n      class_path: my_encoders.Wole\n")
    with pytest.raises(InputError, match=r"^model.encoder: my_encoders has no class 'Wole', did you mean 'Whole'\?$"):
        run([*QUICKSTART, "--config", "mine.yaml"])
    for name, sentence in (
        ("my_syntax.X", "invalid syntax"),
        ("my_methods.Lossless", "write losses"),
        ("no.X", "no mod"),
    ):
        (tmp_path / "mine.yaml").write_text(f"model:\n  class_path: {name}\n")
        with pytest.raises(InputError, match=f"^model: .*{sentence}"):
            run([*QUICKSTART, "--config", "mine.yaml"])
    (tmp_path / "mine.yaml").write_text("model:\n  init_args:\n    optimizer: 5\n")
    with pytest.raises(
        InputError, match=r"^model.optimizer is '5', but it has settings of its own: write some of name"
    ):
        run([*QUICKSTART, "--config", "mine.yaml"])
    (tmp_path / "mine.yaml").write_text("model:\n  init_args:\n    optimizer:\n      # learning_rate: 0.1\n")
    with pytest.raises(InputError, match=r"^model.optimizer is empty: write some of name, learning_rate"):
        run([*QUICKSTART, "--config", "mine.yaml"])


def test_an_encoder_without_arguments_runs_and_is_evaluated(tmp_path):
    evaluated = ["--probe_after_fit=true", "--probe.draws=1", "--probe.ceiling=false", "--probe.labels_per_class=[1]"]
    run([*QUICKSTART, "--model.encoder=my_encoders.Whole", "--data.train_size=40", *evaluated])
    assert list(tmp_path.glob("runs/*/*/results.json"))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "--model=my_methods.Misspelt",
            "Misspelt.configure_optimizers failed with AttributeError: 'Misspelt' object has no attribute 'encodr' (my",
        ),
        ("--model=my_methods.Nothing", "Nothing.configure_optimizers gives nothing (my_methods.py, line 3"),
        ("--model=my_methods.Uneven", "Uneven.losses gives a tensor of torch.float32 and shape (8, 128) as"),
        (
            "--data.source=my_sources.Uneven",
            "Uneven.load gives 400 images and 100 labels as train (my_sources.py, line 8)",
        ),
    ],
)
def test_a_contract_is_tried_before_anything_is_written(option, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*QUICKSTART, option])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and sentence in said and "Traceback" not in said
    assert not list(Path("runs").glob("*/*"))


def test_a_method_with_an_optimizer_of_its_own_trains(tmp_path):
    run([*QUICKSTART, "--model=my_methods.Plain", "--data.train_size=40"])
    assert list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt"))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--model=my_methods.Late", "Late.losses failed with KeyError: 'key' (my_methods.py, line 3"),
        ("--trainer.callbacks+=my_callbacks.Late", "Late.on_train_batch_end failed with RuntimeError: late (my_callba"),
    ],
)
def test_what_fails_while_it_trains_is_one_sentence_too(option, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*QUICKSTART, "--data.train_size=40", option])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and sentence in said and "Traceback" not in said


def test_what_fails_after_the_last_step_costs_no_training(tmp_path):
    with pytest.raises(InputError) as failed:
        run([*QUICKSTART, "--data.train_size=40", "--trainer.callbacks+=my_callbacks.AtEnd"])
    [checkpoint] = tmp_path.glob("runs/*/*/checkpoints/last.ckpt")
    place, folder = "(my_callbacks.py, line 14)", checkpoint.parents[1].relative_to(tmp_path)
    assert str(failed.value) == (
        f"AtEnd.on_train_end failed with RuntimeError: at the end {place}: mend it there, and `ssl-zoo fit --resume "
        f"{folder}` goes on from the last checkpoint."
    )
    assert torch.load(checkpoint, weights_only=False)["global_step"] == 2


def test_a_package_that_is_installed_is_the_users_too(tmp_path, monkeypatch, capsys):
    # Named unlike the others, so that it stays imported: classes of a package that is gone would trouble later parsers.
    package = tmp_path / "site-packages" / "installed_lab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "methods.py").write_text(METHODS)
    (package / "broken.py").write_text("import ssl_zoo\n\n1 / 0\n")
    monkeypatch.syspath_prepend(package.parent)
    for name, sentence in (
        ("methods.Late", "Late.losses failed with KeyError: 'key' (site-packages/installed_lab/methods.py, line 3"),
        ("methods.Uneven", "Uneven.losses gives a tensor of torch.float32 and shape (8, 128) as"),
        ("broken.X", "by zero (site-packages/installed_lab/broken.py, line 3): mend it there."),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*QUICKSTART, "--data.train_size=40", f"--model=installed_lab.{name}"])
        said = capsys.readouterr().err
        assert stopped.value.code == 2 and sentence in said and "Traceback" not in said


def test_a_warning_of_an_encoder_shows_its_own_line(tmp_path, capsys):
    lines = ["import warnings", "from my_encoders import Whole", "class Warns(Whole):", "    def __init__(self):"]
    lines += ["        super().__init__()", "        warnings.warn('slow', stacklevel=2)"]
    (tmp_path / "my_warnings.py").write_text("\n".join(lines))
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, file, line, *_: shown.append((str(message), file, line))
        main(
            [*QUICKSTART, "--model.encoder=my_warnings.Warns", "--data.train_size=40", "--trainer.limit_val_batches=0"]
        )
    assert ("slow", str(tmp_path / "my_warnings.py"), 6) in shown


def test_a_warning_of_the_package_is_given_once_however_often_data_is_read(monkeypatch):
    own, shown = str(Path(ssl_zoo.__file__).parent / "data" / "base.py"), []
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: shown.append(str(message))
        with warnings_in_own_lines():
            for message in ("Left out two.", "Left out two.", "Left out three."):
                warnings.showwarning(UserWarning(message), UserWarning, own, 3)
            for _ in range(2):
                warnings.showwarning(UserWarning("slow"), UserWarning, "/somewhere/mine.py", 3)
    assert shown == ["Left out two.", "Left out three.", "slow", "slow"]


def test_a_warning_of_the_package_is_shown_once_and_of_data_by_the_first_process(monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))

    def warn(sentence: str, folder: str) -> None:
        file = str(Path(ssl_zoo.__file__).parent / folder / "base.py")
        with warnings.catch_warnings(action="always"):
            warnings.warn_explicit(sentence, UserWarning, file, 3)

    with warnings_in_own_lines():
        for sentence in ("Left out two.", "Left out two.", "Left out three."):
            warn(sentence, "data")
        monkeypatch.setenv("LOCAL_RANK", "1")
        warn("Left out four.", "data")
        warn("Diverges.", "callbacks")
    assert shown == ["Left out two.", "Left out three.", "Diverges."]


def test_a_warning_of_the_package_is_a_sentence_whatever_library_calls_it():
    warn = torch.no_grad()(lambda: warn_of_lines("in.txt: left out", [6], "not in UTF-8", "Mend it."))  # by its caller
    shown = []
    with warnings.catch_warnings(action="always"):
        warnings.showwarning = lambda message, category, file, line, *_: shown.append(
            warnings.formatwarning(message, category, file, line)
        )
        with warnings_in_own_lines():
            warn()
    assert shown == ["ssl-zoo: warning: in.txt: left out 1 line, which is not in UTF-8: line 7. Mend it.\n"]


def test_a_warning_of_the_package_is_a_sentence_without_a_line_of_code():
    own = str(Path(ssl_zoo.__file__).parent / "data" / "base.py")
    with warnings_in_own_lines():
        assert warnings.formatwarning("Left out two.", UserWarning, own, 3) == "ssl-zoo: warning: Left out two.\n"
        assert "base.py:3" in warnings.formatwarning("old", DeprecationWarning, own, 3, "line")
        assert "mine.py:3" in warnings.formatwarning("slow", UserWarning, "/somewhere/mine.py", 3, "line")
    assert "base.py:3" in warnings.formatwarning("Left out two.", UserWarning, own, 3, "line")
