"""A finished run, read back from its directory alone."""

from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import lightning as L
import numpy as np
import torch
import yaml
from jsonargparse import ArgumentError
from lightning.pytorch.cli import instantiate_module

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.described import without_files
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import CLASS_PATH, INSTANTIATOR
from ssl_zoo.methods.base import Method
from ssl_zoo.own_code import own_errors
from ssl_zoo.rebuilding import LEFT_OUT
from ssl_zoo.runs.checkpoints import check_weights, checkpoints_of, method_settings, read_newest_whole
from ssl_zoo.runs.files import CONFIG, RESULTS
from ssl_zoo.runs.moved import where_classes_are
from ssl_zoo.runs.named import check_run
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.runs.results import Result

EMBEDDED_AT_ONCE = 64

Built = TypeVar("Built")


class Run(NamedTuple):
    """What a run directory holds.

    Attributes:
        directory: where it lies.
        method: the method with the weights of the last checkpoint, in evaluation mode.
        data: the data module it was trained on; set up by `load_run`, and by `read_run` only described, until
            `read_data`.
        checkpoint: the last checkpoint as Lightning wrote it.
    """

    directory: Path
    method: Method
    data: DataModule
    checkpoint: dict[str, Any]

    def __repr__(self) -> str:
        """In a line, without the weights."""
        method, encoder = type(self.method).__name__, type(self.encoder).__name__
        return f"<Run {self.directory}: {method} with {encoder} on {self.data.source_name}>"

    @property
    def encoder(self) -> Encoder:
        """The part of the method that probes see: its encoder, or where the paper evaluates a teacher, that."""
        encoder = self.method.get_submodule(self.method.evaluated)
        assert isinstance(encoder, Encoder)
        return encoder

    def encoder_to_train(self) -> Encoder:
        """A copy of `encoder` for further training; of a teacher with the parameters fixed that its student's are."""
        copy = deepcopy(self.method.encoder)
        copy.load_state_dict(self.encoder.state_dict())
        return copy

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run, as its config.yaml has them; empty where it was started without the command line."""
        path = self.directory / CONFIG
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def results(self) -> Result | None:
        """What the run was evaluated to; None where it has not been.

        Raises:
            InputError: its results.json is damaged.
        """
        if not (self.directory / RESULTS).is_file():
            return None
        try:
            return read_result(self.directory)
        except ValueError as error:
            path = self.directory / RESULTS
            raise InputError(f"{path} cannot be used, {error}: probe the run again, or remove the file.") from error

    def read_data(self) -> DataModule:
        """The run's data, set up.

        Raises:
            InputError: it cannot be read, or is split otherwise than while the run trained.
        """
        self.data.setup()
        return self.data

    @torch.no_grad()
    def embed(self, inputs: Any, sample_rate: int | None = None) -> np.ndarray:
        """``(B, D)`` float32 features, what probes see, of images, texts or sounds as you have them.

        They become what the run was trained on: images of its size and channels, tokens of its own tokenizer, sounds of
        its sample rate. The encoder normalises images by its own mean and standard deviation.

        Args:
            inputs: one or a list of: paths, images of Pillow's, NumPy arrays ``(H, W)`` or ``(H, W, C)`` and tensors
                ``(C, H, W)`` of images, uint8 or float in [0, 1]; Python's strings; paths of sounds, or waveforms
                ``(S,)`` or ``(S, channels)``, int16 or float in [-1, 1].
            sample_rate: samples per second of waveforms.

        Raises:
            InputError: an input is none of these.
        """
        images = isinstance(inputs, np.ndarray | torch.Tensor) and inputs.ndim == 4
        several = images or isinstance(inputs, list | tuple)
        self.method.eval()
        found = []
        for first in range(0, max(1, len(inputs)) if several else 1, EMBEDDED_AT_ONCE):
            some = inputs[first : first + EMBEDDED_AT_ONCE] if several else inputs
            batch = self.data.batch_of(some, sample_rate)
            batch = self.method.transfer_batch_to_device(batch, self.method.device, 0)
            found.append(self.method.encode(batch).pooled.float().cpu().numpy())
        return np.concatenate(found)


def load_run(directory: Path, allow_other_split: bool = False, root: Path | None = None) -> Run:
    """Reads a run and its data, which must be split as it was while the run trained.

    Args:
        directory: folder of the run.
        allow_other_split: take the run although its data is not split any more as it was while it trained.
        root: where the data lies now, where it was moved.

    Raises:
        InputError: as `read_run`, the data cannot be read, or it is split otherwise.
    """
    method, checkpoint = _method_and_checkpoint(directory)
    data = build_data(data_settings(checkpoint, root))
    data.allow_other_split = allow_other_split
    data.load_state_dict(kept_of(data, checkpoint))
    return Run(directory, method, data, checkpoint)


def read_run(directory: str | Path, root: str | Path | None = None) -> Run:
    """Reads a run and not its data, which is described by what the checkpoint keeps of it, also where it is gone.

    Args:
        directory: folder of the run.
        root: where the data lies now, where it was moved.

    Raises:
        InputError: there is no run, no checkpoint, or the checkpoint cannot be read.
    """
    directory, root = Path(directory), None if root is None else Path(root)
    method, checkpoint = _method_and_checkpoint(directory)
    with without_files():
        data = build_data(data_settings(checkpoint, root))
    data.remember(kept_of(data, checkpoint))
    return Run(directory, method, data, checkpoint)


def _method_and_checkpoint(directory: Path) -> tuple[Method, dict[str, Any]]:
    """The method of `directory`/checkpoints/last.ckpt, or of an older one if it is damaged, and what that holds."""
    check_run(directory)
    paths = checkpoints_of(directory)
    if not any(path.is_file() for path in paths):
        raise InputError(f"The run {directory} has no checkpoint at {paths[0]}: it has not saved one yet.")
    path, checkpoint = read_newest_whole(paths)
    method = rebuild(checkpoint)
    check_weights(checkpoint, path, method.state_dict())
    method.load_state_dict(checkpoint["state_dict"])
    return method.eval(), checkpoint


def kept_of(data: DataModule, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint keeps of its data."""
    return checkpoint.get(type(data).__qualname__, {})


def data_settings(checkpoint: dict[str, Any], root: Path | None = None) -> dict[str, Any]:
    """What the data of a checkpoint was built with.

    Args:
        checkpoint: checkpoint as Lightning writes it.
        root: where its files lie now; paths of the source below its old root move with it.

    Raises:
        InputError: the data's source has no root.
    """
    settings = dict(checkpoint["datamodule_hyper_parameters"])
    if root is None:
        return settings
    source: dict[str, Any] = settings.get("source") or {}
    old = source.get("init_args", {}).get("root")
    if old is None:
        name = source.get("class_path", "of its default source").rpartition(".")[2]
        raise InputError(f"--root: the run's data, {name}, lies in no folder of yours: leave it out.")
    new = str(root.expanduser().resolve())
    moved = {
        name: new + value.removeprefix(old) if isinstance(value, str) and f"{value}/".startswith(f"{old}/") else value
        for name, value in source["init_args"].items()
    }
    return {**settings, "source": {**source, "init_args": moved}}


def build_data(settings: dict[str, Any]) -> DataModule:
    """The data module of such settings; errors as `rebuild`."""
    data = _build(L.LightningDataModule, settings)
    assert isinstance(data, DataModule)
    return data


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
