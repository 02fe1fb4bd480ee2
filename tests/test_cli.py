"""The command line as its users meet it: mistakes, overlays, a method of their own, W&B without a network."""

import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from ssl_zoo.cli import _quiet, import_named, main, run
from ssl_zoo.errors import InputError
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.runs.run import load_run
from ssl_zoo.training_cli import fit_settings
from tests.made import write_images

ROOT = Path(__file__).parents[1]
SIMCLR = str(ROOT / "experiments" / "image" / "simclr.yaml")
SMOKE = str(ROOT / "experiments" / "smoke.yaml")
DIGITS = ["--data.source=null", "--data.image_size=12", "--data.train_size=20", "--trainer.accelerator=cpu"]


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Runs a command that must end with one sentence and exit code 2; returns the sentence."""
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip()
    assert "Traceback" not in error and len(error.splitlines()) == 1, error
    return error


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--seed_everything=-1", "seed_everything is -1: give a number from 0 to 4294967295."),
        ("--model.temprature=0.1", "model: SimCLR has no setting 'temprature', did you mean 'temperature'"),
        (
            "--model.optimizer.learning_rat=0.1",
            "model.optimizer has no setting 'learning_rat', did you mean 'learning_rate'? It has name, learning_rate,",
        ),
        (
            "--model.optimizer.name=adam",
            "model.optimizer.name: expected one of 'adamw', 'sgd', 'lars', 'adagrad', got adam, did you",
        ),
        ("--model.learning_rat=0.1", "SimCLR has no setting 'learning_rat', did you mean 'optimizer.learning_rate'"),
        ("--model.optimizer.betas=[0.9]", "model.optimizer.betas: expected a tuple with 2 elements, got [0.9]."),
        ("--model.optimizer.schedule=cosin", "got cosin, did you mean 'cosine'?"),
        (
            "--model.optimizer.momentum=0.5",
            "optimizer: adamw takes no momentum, which is a setting of sgd and lars; it",
        ),
        ("--model.optimizer.layer_decay=2", "optimizer.layer_decay is 2.0; it must be above 0 and at most 1"),
        (
            "--model.learning_rate=0.1",
            "model.learning_rate is a setting of optimizer: write model.optimizer.learning_rate",
        ),
        (
            "--model.optimizer=sgd",
            "model.optimizer is 'sgd', but it has settings of its own: write name, learning_rate,",
        ),
        ("--model.encoder.file=weights.pt", "model.encoder: ResNet has no setting 'file'; it has depth,"),
        ("--model.encoder.widht=8", "model.encoder: ResNet has no setting 'widht', did you mean 'width'"),
        ("--model.encoder=ResNett", "there is no class 'ResNett', did you mean 'ResNet'"),
        ("--model=SimCRL", "there is no class 'SimCRL', did you mean 'SimCLR'"),
        ("--data.sorce.root=x", "data: ImageData has no setting 'sorce', did you mean 'source'? It has source,"),
        ("--model.help=SimCRL", "model: there is no class 'SimCRL', did you mean 'SimCLR'? A class of your own"),
        ("--data.source=FashonMNIST", "there is no class 'FashonMNIST', did you mean 'FashionMNIST'"),
        ("--data.help=ImageFolder", "data: ImageFolder is a class of another kind; --help lists those that fit"),
        ("--model.views=null", "model: SimCLR needs the setting views"),
        ("--model.temperature=null", "model.temperature is null: give a value, or leave it out for the default, 0.5."),
        ("--data.batch_size=null", "data.batch_size is null: give a value, or leave it out for the default,"),
        ("--trainer.accelerator=gpu", "trainer.accelerator is gpu, but PyTorch finds no GPU on this machine: leave it"),
        ("--data.source=ImageFolder", "data.source: ImageFolder needs the setting root: give --data.source.root."),
        ("--model.encoder.depth=19", "model.encoder.depth: expected one of 10, 18, 34, 50, 101, 152 or null, got 19."),
        (
            "--model.encoder.stem=smal",
            "expected one of 'small', 'large' or null, got smal, did you mean 'small'?",
        ),
        (
            "--trainer.max_step=3",
            "There is no option '--trainer.max_step', did you mean '--trainer.max_steps'? The",
        ),
        ("--trainer.devices=0", "trainer.devices is 0: give 1 or more, -1 for all, or leave it out."),
        ("--trainer.max_steps=-3", "trainer.max_steps is -3: give a number of steps, or -1 for no end."),
        ("--trainer.max_time=5", "trainer.max_time is 5: give days:hours:minutes:seconds, such as 00:00:05:00"),
        ("--data.batch_size=0", "batch_size is 0: it must be at least 1"),
        ("--ckpt_path=nowhere.ckpt", "there is no file nowhere.ckpt"),
        ("--config=nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_a_typo_on_the_command_line_gets_one_line_with_the_nearest_name(
    capsys, tmp_path, monkeypatch, option, sentence
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    args = ["fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS, "--runs_dir", str(tmp_path), option]
    assert sentence in refused(capsys, *args)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_file_in_place_of_a_class_is_reported_as_one(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pairs.tsv").write_text("one\tuno\n")
    said = refused(capsys, "fit", "--config", "text/mt_rnn", "--data.source", "pairs.tsv")
    assert "data.source: pairs.tsv is a file, and the name of a class belongs here" in said


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["probe"], "probe needs --run; `ssl-zoo probe --help` says what it takes."),
        (["export"], "export needs --run and --out; `ssl-zoo export --help` says what they take."),
        (["compare"], "compare needs RUNS; `ssl-zoo compare --help` says what that is."),
        (["fit"], "fit needs the settings model and data, which files of settings hold: give --config quickstart, or"),
        (
            ["fit", "--model", "SimCLR"],
            "model: SimCLR needs the settings encoder and views: give --model.encoder and --model.views.",
        ),
    ],
)
def test_what_is_missing_is_named_with_how_to_give_it(capsys, args, sentence):
    assert sentence in refused(capsys, *args)


def test_overlays_of_two_loggers_give_both_in_any_order():
    import_named()
    overlays = [["--config", str(ROOT / "experiments" / f"{name}.yaml")] for name in ("wandb", "tensorboard")]
    for first, second in (overlays, overlays[::-1]):
        loggers = fit_settings(["--config", SIMCLR, *first, *second])["trainer"]["logger"]
        assert {each["class_path"].rpartition(".")[2] for each in loggers} == {"WandbLogger", "TensorBoard"}


def test_null_clears_a_setting_of_any_depth():
    import_named()  # from here on classes go by their short names
    options = ["--config", str(ROOT / "experiments" / "image" / "mae.yaml"), "--model.encoder.mean=null"]
    settings = fit_settings([*options, "--model.encoder.patch_size", "null", "--data.source.root", "null"])
    encoder = settings["model"]["init_args"]["encoder"]["init_args"]
    assert encoder["mean"] is None and encoder["patch_size"] is None and encoder["std"] == 0.353
    assert settings["data"]["init_args"]["source"]["init_args"]["root"] is None


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("temperature:", "temprature:", "SimCLR has no setting 'temprature', did you mean 'temperature'"),
        ("width:", "widht:", "ResNet has no setting 'widht', did you mean 'width'"),
        (
            "max_steps:",
            "max_step:",
            "There is no option '--trainer.max_step', did you mean '--trainer.max_steps'? The",
        ),
        ("batch_size:", "batch_siz:", "ImageData has no setting 'batch_siz', did you mean 'batch_size'"),
    ],
)
def test_a_typo_in_a_file_does_too(capsys, tmp_path, right, wrong, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(Path(SIMCLR).read_text().replace(right, wrong))
    assert sentence in refused(capsys, "fit", "--config", str(path))


def test_settings_of_an_optimizer_in_their_old_places_are_said_to_have_moved(capsys, tmp_path):
    path = tmp_path / "old.yaml"
    whole = Path(SIMCLR).read_text()
    settings = whole[whole.index("    optimizer:\n") : whole.index("\ndata:")]
    flat = settings.replace("    optimizer:\n      name:", "    optimizer:").replace("      ", "    ")
    path.write_text(whole.replace(settings, flat))
    error = refused(capsys, "fit", "--config", str(path))
    assert (
        "model.optimizer is 'adamw', but it has settings of its own: write name, learning_rate, weight_decay" in error
    )
    path.write_text("model:\n  init_args:\n    learning_rate: 1.0e-3\n")
    error = refused(capsys, "fit", "--config", SIMCLR, "--config", str(path))
    assert "model.learning_rate is a setting of optimizer: write model.optimizer.learning_rate" in error
    path.write_text("model:\n  init_args:\n    optimizer: {learning_rat: 1.0e-3}\n")
    error = refused(capsys, "fit", "--config", SIMCLR, "--config", str(path))
    assert "model.optimizer has no setting 'learning_rat', did you mean 'learning_rate'? It has name," in error


def test_help_lists_the_optimizers_settings(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--model.help=SimCLR"])
    said = capsys.readouterr().out
    assert "--model.optimizer.layer_decay" in said and "Highest learning rate of the run" in said


def test_a_setting_that_a_method_fixes_is_not_offered(capsys):
    error = refused(capsys, "fit", "--config", "experiments/audio/cpc_log_mel.yaml", "--model.loss=binary")
    assert "CPC has no setting 'loss'; it has encoder, steps, negatives, offset, optimizer." in error


def test_a_command_that_does_not_exist(capsys):
    assert "did you mean 'fit'" in refused(capsys, "fitt")


def folder(path: Path, files: int = 12) -> Path:
    """A flat folder of small random images."""
    path.mkdir()
    return write_images(path, files, classes=0, size=(9, 9))


def fit_folder(root: Path, *options: str) -> list[str]:
    source = ["--data.source=ImageFolder", f"--data.source.root={root}", "--data.image_size=12"]
    source.append("--model.encoder.mean=0.5")  # a range, which fits any images
    return ["fit", "--config", SIMCLR, "--config", SMOKE, *source, "--data.train_size=null", *options]


def test_a_size_that_is_not_the_datas_is_refused(capsys, tmp_path):
    options = [*fit_folder(folder(tmp_path / "images")), f"--runs_dir={tmp_path / 'runs'}"]
    said = refused(capsys, *options, "--model.encoder.channels=4").splitlines()[-1]
    assert said.endswith("model.encoder.channels is 4, but the data's is 3, which is what ResNet gets: leave it out.")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["SimMIM", "HuBERT", "BestRQ", "Data2Vec"])
def test_an_encoder_that_sees_one_side_is_refused_before_colours_are_clustered(capsys, tmp_path, monkeypatch, name):
    def cluster(*_: object) -> None:
        raise AssertionError("a palette is made")

    monkeypatch.setattr("ssl_zoo.data.image.module.colour_palette", cluster)
    root = write_images(tmp_path / "colours", 12, classes=0, size=(9, 9, 3))
    options = ["--model", name, "--model.encoder=ImageGPTEncoder", "--model.encoder.dim=8", "--model.encoder.heads=1",
               "--model.encoder.depth=1", "--data=ImageData", "--data.image_size=8", "--data.source=ImageFolder",
               f"--data.source.root={root}", f"--runs_dir={tmp_path / 'runs'}"]  # fmt: skip
    sentence = f"{name} predicts what is hidden from both sides, of which ImageGPTEncoder sees one: set model.encoder.c"
    assert sentence in refused(capsys, "fit", *options)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(InputError, match="a palette is made"):
        run(["fit", *options, "--model.encoder.causal=false"])


@pytest.mark.parametrize(
    ("validated", "sentence"),
    [(True, "SimCLR has diverged: after 2 steps its vectors are not finite"), (False, "nothing to probe")],
)
def test_a_run_that_diverges_says_so(capsys, tmp_path, validated, sentence):
    options = ["--model.encoder.depth=10", "--model.encoder.width=8", "--model.optimizer.name=sgd"]
    options += [
        "--model.optimizer.learning_rate=1e30",
        "--model.optimizer.warmup=0",
        "--trainer.max_steps=2",
        f"--runs_dir={tmp_path}",
    ]
    options.append("--trainer.limit_val_batches=1" if validated else "--trainer.limit_val_batches=0")
    options += ["--probe_after_fit=true", "--probe.ceiling=false", "--trainer.enable_progress_bar=false"]
    assert sentence in refused(capsys, "fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS, *options)


def test_a_loss_that_is_no_number_ends_a_run_whose_encoder_has_finite_vectors_still(capsys, tmp_path, monkeypatch):
    losses = SimCLR.losses
    monkeypatch.setattr(SimCLR, "losses", lambda self, batch: {"loss": losses(self, batch)["loss"] + math.nan})
    options = ["--model.encoder.depth=10", "--model.encoder.width=8", f"--runs_dir={tmp_path}"]
    error = refused(capsys, "fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS, *options)
    assert "SimCLR has diverged: after 2 steps its loss is not a finite number. Lower" in error


def test_a_run_that_divides_by_zero_is_not_said_to_learn_too_fast(capsys, tmp_path):
    options = ["--model.encoder.depth=10", "--model.encoder.width=8", "--model.optimizer.eps=0",
               "--trainer.max_steps=2", f"--runs_dir={tmp_path}", "--trainer.limit_val_batches=1"]  # fmt: skip
    error = refused(capsys, "fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS, *options)
    assert "SimCLR has diverged" in error and "model.optimizer.eps is 0, so that" in error
    assert "learning_rate" not in error


def test_data_that_cannot_be_trained_on_is_named(capsys, tmp_path):
    assert "nowhere" in refused(capsys, *fit_folder(tmp_path / "nowhere"))
    assert "empty" in refused(capsys, *fit_folder(folder(tmp_path / "empty", files=0)))
    images = folder(tmp_path / "images")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    error = refused(capsys, *fit_folder(images, f"--data.source.labels={tmp_path / 'labels.txt'}"))
    assert "labels.txt" in error and "2" in error and "12" in error
    (images / "005.png").write_bytes(b"not a picture")
    assert "005.png" in refused(capsys, *fit_folder(images))


def test_unlabelled_images_are_pretrained_on_and_not_classified(capsys, tmp_path):
    run([*fit_folder(folder(tmp_path / "images", 30)), "--runs_dir", str(tmp_path), "--probe_after_fit=true"])
    assert "There is no accuracy to measure: " in capsys.readouterr().out
    assert list(tmp_path.rglob("last.ckpt"))


def test_probing_what_is_no_run(capsys, tmp_path):
    assert "no run at" in refused(capsys, "probe", "--run", str(tmp_path / "nowhere"))
    assert "no run at" in refused(capsys, "probe", "--run", str(tmp_path))
    (tmp_path / "config.yaml").touch()
    assert "no checkpoint" in refused(capsys, "probe", "--run", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"half a file")
    assert "damaged" in refused(capsys, "probe", "--run", str(tmp_path))


@pytest.mark.slow  # a started process; skeletons of `ssl-zoo new` run in this one
def test_a_users_own_method_runs_by_its_module_path(tmp_path):
    """Whoever adds a method needs a file of their own in their own folder, and nothing else."""
    (tmp_path / "my_module.py").write_text(
        "import torch\n"
        "from ssl_zoo.encoders.base import Encoder\n"
        "from ssl_zoo.methods.base import Method\n"
        "from ssl_zoo.optim import Optimizer\n\n\n"
        "class MyMethod(Method):\n"
        '    """Predicts an image\'s mean brightness.\n\n    Args:\n        encoder: the network.\n'
        '        power: of the error.\n    """\n\n'
        "    def __init__(self, encoder: Encoder, power: float = 2.0, optimizer: Optimizer = Optimizer('sgd', 0.01)):\n"
        "        super().__init__(encoder, optimizer)\n"
        "        self.power, self.head = power, torch.nn.Linear(encoder.dim, 1)\n\n"
        "    def losses(self, batch):\n"
        "        brightness = batch.inputs.float().mean((1, 2, 3)) / 255\n"
        "        error = self.head(self.encoder(batch.inputs).pooled)[:, 0] - brightness\n"
        '        return {"loss": error.abs().pow(self.power).mean()}\n'
    )
    command = [
        sys.executable, "-m", "ssl_zoo", "fit", "--model", "my_module.MyMethod", "--model.power", "1.5",
        "--model.encoder", "ResNet", "--model.encoder.depth", "10", "--model.encoder.width", "8",
        "--data", "ImageData", "--data.train_size", "40", "--data.batch_size", "10",
        "--trainer.max_steps", "4", "--probe.ceiling", "false", "--probe.draws", "1",
        "--probe.labels_per_class", "[1]", "--probe.layers", "false", "--model.optimizer.momentum", "0.5",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MyMethod" in done.stdout and "untrained encoder" in done.stdout
    (settings,) = tmp_path.glob("runs/*/*/config.yaml")
    chosen = yaml.safe_load(settings.read_text())["model"]["init_args"]
    assert chosen["power"] == 1.5
    assert [chosen["optimizer"][name] for name in ("name", "learning_rate", "momentum")] == ["sgd", 0.01, 0.5]


def test_configs_compose_and_the_later_wins_and_two_runs_never_collide(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "model:\n  class_path: SimCLR\n  init_args:\n    temperature: 0.7\n    optimizer: {weight_decay: 0.5}\n"
    )
    args = ["fit", "--config", SIMCLR, "--config", SMOKE, "--config", str(overlay), *DIGITS]
    run([*args, "--runs_dir", str(tmp_path)])
    run([*args, "--runs_dir", str(tmp_path), "--model.temperature=0.9", "--model.optimizer.warmup=0.25"])
    settings = [yaml.safe_load(path.read_text()) for path in tmp_path.glob("simclr/*/config.yaml")]
    found = sorted((each["model"]["init_args"] for each in settings), key=lambda each: each["temperature"])
    assert [each["temperature"] for each in found] == [0.7, 0.9]
    own = yaml.safe_load(Path(SIMCLR).read_text())["model"]["init_args"]["optimizer"]
    for each, warmup in zip(found, (own["warmup"], 0.25), strict=True):
        expected = {**own, "weight_decay": 0.5, "warmup": warmup}
        assert {name: each["optimizer"][name] for name in own} == expected


def test_on_resume_the_command_line_wins_over_the_checkpoint(tmp_path):
    args = ["fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS]
    run([*args, "--runs_dir", str(tmp_path / "first")])
    (saved,) = (tmp_path / "first").rglob("last.ckpt")
    options = ["--model.temperature=0.9", "--trainer.max_steps=4", "--ckpt_path", str(saved)]
    run([*args, "--runs_dir", str(tmp_path / "second"), *options])
    (resumed,) = (tmp_path / "second").rglob("last.ckpt")
    checkpoint = torch.load(resumed, weights_only=True)
    assert checkpoint["hyper_parameters"]["temperature"] == 0.9 and checkpoint["global_step"] == 4


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_finished_run_goes_through_lightnings_other_commands(tmp_path, capsys, command):
    run(["fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS, "--runs_dir", str(tmp_path)])
    (directory,) = tmp_path.glob("simclr/*")
    checkpoint = str(directory / "checkpoints" / "last.ckpt")
    run([command, "--config", str(directory / "config.yaml"), "--ckpt_path", checkpoint, "--runs_dir", str(tmp_path)])
    printed = capsys.readouterr().out
    assert {"validate": "probe/linear", "test": "test/loss", "predict": ""}[command] in printed
    if command != "predict":  # few digits, one number a line, and where all of them are
        numbers = dict(re.findall(r"^([\w/]+) +(\S+)$", printed, re.MULTILINE))
        assert {"validate": "probe/linear", "test": "test/loss"}[command] in numbers
        assert max(map(len, numbers.values())) <= 9 and "DataLoader" not in printed
        (kept,) = re.findall(r"^All digits: (.+)$", printed, re.MULTILINE)
        assert Path(kept).is_relative_to(directory) and Path(kept).is_file()


def test_importing_the_package_is_light():
    heavy = "{'torch', 'lightning', 'transformers', 'sklearn', 'wandb', 'matplotlib'}"
    code = f"import sys, ssl_zoo; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_run_finds_its_data_again_from_any_folder(tmp_path, monkeypatch):
    write_images(tmp_path / "data", 24, 2)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    run(
        ["fit", "--config", SIMCLR, "--config", SMOKE, "--data.source=ImageFolder", "--data.source.root=link",
         "--data.image_size=12", "--data.train_size=null", "--data.batch_size=4", "--model.encoder.mean=0.5",
         "--trainer.accelerator=cpu", "--trainer.max_steps=1",
         "--probe_after_fit=false", "--runs_dir=runs"]
    )  # fmt: skip
    (directory,) = (path.parent for path in tmp_path.glob("runs/*/*/config.yaml"))
    kept = yaml.safe_load((directory / "config.yaml").read_text())["data"]["init_args"]["source"]["init_args"]
    checkpoint = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    stored = checkpoint["datamodule_hyper_parameters"]["source"]["init_args"]
    assert kept["root"] == stored["root"] == str((tmp_path / "data").resolve())
    monkeypatch.chdir(ROOT)
    assert load_run(directory).data.test_set.labels is not None


def test_a_front_end_takes_the_sample_rate_from_the_data(tmp_path):
    run(["fit", "--config", str(ROOT / "experiments" / "audio" / "wav2vec2_log_mel.yaml"), "--config", SMOKE,
         "--data.source=tests.made.Tones", "--data.sample_rate=8000", "--data.crop_seconds=0.6",
         "--trainer.accelerator=cpu", "--model.mask_length=2", "--model.negatives=4", "--model.encoder.dim=16",
         "--model.encoder.depth=1", "--model.encoder.heads=2", "--model.encoder.front_end.dim=16",
         f"--runs_dir={tmp_path}"])  # fmt: skip
    (directory,) = tmp_path.glob("*/*")
    encoder = load_run(directory).method.encoder  # what it took is among the settings that it is rebuilt from
    assert encoder.sample_rate == encoder.front_end.sample_rate == 8000


def test_an_encoder_without_a_front_end_keeps_no_trace_of_one(tmp_path):
    run(["fit", "--config", SIMCLR, "--config", SMOKE, *DIGITS, f"--runs_dir={tmp_path}"])
    (path,) = tmp_path.glob("*/*/checkpoints/last.ckpt")
    settings = torch.load(path, weights_only=True)["hyper_parameters"]
    assert "front_end" not in settings["encoder"]["init_args"] and "decoder" not in settings


def test_a_warning_of_two_processes_that_nobody_can_mend_is_left_out():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _quiet()
        warnings.warn("Grad strides do not match bucket view strides. This may indicate grad was not", stacklevel=1)
        warnings.warn("Another.", stacklevel=1)
    assert [str(each.message) for each in caught] == ["Another."]
