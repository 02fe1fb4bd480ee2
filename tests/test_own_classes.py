"""Mistakes in classes of a user's own, named by `module.Class`, and in settings that are groups of settings."""

from pathlib import Path

import pytest

from ssl_zoo.cli import run
from ssl_zoo.errors import InputError

ROOT = Path(__file__).parents[1]
SMOKE = ["--config", str(ROOT / "experiments" / "smoke.yaml"), "--trainer.accelerator=cpu"]
QUICKSTART = ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"), *SMOKE]
BERT = ["fit", "--config", str(ROOT / "experiments" / "text" / "bert.yaml"), *SMOKE]

OWN = '''
import torch
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder


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
'''


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    (tmp_path / "my_encoders.py").write_text(OWN)
    (tmp_path / "my_syntax.py").write_text("class Encoder(:\n")
    (tmp_path / "my_imports.py").write_text("import not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("command", "option", "sentence"),
    [
        (QUICKSTART, "--model=my_encoders.Wole", "model: my_encoders has no class 'Wole', did you mean 'Whole'?"),
        (
            QUICKSTART,
            "--model.encoder=my_encoders.Wole",
            "model.encoder: my_encoders has no class 'Wole', did you mean",
        ),
        (QUICKSTART, "--data.source=my_encoders.Sauce", "data.source: my_encoders has no class 'Sauce'."),
        (QUICKSTART, "--model=my_encoder.X", "model: there is no module 'my_encoder', did you mean 'my_encoders'?"),
        (QUICKSTART, "--model.views=my_views.X", "model.views: there is no module 'my_views'"),
        (QUICKSTART, "--model.encoder=my_syntax.Encoder", "model.encoder: my_syntax.Encoder cannot be imported (Synt"),
        (QUICKSTART, "--model=my_imports.X", "cannot be imported, because there is no module 'not_there': install it."),
        (QUICKSTART, "--model.encoder=my_encoders.Half", "my_encoders.Half lacks what its base class leaves to it: wr"),
        (QUICKSTART, "--data=my_encoders.Whole", "data: my_encoders.Whole is no LightningDataModule, which is needed"),
        (BERT, "--model.encoder=my_encoders.Whole", "model.encoder: my_encoders.Whole is no TextEncoder, which BERT n"),
        (QUICKSTART, "--model.encoder=my_encoders.Nameless", "Nameless does not say its modality, num_layers, stride:"),
        (QUICKSTART, "--model=nowhere.yaml", "model: there is no file nowhere.yaml."),
        (QUICKSTART, "--model.optimizer.betas=0.9", "model.optimizer.betas: expected tuple or null, got 0.9."),
        (
            QUICKSTART,
            "--model.encoder.depth=deep",
            "model.encoder.depth: expected int or null, got deep.",
        ),
        (QUICKSTART, "--model.optimizer=null", "model.optimizer is empty: write some of name, learning_rate, weight_d"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_where(command, option, sentence):
    with pytest.raises(InputError) as refused:
        run([*command, option])
    said = str(refused.value)
    assert sentence in said and not any(word in said for word in ("Parser key", "Union", "NestedArg", "<class"))


def test_so_is_one_in_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("model:\n  init_args:\n    encoder:\n      class_path: my_encoders.Wole\n")
    with pytest.raises(InputError, match=r"^model.encoder: my_encoders has no class 'Wole', did you mean 'Whole'\?$"):
        run([*QUICKSTART, "--config", "mine.yaml"])
    (tmp_path / "mine.yaml").write_text("model:\n  init_args:\n    optimizer:\n      # learning_rate: 0.1\n")
    with pytest.raises(InputError, match=r"^model.optimizer is empty: write some of name, learning_rate"):
        run([*QUICKSTART, "--config", "mine.yaml"])


def test_an_encoder_without_arguments_runs_and_is_evaluated(tmp_path):
    evaluated = ["--probe_after_fit=true", "--probe.draws=1", "--probe.ceiling=false", "--probe.labels_per_class=[1]"]
    run([*QUICKSTART, "--model.encoder=my_encoders.Whole", "--data.train_size=40", *evaluated])
    assert list(tmp_path.glob("runs/*/*/results.json"))
