"""Settings of a method and of its data, completed before either is built."""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from jsonargparse import Namespace

from ssl_zoo.encoders.normalize import FROM_DATA
from ssl_zoo.errors import InputError
from ssl_zoo.hardware import check_processes
from ssl_zoo.rebuilding import with_absolute_paths
from ssl_zoo.suggestions import imported, settings_of


def check_length_and_devices(trainer: Namespace) -> None:
    """Refuses what a Trainer would refuse, before data is read and in this project's words.

    Args:
        trainer: settings of the Trainer.

    Raises:
        InputError: it is to take less than no steps, an unknown time or none, or no device, more processes than a CPU
            has cores, to validate every 0 steps, or to do what no run here does.
    """
    for name, what in (("max_steps", "steps"), ("max_epochs", "epochs")):
        value = trainer.get(name)
        if isinstance(value, int) and value < -1:
            raise InputError(f"trainer.{name} is {value}: give a number of {what}, or -1 for no end.")
    for name, otherwise in (
        ("accumulate_grad_batches", "leave it out"),
        ("check_val_every_n_epoch", "null to count steps and not epochs"),
        ("val_check_interval", "set trainer.limit_val_batches to 0 to validate never"),
    ):
        value = trainer.get(name)
        if isinstance(value, int | float) and value <= 0:
            raise InputError(f"trainer.{name} is {value}: give a number above 0, or {otherwise}.")
    time = trainer.get("max_time")
    if isinstance(time, str) and (re.fullmatch(r"\d+:\d+:\d+:\d+", time.strip()) is None or not time.strip(" 0:")):
        raise InputError(
            f"trainer.max_time is {time}: give days:hours:minutes:seconds, such as 00:00:05:00 for five minutes."
        )
    if trainer.get("precision") in ("16-true", "bf16-true"):
        raise InputError(
            f"trainer.precision is {trainer.precision}, but weights and losses are float32 here: take "
            f"{trainer.precision.removesuffix('-true')}-mixed."
        )
    if trainer.get("barebones"):
        raise InputError("trainer.barebones is true, but a run has a log, checkpoints and probes: leave it out.")
    devices = trainer.get("devices")
    number = int(devices) if re.fullmatch(r"-?\d+", str(devices)) else 1
    if number == 0 or number < -1:
        raise InputError(f"trainer.devices is {devices}: give 1 or more, -1 for all, or leave it out.")
    check_processes(trainer.get("accelerator"), number)


def check_seed(seed: int | bool) -> None:
    """Refuses a seed that generators do not take.

    Args:
        seed: `seed_everything`, of which true chooses one and false none.

    Raises:
        InputError: it is negative, or too large.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"seed_everything is {seed}: give a number from 0 to {2**32 - 1}.")


def measure_where_asked(config: Namespace) -> None:
    """Lets the data measure its training images where the encoder is to be made by what they are like.

    Args:
        config: settings of a command that trains, changed in place.

    Raises:
        InputError: the data measures no images, or the method refuses the encoder whatever is measured.
    """
    encoder, data = config.model.get("init_args.encoder.init_args"), config.data.get("init_args")
    if encoder is not None and data is not None and "colours" in encoder and "palette_colours" in data:
        _refuse_causal(config.model.class_path, config.model.init_args.encoder)
        data.palette_colours = encoder.colours  # of an encoder that turns pixels into codes
    if encoder is None or FROM_DATA not in (encoder.get("mean"), encoder.get("std")):
        return
    if data is None or "measure_statistics" not in data:
        kind = config.data.class_path.rpartition(".")[2]
        raise InputError(f"model.encoder's mean or std is `data`, but {kind} measures no images: give numbers.")
    data.measure_statistics = data.measure_statistics or True


def _refuse_causal(method: str, encoder: Namespace) -> None:
    """Refuses before a palette is made, which takes seconds, what the method would refuse after it."""
    needy, kind = imported(method), imported(encoder.class_path)
    if getattr(needy, "both_sides", False) and encoder.init_args.get("causal", kind.causal):
        raise InputError(
            f"{needy.__name__} predicts what is hidden from both sides, of which {kind.__name__} sees one: set "
            "model.encoder.causal to false, or take ViT."
        )


@contextmanager
def remembered_statistics(config: Namespace, saved: dict[str, Any]) -> Iterator[None]:
    """Within, images are normalised by what a checkpoint's encoder was trained with, whatever the data is now.

    Args:
        config: settings of a command that trains.
        saved: settings of the checkpoint's method; empty without one.
    """
    data = config.data.get("init_args", Namespace())
    measured = ((saved.get("encoder") or {}).get("init_args") or {}).get("statistics")
    if measured is None or data.get("measure_statistics") is not True:
        yield
        return
    data.measure_statistics = measured
    try:
        yield
    finally:
        data.measure_statistics = True  # what config.yaml says


def make_paths_absolute(settings: Namespace) -> None:
    """So that the run's settings and its checkpoint mean the same data from any folder."""
    if "init_args" not in settings:
        return
    for name, value in with_absolute_paths(imported(settings.class_path), vars(settings.init_args)).items():
        settings.init_args[name] = value
        if isinstance(value, Namespace):
            make_paths_absolute(value)


def refuse_other_sizes(
    settings: Namespace, data: L.LightningDataModule, parts: Iterable[str], sizes: Collection[str]
) -> None:
    """Refuses a size of a part that is not the data's, which would have been taken in its place without a word.

    Args:
        settings: the method's, as given.
        data: built.
        parts: names of parts, such as `encoder` and `encoder.front_end`.
        sizes: names of arguments that the data fills in.

    Raises:
        InputError: one was given, is neither the data's nor what the part takes by itself.
    """
    for path in parts:
        part = settings.get("init_args." + path.replace(".", ".init_args."))
        if not isinstance(part, Namespace) or "class_path" not in part:
            continue
        kind = imported(part.class_path)
        takes = inspect.signature(kind).parameters
        usual = {name: argument.default for name, argument in takes.items()}
        for size, given in vars(part.get("init_args", Namespace())).items():
            # What is no number, such as a tokenizer's vocabulary, is written by nobody.
            if size not in sizes or not isinstance(given, int | float) or given == usual.get(size):
                continue
            measured = getattr(data, size, None)
            if measured is not None and given != measured:
                raise InputError(
                    f"model.{path}.{size} is {given}, but the data's is {measured}, which is what "
                    f"{kind.__name__} gets: leave it out."
                )


def forget_sizes(method: L.LightningModule, parts: Iterable[str], sizes: Iterable[str]) -> None:
    """Takes those sizes out of a method's settings that its parts do not take: it could not be rebuilt with them.

    Args:
        method: built, its settings changed in place.
        parts: names of parts, such as `encoder` and `encoder.front_end`, each after what it is a part of.
        sizes: what links from the data have filled in.
    """
    for path in reversed(list(parts)):  # parts of parts before what they are parts of
        *owners, name = path.split(".")
        whole: Any = method
        settings = method.hparams
        for owner in owners:
            whole, settings = getattr(whole, owner, None), (settings.get(owner) or {}).get("init_args", {})
        part = getattr(whole, name, None)
        if part is None or "class_path" not in settings.get(name, {}):
            settings.pop(name, None)
            continue
        kind: type = type(part)
        for size in set(sizes) - set(settings_of(kind)):
            settings[name]["init_args"].pop(size, None)
