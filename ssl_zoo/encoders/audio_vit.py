"""A vision transformer that sees speech as a picture: patches of its log-mel spectrogram, in time and in frequency."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder, mean_over_places
from ssl_zoo.encoders.log_mel import LOUD, SILENCE, covered_frames, window_and_hop
from ssl_zoo.encoders.positions import plane_positions
from ssl_zoo.encoders.waveforms import frame_count, frame_mask
from ssl_zoo.errors import InputError


class AudioViT(Encoder):
    """Vision transformer on log-mel patches (AST, Gong et al., 2021, arXiv:2104.01778; AudioMAE, arXiv:2207.06405).

    A patch is `patch_frames` frames of 10 ms by `patch_bands` frequency bands, and patches do not overlap: what a
    masked method hides is in no other patch, but for what neighbouring windows of 25 ms share. Places are numbered by
    time, and within a time from the lowest band up. Positions are fixed sines and cosines of time and band. What is
    longer than a segment is encoded segment by segment, each as if it were a recording: positions further on were in no
    crop that the network has been trained on, and the cost of attention grows with the square of its length. `by_time`
    puts the vectors of a time's bands side by side, for whatever is asked of a time, such as phones (as Niizumi et al.,
    2022, arXiv:2204.12260, do): their mean would not tell high from low. There is no class token: pooled is the mean
    over real places.

    Args:
        mels: number of frequency bands of the spectrogram.
        patch_frames: frames of 10 ms that a patch is long; 16 are the papers', 2 give a time every 20 ms.
        patch_bands: frequency bands that a patch is high; must divide `mels`.
        dim: size of the vectors, a multiple of 4 and of `heads`.
        depth: number of transformer layers.
        heads: number of attention heads.
        dropout: rate of dropout on vectors and attention, in training.
        segment_seconds: length of a segment in seconds; the length of the crops that the network is trained on.
        sample_rate: samples per second; comes from the data.

    Attributes:
        bands: patches of one time.
        segment: times of a segment.
        projection: linear, from a patch's numbers to `dim`.

    Raises:
        InputError: sizes do not fit each other.
    """

    modality = "audio"
    maskable = droppable = True
    content_range = (SILENCE, LOUD)

    def __init__(
        self,
        mels: int = 80,
        patch_frames: int = 16,
        patch_bands: int = 16,
        dim: int = 384,
        depth: int = 12,
        heads: int = 6,
        dropout: float = 0.0,
        segment_seconds: float = 10.0,
        sample_rate: int = 16000,
    ) -> None:
        from transformers import ViTConfig, ViTModel

        super().__init__()
        if patch_bands < 1 or mels % patch_bands or patch_frames < 1:
            raise InputError(
                f"AudioViT: patches of {patch_frames} frames and {patch_bands} bands do not cut {mels} mels evenly; "
                "set patch_frames to 1 or more, and patch_bands to a number that divides mels."
            )
        if min(dim, heads) < 1 or dim % heads or dim % 4:
            raise InputError(f"AudioViT: dim {dim} is not a multiple of both 4 and heads {heads}; choose others.")
        if not segment_seconds > 0:
            raise InputError(f"AudioViT: segment_seconds is {segment_seconds}; give the length of the crops, above 0.")
        config = ViTConfig(
            hidden_size=dim,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * dim,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            image_size=1,  # its embeddings are left out
            patch_size=1,
        )
        model: Any = ViTModel(config, add_pooling_layer=False)
        use_fast_attention(model)
        self.layers, self.norm, self.dropout = model.layers, model.layernorm, nn.Dropout(dropout)
        self.mels, self.sample_rate, self.dim, self.num_layers = mels, sample_rate, dim, depth + 1
        self.patch, self.bands = (patch_frames, patch_bands), mels // patch_bands
        self.content_dim = patch_frames * patch_bands
        self.projection = nn.Linear(self.content_dim, dim)
        window, hop = window_and_hop(sample_rate)
        self.stride, self.receptive_field = patch_frames * hop, window + (patch_frames - 1) * hop
        self.offset = self.receptive_field // 2
        self.segment = frame_count(round(segment_seconds * sample_rate), self.receptive_field, self.stride)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"patch_frames": 2, "patch_bands": 40, "dim": 32, "depth": 2, "heads": 2}

    def parameter_layers(self) -> list[list[str]]:
        """Patches, then every transformer layer."""
        return [["projection"], *([f"layers.{number}"] for number in range(len(self.layers)))]

    def feed_forwards(self) -> list[nn.Module]:
        """As the ViT's."""
        return [layer.mlp for layer in self.layers]

    def contents(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The log-mel energies of every patch ``(B, N, frames * bands)``, one frame after the other."""
        times, _ = self.grid(inputs)
        frames, bands = self.patch
        spectra = covered_frames(
            inputs, mask, times, self.receptive_field, self.stride, self.sample_rate, self.mels
        ).view(inputs.shape[0], times, frames, self.bands, bands)
        return spectra.transpose(2, 3).reshape(inputs.shape[0], times * self.bands, self.content_dim)

    def grid(self, inputs: Tensor) -> tuple[int, int]:
        """Patches in time, and their bands."""
        return frame_count(inputs.shape[1], self.receptive_field, self.stride), self.bands

    def arrange(self, values: Tensor, inputs: Tensor) -> Tensor:
        """The spectrogram that patches make up ``(B, 1, mels, frames)``, its highest band on top."""
        spectra = values.unflatten(2, self.patch).unflatten(1, (-1, self.bands)).transpose(2, 3)
        return spectra.flatten(3).flatten(1, 2).transpose(1, 2).flip(1)[:, None]

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """The projected patches ``(B, N, dim)``; a patch is real when all its frames are."""
        real = frame_mask(mask, inputs.shape[1], self.receptive_field, self.stride)
        real = None if real is None else real.repeat_interleave(self.bands, dim=1)
        return Embedded(self.projection(self.contents(inputs, mask)), real, {"grid": self.grid(inputs)})

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Patches after the last layer and its norm.

        Raises:
            InputError: some places of more than a segment are given.
        """
        vectors, mask = embedded.vectors, embedded.mask
        times, bands = embedded.hints["grid"]
        if places is not None and times > self.segment:
            raise InputError(
                f"AudioViT: of {times} times some places are given, and a segment has {self.segment}: set "
                "encoder.segment_seconds to the length of the crops, data.crop_seconds, or above."
            )
        exporting = torch.compiler.is_exporting()  # to a program that has one path for recordings of all lengths
        longest = self.segment if exporting else min(times, self.segment)
        span, count = longest * bands, vectors.shape[1]
        number = torch.arange(times * bands, device=vectors.device) if places is None else places
        vectors = self.dropout(vectors + plane_positions(longest, bands, self.dim).to(vectors)[number % span])
        segments, seen = 1, None if mask is None else mask[:, None, None]
        if exporting:
            seen = _same_segment(number, mask, span)
        elif times > self.segment:
            segments = -(-times // self.segment)
            vectors, seen = _cut(vectors, mask, span, segments)
        states = [vectors]
        for layer in self.layers:
            vectors = layer(vectors, seen)
            states.append(vectors)
        sequence, *states = (
            each.unflatten(0, (-1, segments)).flatten(1, 2)[:, :count] for each in (self.norm(vectors), *states)
        )
        return Encoded(sequence, mean_over_places(sequence, mask), mask, tuple(states) if layers else ())

    @property
    def time_dim(self) -> int:
        """`dim` of every band."""
        return self.bands * self.dim

    def by_time(self, encoded: Encoded) -> Encoded:
        """The bands of every time side by side, ``(B, times, bands * dim)``, of all layers."""
        sequence, *states = (
            each.unflatten(1, (-1, self.bands)).flatten(2) for each in (encoded.sequence, *encoded.layers)
        )
        mask = None if encoded.mask is None else encoded.mask[:, :: self.bands]
        return encoded._replace(sequence=sequence, mask=mask, layers=tuple(states))


def _cut(vectors: Tensor, mask: Tensor | None, length: int, segments: int) -> tuple[Tensor, Tensor]:
    """Segments ``(B * segments, length, D)``, and which of their places are seen, ``(B * segments, 1, 1, length)``."""
    size, count, dim = vectors.shape
    if mask is None:
        mask = torch.ones(size, count, dtype=torch.bool, device=vectors.device)
    missing = (0, segments * length - count)
    vectors = F.pad(vectors, (0, 0, *missing)).reshape(size * segments, length, dim)
    seen = F.pad(mask, missing).reshape(size * segments, length)
    seen = seen | ~seen.any(1, keepdim=True)  # attention to nothing would be no number
    return vectors, seen[:, None, None]


def _same_segment(number: Tensor, mask: Tensor | None, length: int) -> Tensor:
    """Which places each place sees, bool: those of its segment, ``(1, 1, N, N)``, or ``(B, 1, N, N)`` by the mask."""
    segment = number // length
    seen = (segment[:, None] == segment)[None, None]
    if mask is None:
        return seen
    itself = number[:, None] == number  # attention to nothing would be no number
    return seen & (mask[:, None, None] | itself)
