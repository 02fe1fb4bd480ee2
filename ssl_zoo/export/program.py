"""An encoder as a program of torch.export: one file that runs wherever PyTorch does."""

import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.export.loading import Loading
from ssl_zoo.methods.base import Method

FILE = "encoder.pt2"
DYNAMIC = torch.export.Dim.DYNAMIC

_CODE = """
import torch

folder = "."  # where this card lies
encoder = torch.export.load(f"{{folder}}/{file}").module()


@torch.no_grad()
def encode({arguments}):
    encoded = encoder({arguments})
    return encoded["pooled"], encoded["sequence"]
"""


class Evaluated(nn.Module):
    """What probes see of a method that makes its features otherwise than its encoder does, such as of a middle layer.

    Args:
        method: a method in evaluation mode.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method, self.stride, self.stepwise = method, method.encoder.stride, method.encoder.stepwise

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Encoded:
        """As an encoder's."""
        return self.method.encode(Batch(inputs, mask, None, inputs.new_zeros(inputs.shape[0], dtype=torch.int64)))


def as_evaluated(method: Method, encoder: Encoder) -> Encoder | Evaluated:
    """The network whose features probes have seen: the encoder, but where a method has an `encode` of its own.

    Args:
        method: a method in evaluation mode.
        encoder: the part of it that is evaluated.
    """
    return encoder if type(method).encode is Method.encode else Evaluated(method)


class Program(nn.Module):
    """What is traced: raw inputs, and their mask where there is padding, to plain tensors by name.

    Args:
        encoder: an encoder in evaluation mode.
    """

    def __init__(self, encoder: Encoder | Evaluated) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """`pooled` ``(B, D)`` and `sequence` ``(B, N, D)``; inputs and mask as in `ssl_zoo.batch.Batch`."""
        encoded = self.encoder(inputs, mask)
        return {"pooled": encoded.pooled, "sequence": encoded.sequence}


def save_program(encoder: Encoder | Evaluated, data: DataModule, batch: Batch, folder: Path) -> Loading:
    """Writes `encoder.pt2`, for batches of any size, and for examples of any size where the network takes them.

    Args:
        encoder: an encoder on the CPU and in evaluation mode.
        data: what it reads, which says whether examples are padded, and what they are.
        batch: examples of it; at least two. Images become float32 in [0, 1].
        folder: exists.

    Raises:
        InputError: the encoder is recurrent, or does something that torch.export cannot follow.
    """
    if encoder.stepwise:
        raise InputError(
            f"{type(encoder).__name__} reads one place after the other, and a program of torch.export would be for "
            "examples of one length alone: it cannot be exported. `ssl-zoo predict` and ssl_zoo.load use the run as "
            "it is."
        )
    inputs = batch.inputs / 255 if batch.inputs.dtype == torch.uint8 else batch.inputs
    images = not data.padded and inputs.ndim == 4
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the exporter says about itself and the libraries that it traces
            program = _for_any_size(encoder, inputs) if images else None
            any_size = program is not None
            if program is None:
                program = _for_padded(encoder, batch) if data.padded else _traced(encoder, (inputs,), ({0: DYNAMIC},))
            torch.export.save(program, folder / FILE)
    except Exception as error:  # whatever an encoder does in Python can stop the exporter, each in its own way
        (folder / FILE).unlink(missing_ok=True)  # half of it, perhaps
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"torch.export cannot follow the encoder {type(encoder).__name__} ({type(error).__name__}: {reason}): "
            "rewrite the part of its forward that depends on values or sizes of its inputs."
        ) from error
    side = inputs.shape[-1]
    sizes = ["H", "W"] if any_size else [str(size) for size in inputs.shape[2:]]
    shape = "(B, " + ", ".join([str(inputs.shape[1]), *sizes]) + ")"
    names = "inputs, mask" if data.padded else data.noun
    code = _CODE.format(file=FILE, arguments=names).strip()
    text = data.program_inputs.format(shape=shape)
    if data.tokens() is not None:
        text += (
            " The folder has the run's own tokenizer: `AutoTokenizer.from_pretrained(folder)` of transformers makes "
            "`input_ids` and `attention_mask` of texts, and the latter is the mask once it is bool."
        )
    if any_size:
        text += (
            f" It was trained on images of {side} x {side} pixels and takes others, square or not; of some sizes it "
            "says in an error which rule they break."
        )
    elif images:
        text += f" The program takes images of {side} x {side} pixels alone."
    return Loading("PyTorch alone", text, code)


def _for_padded(encoder: Encoder | Evaluated, batch: Batch) -> ExportedProgram:
    """For examples of any length, padded with a mask."""
    real = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask
    arguments = batch.inputs, real
    program = _traced(encoder, arguments, ({0: DYNAMIC, 1: DYNAMIC},) * 2)
    # A loop over time, as in a GRU, is traced for one length without a word.
    program.module()(*(each[:, : 1 + each.shape[1] // 2] for each in arguments))
    return program


def _for_any_size(encoder: Encoder | Evaluated, images: Tensor) -> ExportedProgram | None:
    """For images of any height and width; None where that cannot be, as for an MLP, or for a map of a single place.

    It is traced at a height, a width and a number of patches that have nothing in common with those the network was
    made for, so that nothing which is true of these alone becomes part of the program.
    """
    height, width = images.shape[2] + encoder.stride, images.shape[3] + 2 * encoder.stride
    other = F.interpolate(images, (height, width))
    try:
        # As it is known to transformers that something traces a ViT, its positions are interpolated at every size.
        with mock.patch("torch.jit.is_tracing", lambda: True):
            program = _traced(encoder, (other,), ({0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC},))
        for given in (images, images[:1], other.flip(2, 3).mT):
            torch.testing.assert_close(program.module()(given)["pooled"], encoder(given).pooled, rtol=1e-3, atol=1e-4)
    except Exception:  # is answered by a program for one size, which says what is wrong where that fails too
        return None
    return program


def _traced(
    encoder: Encoder | Evaluated, arguments: tuple[Tensor, ...], axes: tuple[dict[int, Any], ...]
) -> ExportedProgram:
    encoder(*arguments)  # what it makes once and keeps is no part of the program
    return torch.export.export(Program(encoder), arguments, dynamic_shapes=axes)
