"""An encoder as a program of torch.export: one file that runs wherever PyTorch does."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.export.loading import Loading

FILE = "encoder.pt2"

_CODE = """
import torch

folder = "."  # where this card lies
encoder = torch.export.load(f"{{folder}}/{file}").module()


@torch.no_grad()
def encode({arguments}):
    encoded = encoder({arguments})
    return encoded["pooled"], encoded["sequence"]
"""


class Program(nn.Module):
    """What is traced: raw inputs, and their mask where there is padding, to plain tensors by name.

    Args:
        encoder: an encoder in evaluation mode.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """`pooled` ``(B, D)`` and `sequence` ``(B, N, D)``; inputs and mask as in `ssl_zoo.batch.Batch`."""
        encoded = self.encoder(inputs, mask)
        return {"pooled": encoded.pooled, "sequence": encoded.sequence}


def save_program(encoder: Encoder, data: DataModule, batch: Batch, folder: Path) -> Loading:
    """Writes `encoder.pt2`, for batches of any size, and for examples of any length where they differ in it.

    Args:
        encoder: an encoder on the CPU and in evaluation mode.
        data: what it reads, which says whether examples are padded, and what they are.
        batch: examples of it; at least two. Images become float32 in [0, 1], of this size.
        folder: exists.

    Raises:
        InputError: the encoder does something that torch.export cannot follow.
    """
    dynamic = torch.export.Dim.DYNAMIC
    arguments: tuple[Tensor, ...]
    axes: tuple[dict[int, Any], ...]
    inputs = batch.inputs / 255 if batch.inputs.dtype == torch.uint8 else batch.inputs
    if data.padded:
        real = torch.ones_like(inputs, dtype=torch.bool) if batch.mask is None else batch.mask
        arguments, axes = (inputs, real), ({0: dynamic, 1: dynamic},) * 2
    else:
        arguments, axes = (inputs,), ({0: dynamic},)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the exporter says about itself and the libraries that it traces
            encoder(*arguments)  # what it makes once and keeps is no part of the program
            program = torch.export.export(Program(encoder), arguments, dynamic_shapes=axes)
            if data.padded:
                # A loop over time, as in a GRU, is traced for one length without a word.
                program.module()(*(each[:, : 1 + each.shape[1] // 2] for each in arguments))
            torch.export.save(program, folder / FILE)
    except Exception as error:  # whatever an encoder does in Python can stop the exporter, each in its own way
        (folder / FILE).unlink(missing_ok=True)  # half of it, perhaps
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"torch.export cannot follow the encoder {type(encoder).__name__} ({type(error).__name__}: {reason}): "
            "rewrite the part of its forward that depends on values or sizes of its inputs."
        ) from error
    shape = "(B, " + ", ".join(str(size) for size in arguments[0].shape[1:]) + ")"
    names = "inputs, mask" if data.padded else data.noun
    code = _CODE.format(file=FILE, arguments=names).strip()
    return Loading("PyTorch alone", data.program_inputs.format(shape=shape), code)
