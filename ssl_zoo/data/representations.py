"""What turns inputs into vectors for probes, whatever the modality: baselines of the data, and frozen encoders."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.vocabulary import Vocabulary

RAW_PIXELS = 32


class Vectors(NamedTuple):
    """What a representation makes of a batch.

    Attributes:
        pooled: ``(B, D)``, what probes of whole examples see.
        layers: one vector per example of every layer, each ``(B, D_layer)``, from the first to the last; empty where a
            representation has no layers, or nobody asks for them.
        sequences: all vectors of every layer, each ``(B, N, D_layer)``; empty where a
            representation has no layers, or nobody asks for them.
        mask: ``(B, N)`` bool, which vectors of a sequence are real; None when all are.
    """

    pooled: Tensor
    layers: tuple[Tensor, ...] = ()
    sequences: tuple[Tensor, ...] = ()
    mask: Tensor | None = None


class PlaceRow(NamedTuple):
    """A row of the tables of tasks at places.

    Attributes:
        dimensions: those of the vectors of places that make it up.
        meaning: what it is, for whoever reads a table.
    """

    dimensions: slice
    meaning: str


class Representation(NamedTuple):
    """Something that gives vectors.

    Attributes:
        extract: gives those of a batch; its second argument says whether layers are asked for.
        offset: the raw input (sample, token, time step) at the centre of a sequence's first vector.
        stride: raw inputs from one vector to the next.
        context: neighbours on either side that the vector of a place is put together with.
        place_rows: rows of its vectors of places, by name; None for one row of all.
        meaning: what it is, for whoever reads a table; empty of an encoder, whose row says it.
    """

    extract: Callable[[Batch, bool], Vectors]
    offset: int = 0
    stride: int = 1
    context: int = 0
    place_rows: dict[str, PlaceRow] | None = None
    meaning: str = ""


class TokenCounts(NamedTuple):
    """How often each token occurs in a text, in no order: too many numbers for vectors.

    Attributes:
        vocabulary: vocabulary of the tokenizer.
        meaning: what such a baseline is, for whoever reads a table.
    """

    vocabulary: Vocabulary
    meaning: str = "logistic regression on the weights of a text's words, whose order is lost"


Baseline = Representation | TokenCounts


def only_pooled(represent: Callable[[Batch], Tensor], meaning: str = "") -> Representation:
    """A representation without layers.

    Args:
        represent: ``(B, D)`` vectors of a batch.
        meaning: what it is, for whoever reads a table.
    """
    return Representation(lambda batch, layers: Vectors(represent(batch)), meaning=meaning)


def raw_inputs(batch: Batch) -> Tensor:
    """``(B, D)`` inputs flattened, the baseline that needs no encoder; images shrunk by averaging to 32 x 32 at most.

    A linear probe on the 150,528 numbers of an image of 224 pixels would need more memory than most machines have, and
    more labelled examples than most data sets.
    """
    inputs = batch.inputs.float()
    if inputs.dim() == 4:
        height, width = (min(side, RAW_PIXELS) for side in inputs.shape[2:])
        inputs = F.adaptive_avg_pool2d(inputs, (height, width))
    return inputs.flatten(1)
