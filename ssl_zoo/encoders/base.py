"""The contract between methods and networks: one encoder interface for every modality."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

from torch import Tensor, nn

from ssl_zoo.rebuilding import Rebuildable


class Encoded(NamedTuple):
    """What an encoder makes of a batch.

    Attributes:
        sequence: ``(B, N, D)``, one vector per position (token, patch, frame).
        pooled: ``(B, D)``, one vector per example.
        mask: ``(B, N)`` bool, True where the position is real; None when nothing is padded.
        layers: every layer's sequence, each ``(B, N, D_layer)``, from the first to the last; empty unless asked for.
    """

    sequence: Tensor
    pooled: Tensor
    mask: Tensor | None
    layers: tuple[Tensor, ...] = ()


class Encoder(Rebuildable, nn.Module, ABC):
    """Turns raw inputs of one modality into vectors, in two steps.

    `embed` makes local vectors, `contextualize` lets them see each other. The split is where a masked method corrupts
    its input; a contrastive method calls the encoder as a whole. An encoder normalises its inputs itself, so that
    everything outside sees images in [0, 1] and waveforms in [-1, 1]. Padding never changes a real vector, and the
    order of a batch never matters.

    Attributes:
        modality: what the encoder reads.
        dim: size D of the vectors it gives.
        num_layers: how many sequences `layers` holds.
        stride: raw inputs (tokens, pixels along a side, samples) per vector.
    """

    modality: Literal["image", "text", "audio"]
    dim: int
    num_layers: int
    stride: int

    @abstractmethod
    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Local vectors.

        Args:
            inputs: raw inputs as in `ssl_zoo.batch.Batch`.
            mask: as there; True where the input is real, the number of its document, or None.

        Returns:
            Vectors ``(B, N, D')`` and their mask ``(B, N)`` of the same kind, or None.
        """

    @abstractmethod
    def contextualize(self, vectors: Tensor, mask: Tensor | None = None, *, layers: bool = False) -> Encoded:
        """Vectors in context.

        Args:
            vectors: ``(B, N, D')``, as `embed` gives them or corrupted by a method.
            mask: ``(B, N)`` as `embed` gives it; vectors of another document are out of sight.
            layers: also return every layer's sequence.
        """

    def forward(self, inputs: Tensor, mask: Tensor | None = None, *, layers: bool = False) -> Encoded:
        """`contextualize` of `embed`; shapes as there."""
        return self.contextualize(*self.embed(inputs, mask), layers=layers)

    def no_weight_decay(self) -> list[str]:
        """Parameters, or parts with all of theirs, that weight decay must not shrink besides norms and biases.

        Those that stand for a position, and class tokens.
        """
        return []
