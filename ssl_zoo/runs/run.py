"""A finished run, read back from its directory alone."""

from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import lightning as L
import torch
from jsonargparse import ArgumentError
from lightning.pytorch.cli import instantiate_module

from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError, own_errors
from ssl_zoo.lightning_inside import CLASS_PATH, INSTANTIATOR
from ssl_zoo.methods.base import Method
from ssl_zoo.rebuilding import LEFT_OUT
from ssl_zoo.runs.checkpoints import check_weights, checkpoints_of, method_settings, read_newest_whole
from ssl_zoo.runs.moved import where_classes_are
from ssl_zoo.runs.named import check_run

Built = TypeVar("Built")


class Run(NamedTuple):
    """What a run directory holds.

    Attributes:
        directory: where it lies.
        method: the method with the weights of the last checkpoint, in evaluation mode.
        data: the data module it was trained on, set up.
        checkpoint: the last checkpoint as Lightning wrote it.
    """

    directory: Path
    method: Method
    data: DataModule
    checkpoint: dict[str, Any]


def load_run(directory: Path, allow_other_split: bool = False) -> Run:
    """Reads `directory`/checkpoints/last.ckpt, or an older one if it is damaged, and rebuilds method and data from it.

    Args:
        directory: folder of the run.
        allow_other_split: take the run although its data is not split any more as it was while it trained.

    Raises:
        InputError: there is no run, no checkpoint, the checkpoint cannot be read, or the data is split otherwise.
    """
    check_run(directory)
    paths = checkpoints_of(directory)
    if not any(path.is_file() for path in paths):
        raise InputError(f"The run {directory} has no checkpoint at {paths[0]}: it has not saved one yet.")
    path, checkpoint = read_newest_whole(paths)
    method = rebuild(checkpoint)
    check_weights(checkpoint, path, method.state_dict())
    method.load_state_dict(checkpoint["state_dict"])
    data = _build(L.LightningDataModule, checkpoint["datamodule_hyper_parameters"])
    assert isinstance(data, DataModule)
    data.allow_other_split = allow_other_split
    data.load_state_dict(checkpoint.get(type(data).__qualname__, {}))
    return Run(directory, method.eval(), data, checkpoint)


def rebuild(checkpoint: dict[str, Any], seed: int = 0) -> Method:
    """The method of a checkpoint as it was before training, its weights drawn anew from `seed`.

    Raises:
        InputError: a class of it is not there, or has other arguments by now.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = _build(L.LightningModule, method_settings(checkpoint))
    assert isinstance(method, Method)
    return method


def rebuild_as_loaded(checkpoint: dict[str, Any]) -> Method:
    """The method of a checkpoint as it was before training, its encoder with the published weights that it began from.

    Raises:
        InputError: it began from none, or they cannot be had any more, or are others by now.
    """
    settings = checkpoint["hyper_parameters"]
    encoder = settings.get("encoder") or {"init_args": {}}
    remembered = encoder["init_args"].get("pretrained")
    source = remembered["source"] if isinstance(remembered, dict) else remembered
    if source is None:
        raise InputError("The run began from no published weights.")
    again = {**encoder, "init_args": {**encoder["init_args"], "pretrained": source}}
    method = rebuild({"hyper_parameters": {**settings, "encoder": again}})
    read = method.encoder.settings["init_args"]["pretrained"]
    if isinstance(remembered, dict) and remembered["fingerprint"] != read["fingerprint"]:
        raise InputError(f"{source} holds other weights now than when the run began from it.")
    return method


def _build(kind: type[Built], hyperparameters: dict[str, Any]) -> Built:
    settings = {name: value for name, value in hyperparameters.items() if name != INSTANTIATOR}
    settings = where_classes_are(settings)
    if LEFT_OUT in settings:
        raise InputError(
            f"{settings[CLASS_PATH]} cannot be built again: when it was built in Python it was given "
            f"{', '.join(settings[LEFT_OUT])}, which no setting describes; derive such a class from "
            "ssl_zoo.rebuilding.Rebuildable and train again."
        )
    try:
        with own_errors():
            return instantiate_module(kind, settings)
    except ArgumentError as error:
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        name = settings.get(CLASS_PATH, "method or data")
        raise InputError(
            f"The checkpoint's {name} cannot be built again ({' '.join(str(reason).split())}): run this in the folder "
            "of your own classes, with the version of ssl_zoo that trained it."
        ) from error
