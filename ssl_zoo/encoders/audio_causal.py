"""Audio encoders that see the past alone: wav2vec's causal convolutions and CPC's GRU."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.audio_base import AudioEncoder, FrontEnd
from ssl_zoo.encoders.base import Embedded, Encoded
from ssl_zoo.encoders.convolution import convolve
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.recurrent import GRULayer
from ssl_zoo.errors import InputError


class CausalConvEncoder(AudioEncoder):
    """wav2vec's context network (Schneider et al., 2019, arXiv:1904.05862, section 3.1): causal convolutions on frames.

    Layers are convolution, norm, ReLU, and a skip connection that halves the variance of the sum, as in the authors'
    code. The paper's norm takes statistics over time, where padding and the future would enter; here each frame is
    normalised by itself, so that a vector depends on nothing but the frames up to its own.

    Args:
        front_end: makes frames of waveforms; with its `normalize` off nothing at all of the future is seen.
        dim: channels of every layer.
        kernels: kernel sizes of the layers, in frames; nine of 3 are the paper's, 2 to 13 its large model's.
        dropout: rate of dropout after each convolution, in training.
        sample_rate: samples per second; comes from the data.
    """

    causal = True

    def __init__(
        self,
        front_end: FrontEnd,
        dim: int = 512,
        kernels: list[int] = [3, 3, 3, 3, 3, 3, 3, 3, 3],  # noqa: B006  # never changed, and --help shows it
        dropout: float = 0.0,
        sample_rate: int = 16000,
    ) -> None:
        if not kernels or min(kernels) < 1:
            raise InputError(f"CausalConvEncoder: kernels are {kernels}; give each layer's size, at least 1.")
        super().__init__(front_end, dim, len(kernels), sample_rate)
        self.projection = nn.Linear(front_end.dim, dim)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, dim, kernel) for kernel in kernels)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in kernels)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"front_end": LogMel(dim=16), "dim": 32, "kernels": [2, 3]}

    def parameter_layers(self) -> list[list[str]]:
        """Frames, then every convolution with its norm."""
        layers = ([f"convolutions.{number}", f"norms.{number}"] for number in range(len(self.convolutions)))
        return [["front_end", "feature_norm", "projection"], *layers]

    def project(self, normalized: Tensor) -> Tensor:
        """Linear."""
        return self.projection(normalized)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Vectors in the context of earlier ones; padding lies to the right, out of sight."""
        self.require_all(places)
        states, frames = [vectors := embedded.vectors], embedded.vectors.shape[1]
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            convolution = cast(nn.Conv1d, layer)
            past = F.pad(vectors, (0, 0, convolution.kernel_size[0] - 1, 0))
            seen = convolve(past, convolution.weight, convolution.bias, stride=1)[:, :frames]
            vectors = (vectors + torch.relu(norm(self.dropout(seen)))) * math.sqrt(0.5)
            states.append(vectors)
        return self.encoded(vectors, embedded.mask, states if layers else [])


class GRUEncoder(AudioEncoder):
    """CPC's autoregressive network (van den Oord et al., 2018, arXiv:1807.03748, section 3.1): a GRU on frames.

    With `depth` 3, `dim` 512 and `residual` on it is that of APC (Chung et al., 2019, arXiv:1904.03240, section 3.2).

    Args:
        front_end: makes frames of waveforms; with its `normalize` off nothing at all of the future is seen.
        dim: size of the GRU's state.
        depth: number of GRUs on top of each other; CPC's paper has one.
        residual: add to what each GRU gives what has entered it, as APC does.
        sample_rate: samples per second; comes from the data.
    """

    causal = stepwise = True

    def __init__(
        self,
        front_end: FrontEnd,
        dim: int = 256,
        depth: int = 1,
        residual: bool = False,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__(front_end, dim, depth, sample_rate)
        self.residual = residual
        self.projection = nn.Linear(front_end.dim, dim)
        self.layers = nn.ModuleList(GRULayer(dim) for _ in range(depth))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"front_end": WaveConvolutions(16, [10, 8, 4], [5, 4, 2]), "dim": 32}

    def parameter_layers(self) -> list[list[str]]:
        """Frames, then every GRU."""
        return [["front_end", "feature_norm", "projection"], *([f"layers.{i}"] for i in range(len(self.layers)))]

    def project(self, normalized: Tensor) -> Tensor:
        """Linear."""
        return self.projection(normalized)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Vectors in the context of earlier ones; padding lies to the right, out of sight."""
        self.require_all(places)
        states = [embedded.vectors]
        for layer in self.layers:
            # A state that is added to hundreds of times wants float32, and stays what enters; products need it not.
            entering = states[-1].float()
            states.append(layer(entering) + entering if self.residual else layer(entering))
        return self.encoded(states[-1], embedded.mask, states if layers else [])
