"""A finished run, read back from its directory alone."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.cli import instantiate_module

from ssl_zoo.checkpoints import check_weights, checkpoints_of, read_newest_whole
from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method


class Run(NamedTuple):
    """What a run directory holds.

    Attributes:
        directory: where it lies.
        method: with the weights of the last checkpoint, in evaluation mode.
        data: the data module it was trained on, set up.
        checkpoint: the last checkpoint as Lightning wrote it.
    """

    directory: Path
    method: Method
    data: DataModule
    checkpoint: dict[str, Any]


def load_run(directory: Path) -> Run:
    """Reads `directory`/checkpoints/last.ckpt, or an older one if it is damaged, and rebuilds method and data from it.

    Raises:
        InputError: there is no run, no checkpoint, or the checkpoint cannot be read.
    """
    if not directory.is_dir():
        raise InputError(f"There is no run at {directory}: give a folder like runs/<experiment>/<time>-<id>.")
    paths = checkpoints_of(directory)
    if not any(path.is_file() for path in paths):
        raise InputError(f"The run {directory} has no checkpoint at {paths[0]}: it has not saved one yet.")
    path, checkpoint = read_newest_whole(paths)
    method = rebuild(checkpoint)
    check_weights(checkpoint, path, method.state_dict())
    method.load_state_dict(checkpoint["state_dict"])
    data = instantiate_module(L.LightningDataModule, _settings(checkpoint["datamodule_hyper_parameters"]))
    assert isinstance(data, DataModule)
    data.load_state_dict(checkpoint.get(type(data).__qualname__, {}))
    data.setup("fit")
    data.setup("test")
    return Run(directory, method.eval(), data, checkpoint)


def rebuild(checkpoint: dict[str, Any], seed: int = 0) -> Method:
    """The method of a checkpoint as it was before training, its weights drawn anew from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = instantiate_module(L.LightningModule, _settings(checkpoint["hyper_parameters"]))
    assert isinstance(method, Method)
    return method


def _settings(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyperparameters.items() if name != "_instantiator"}
