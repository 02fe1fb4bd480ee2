"""What every method owes its users, tried on its cheapest experiment. Methods are found, none is listed."""

import inspect
from functools import wraps
from pathlib import Path

import pytest
import torch

import ssl_zoo.encoders
from ssl_zoo.cli import run
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.runs.files import METRICS
from ssl_zoo.runs.logged import read_metrics
from tests.contracts.experiments import (
    EACH_METHOD,
    EXPERIMENTS,
    METHODS,
    SAVING,
    SMALL,
    UNWATCHED,
    assert_same,
    checkpoint,
    class_of,
    fit,
    fit_on_two,
    method_of,
    settings_of,
    tiny,
    waves,
)
from tests.contracts.found import concrete
from tests.made import write_images

of_each_method = pytest.mark.parametrize("path", EACH_METHOD)


def test_every_method_has_an_experiment():
    assert {method_of(path) for path in EXPERIMENTS} == set(METHODS)


def spied(method: type, monkeypatch) -> list[torch.Tensor | None]:
    """The labels of every batch of which a method is asked for its losses."""
    seen, losses = [], method.losses

    @wraps(losses)
    def spy(self, batch):
        seen.append(batch.labels)
        return losses(self, batch)

    monkeypatch.setattr(method, "losses", spy)
    return seen


@of_each_method
def test_a_run_stopped_in_mid_epoch_and_resumed_unwatched_equals_the_whole_one_bit_for_bit(
    path, finished, tmp_path, monkeypatch
):
    whole, seen = finished(path), spied(class_of(method_of(path)), monkeypatch)
    options = ["--ckpt_path", str(whole / "middle.ckpt"), "--seed_everything=99", *UNWATCHED]
    resumed = fit(path, tmp_path / "runs", *options)
    assert len(seen) >= 2 and set(seen) == {None}
    first, second = checkpoint(whole), checkpoint(resumed)
    assert_same(first, second)
    for ours, theirs in zip(first["optimizer_states"], second["optimizer_states"], strict=True):
        for slot, state in ours["state"].items():
            assert all(torch.equal(state[name], theirs["state"][slot][name]) for name in state)


@pytest.mark.parametrize("path", EACH_METHOD[:1])
def test_validation_is_without_labels_too(path, tmp_path, monkeypatch):
    seen = spied(class_of(method_of(path)), monkeypatch)
    fit(path, tmp_path / "runs", "--trainer.max_steps=1", "--trainer.val_check_interval=1")
    assert len(seen) >= 2 and set(seen) == {None}


@of_each_method
def test_its_alarms_are_about_numbers_that_its_runs_log(path, finished, rebuilt):
    directory = finished(path)
    known = {name: curve[-1][1] for name, curve in read_metrics(directory / METRICS).items()}
    alarms = rebuilt(path).alarms(batch_size=8)
    assert alarms and {alarm.metric for alarm in alarms} <= known.keys()
    for alarm in alarms:
        assert "{" not in alarm.sentence.format_map(known) and (alarm.above is None) != (alarm.below is None)


@of_each_method
def test_two_processes_compute_what_one_does_on_the_whole_batch(path, finished, rebuilt, two_processes, tmp_path):
    # Adam divides by the gradient's size, which turns a rounding error in a tiny gradient into a whole step.
    options = [
        "--trainer.precision=32-true",
        "--model.optimizer.name=sgd",
        "--model.optimizer.learning_rate=1e-3",
        *SAVING,
    ]
    options += ["--trainer.max_steps=2", "--seed_everything=7", *UNWATCHED]
    encoder = inspect.signature(class_of(settings_of(path)["model"]["init_args"]["encoder"]["class_path"])).parameters
    # Each process draws it for itself.
    options += [f"--model.encoder.{name}=0" for name in encoder if name.endswith("dropout")]
    arguments = inspect.signature(class_of(method_of(path))).parameters
    options += [f"--model.{name}=0" for name in arguments if name.endswith("dropout")]
    decoder = settings_of(path)["model"]["init_args"].get("decoder")
    if isinstance(decoder, dict) and "dropout" in inspect.signature(class_of(decoder["class_path"])).parameters:
        options.append("--model.decoder.dropout=0")
    directories = [fit(path, tmp_path / "one" / "runs", *options)]
    directories.append(fit_on_two(two_processes, path, tmp_path / "two" / "runs", *options))
    begun = [checkpoint(each, "start.ckpt") for each in (*directories, finished(path))]
    assert_same(*begun[:2])  # the same seed, the same weights
    start, unlike = begun[0]["state_dict"], begun[2]["state_dict"]
    assert any(not torch.equal(start[name], unlike[name]) for name in start)  # another seed, other weights
    one, two = (moves(start, checkpoint(each)["state_dict"]) for each in directories)
    assert one.keys() == two.keys()
    # Parameters together and not element by element: a rounding error that carries one activation over a ReLU's kink
    # changes single gradients. A gather without gradient changes the whole direction.
    parameters = {name for name, _ in rebuilt(path).named_parameters()}
    learnt, learnt_by_two = (torch.cat([each[name] for name in sorted(parameters)]) for each in (one, two))
    assert learnt.any()
    assert_close(learnt, learnt_by_two, "parameters")
    # Statistics and queues one by one: those of batch norm over half the batch would drown among the others.
    for name in one.keys() - parameters:
        assert_close(one[name], two[name], name, rounding=1e-5)  # of a mean that is zero, behind another batch norm


def moves(start: dict[str, torch.Tensor], end: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What training has added to each floating-point weight and statistic."""
    return {name: (value.double() - start[name]).flatten() for name, value in end.items() if value.is_floating_point()}


def assert_close(one: torch.Tensor, two: torch.Tensor, what: str, rounding: float = 0.0) -> None:
    assert (one - two).norm() <= 0.02 * one.norm() + rounding, what


def another(encoder: type[Encoder]) -> type[Encoder] | None:
    """An encoder of the same modality that sees as far, if possible one that promises as much."""
    others = [other for other in concrete(Encoder, ssl_zoo.encoders) if other is not encoder]
    others = [other for other in others if (other.modality, other.causal) == (encoder.modality, encoder.causal)]
    return max(others, key=lambda other: (other.maskable >= encoder.maskable, other.__name__), default=None)


@of_each_method
def test_it_takes_another_encoder_and_colour_images(path, tmp_path):
    own = settings_of(path)["model"]["init_args"]["encoder"]
    encoder = class_of(own["class_path"])
    other = another(encoder)
    if other is None:
        pytest.skip(f"{encoder.__name__} is the only one of its kind")
    # A front end that both take stays, as on the command line.
    settings = {name: value for name, value in own["init_args"].items() if name in inspect.signature(other).parameters}
    part = {"class_path": other.__name__, "init_args": settings}
    options = [f"--model.encoder={other.__name__}", *tiny("model.encoder", part)]
    options += ["--trainer.max_steps=1", *UNWATCHED]
    if encoder.modality == "image":
        options += ["--data.source=ImageFolder", f"--data.source.root={write_images(tmp_path / 'images')}"]
    try:
        directory = fit(path, tmp_path / "runs", *options)
    except InputError as refusal:  # in a sentence, for what the other does not promise
        in_a_plane = encoder.grid is not other.grid  # where a method needs frames in a line
        promised_more = any(getattr(encoder, each) > getattr(other, each) for each in ("maskable", "two_way", "halves"))
        assert (promised_more or in_a_plane) and other.__name__ in str(refusal)
        return
    assert checkpoint(directory)["global_step"] == 1
    settings = checkpoint(directory)["hyper_parameters"]["encoder"]
    assert settings["class_path"].endswith(other.__name__) and settings["init_args"].get("channels", 3) == 3


def parts_of(path: Path) -> set[str]:
    """Which parts besides an encoder a method has that are of a modality."""
    return {"views", "decoder"} & settings_of(path)["model"]["init_args"].keys()


# One of each kind: that all others run on speech, too, is in the matrix (test_matrix.py).
ON_SPEECH = {str(parts_of(each.values[0])): each for each in EACH_METHOD if each.values[0].parent.name == "image"}


@pytest.mark.parametrize("path", ON_SPEECH.values())
def test_options_alone_take_a_method_of_images_to_speech(path, tmp_path):
    arguments = settings_of(path)["model"]["init_args"]
    options = ["--model.encoder=AudioResNet", "--model.encoder.depth=10", "--model.encoder.width=8"]
    if "views" in arguments:
        options += ["--model.views=AudioViews", "--model.views.seconds=0.4"]
    if "decoder" in arguments:
        options += ["--model.decoder=SpectrogramDecoder", "--model.decoder.width=8"]
    options += [
        "--data=AudioData",
        "--data.source=AudioFolder",
        f"--data.source.root={waves()}",
    ]
    options += ["--data.sample_rate=8000", "--data.crop_seconds=0.5", "--trainer.max_steps=1", *UNWATCHED]
    try:
        run(["fit", "--config", str(path), *SMALL, *options, f"--runs_dir={tmp_path / 'runs'}"])
    except InputError as refusal:  # a sentence of what does not fit is an answer
        assert not AudioResNet.maskable and "AudioResNet" in str(refusal)
        return
    (directory,) = tmp_path.glob("runs/*/*")
    assert checkpoint(directory)["global_step"] == 1
    # Each part took rate and length from the data, and keeps them.
    settings = checkpoint(directory)["hyper_parameters"]
    assert settings["encoder"]["init_args"]["sample_rate"] == 8000
    assert "views" not in arguments or settings["views"]["init_args"]["sample_rate"] == 8000
    assert "decoder" not in arguments or settings["decoder"]["init_args"]["crop_seconds"] == 0.5
