"""Checkpoints are written whole or not at all, and read only when they are whole."""

import os
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import CLASS_PATH
from ssl_zoo.runs.files import CHECKPOINTS, CONFIG, LAST, last_checkpoint
from ssl_zoo.runs.moved import present_arguments


class CheckpointFiles(TorchCheckpointIO):
    """Lightning plugin: every checkpoint of a Trainer is a file that is whole.

    Lightning writes into a temporary file of its own choice, often in another file system; moving it from there is a
    copy, which a full disk or a killed process leaves half done under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint; errors as `write_checkpoint`."""
        if "://" in str(path):  # another computer's
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a checkpoint, or the one before it where it is damaged; errors as `read_checkpoint`."""
        if "://" in str(path):  # another computer's
            return super().load_checkpoint(path, map_location, weights_only)
        return read_newest_whole([Path(path), before(Path(path))], weights_only is not False)[1]


def before(path: Path) -> Path:
    """Where the last checkpoint lies that stood under `path` until the present one was whole."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a file beside `path`, waits for the disk, and only then gives it the name.

    A run's last checkpoint that had the name before stays as `before(path)`. PyTorch puts a CRC-32 of every tensor into
    the file.

    Args:
        checkpoint: a checkpoint of plain values and tensors.
        path: path of the file, whose folder is made.

    Raises:
        InputError: the disk is full or the folder cannot be written to; what had the name still has it.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists() and path.name == LAST:
            _keep(path)
        os.replace(draft, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # PyTorch turns the former into the latter
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        kept = "; the one before is still whole" if path.exists() else ""
        raise InputError(
            f"The checkpoint {path} could not be written ({reason.strerror}): make room, or choose another "
            f"--runs_dir{kept}."
        ) from error
    finally:
        draft.unlink(missing_ok=True)  # half a file would only fill a full disk


def read_checkpoint(path: Path, weights_only: bool = True) -> dict[str, Any]:
    """A checkpoint whose checksums are those of what it holds.

    Args:
        path: path of the file.
        weights_only: refuse Python objects, which can run code while they are read.

    Returns:
        What was written, its tensors on the CPU.

    Raises:
        InputError: there is no such file, it is damaged, or it holds what `weights_only` refuses.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint at {path}: give a file like runs/.../checkpoints/{LAST}.")
    if not is_whole(path):
        raise InputError(
            f"The checkpoint {path} is damaged: its checksums are not those of what it holds; "
            "put a whole copy there, or begin a new run."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=weights_only)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        name = f" ({found[1]})" if found else ""
        raise InputError(
            f"The checkpoint {path} holds Python objects{name}, which could run any code while they are read: it is "
            "refused; use one that holds nothing but weights and settings."
        ) from error
    except Exception as error:  # a foreign file fails in many ways, all of them the file's
        raise InputError(f"The checkpoint {path} cannot be read ({type(error).__name__}): it is damaged.") from error
    if not isinstance(content, dict):
        raise InputError(f"The file {path} is no checkpoint of a run: it holds a {type(content).__name__}.")
    return content


def read_newest_whole(paths: list[Path], weights_only: bool = True) -> tuple[Path, dict[str, Any]]:
    """The first checkpoint that is not damaged, and what it holds; says so where that is not the first of all.

    Args:
        paths: the one that is meant first, then what to fall back to; files that are missing are passed over.
        weights_only: whether nothing but plain values and tensors is read.

    Raises:
        InputError: as `read_checkpoint` of the first one, where none is whole.
    """
    whole = next((path for path in paths if path.is_file() and is_whole(path)), paths[0])
    content = read_checkpoint(whole, weights_only)
    if whole != paths[0]:
        wrong = "damaged" if paths[0].is_file() else "missing"
        _warn(f"The checkpoint {paths[0]} is {wrong}: {whole}, of step {content.get('global_step')}, is used instead.")
    return whole, content


def checkpoints_of(directory: Path) -> list[Path]:
    """A run's checkpoint that counts, whether it is there or not, and what there is to fall back to, newest first."""
    last = last_checkpoint(directory)
    others = [path for path in directory.glob(f"{CHECKPOINTS}/*.ckpt") if path != last]
    return [last, *sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)]


def check_weights(checkpoint: dict[str, Any], path: Path, model: Mapping[str, Tensor]) -> None:
    """Refuses a checkpoint of another model.

    What is empty in the model is as long as its data in a checkpoint, such as the clusters of all training examples.

    Args:
        checkpoint: a checkpoint of Lightning.
        path: where it lies, for messages.
        model: weights and buffers of the model that is to take it.

    Raises:
        InputError: a name or a shape differs.
    """
    if "state_dict" not in checkpoint:
        raise InputError(f"The file {path} is no checkpoint of a run: it lacks 'state_dict'.")
    saved = checkpoint["state_dict"]
    differences = [f"it has {name}, which the model lacks" for name in saved if name not in model]
    differences += [f"it lacks the model's {name}" for name in model if name not in saved]
    differences += [
        f"its {name} is {_shape(saved[name])}, the model's {_shape(model[name])}"
        for name in model
        if name in saved and saved[name].shape != model[name].shape and model[name].numel()
    ]
    if differences:
        # The first difference in the encoder says more than one in a head that depends on it.
        first = next((each for each in differences if "encoder." in each), differences[0])
        more = f" ({len(differences) - 1} more differ)" if len(differences) > 1 else ""
        raise InputError(
            f"The checkpoint {path} is of another model: {first}{more}; give the settings it was trained with, which "
            f"are in its run's {CONFIG}."
        )


def method_settings(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The settings of a checkpoint's method.

    Args:
        checkpoint: Checkpoint as Lightning writes it.
    """
    settings = checkpoint.get("hyper_parameters", {})
    return present_arguments(settings, str(settings.get(CLASS_PATH)))


def is_whole(path: Path) -> bool:
    """Whether a file is a checkpoint that holds what was written."""
    try:
        with zipfile.ZipFile(path) as archive:  # PyTorch's format; it writes checksums and does not look at them
            return archive.testzip() is None
    except Exception:  # an altered file fails in many ways
        return False


def _keep(path: Path) -> None:
    """Gives a file its second name; where a file system has no links, it loses the first one a moment too early."""
    kept = before(path)
    draft = kept.with_name(f".{kept.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        os.link(path, draft)
    except OSError:  # a file system without hard links
        os.replace(path, kept)
        return
    os.replace(draft, kept)  # at once, so that a process that is killed here leaves a file of this name
    draft.unlink(missing_ok=True)  # where both were names of one file, neither has replaced the other


def _sync_folder(folder: Path) -> None:
    """Waits until a new name is on the disk too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@rank_zero_only
def _warn(sentence: str) -> None:
    sys.stderr.write(f"ssl-zoo: {sentence}\n")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
