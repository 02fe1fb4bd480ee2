"""What audio encoders share: a front end that turns samples into frames, and the contract of what follows it."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder, mean_over_places
from ssl_zoo.encoders.log_mel import LOUD, SILENCE, covered_frames, frames_covered
from ssl_zoo.encoders.waveforms import frame_count, frame_mask
from ssl_zoo.errors import InputError
from ssl_zoo.rebuilding import Rebuildable


class FrontEnd(Rebuildable, nn.Module, ABC):
    """Turns waveforms into frames, each of which sees a window of samples.

    Frame n sees the `receptive_field` samples from ``n * stride`` on. It is real exactly when all of them are, so that
    padding never changes a real frame; a recording shorter than that is continued with silence to have one frame.

    Attributes:
        dim: size C of a frame.
        stride: samples from one frame to the next.
        receptive_field: samples that a frame sees.
        sample_rate: samples per second that it is made for; None when any will do.
        ends_with_norm: whether its last layer normalises every frame, which keeps frames from growing.
        mels: frequency bands of the log-mel frames that stand for what its frames show.
    """

    dim: int
    stride: int
    receptive_field: int
    sample_rate: int | None = None
    ends_with_norm: bool = True
    mels: int = 80

    @abstractmethod
    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Frames of waveforms.

        Args:
            inputs: ``(B, S)`` float32 in [-1, 1].
            mask: ``(B, S)`` bool, True where real, with padding on the right; None when nothing is padded.

        Returns:
            Frames ``(B, N, C)``, N being `frames` of S, and their mask ``(B, N)`` bool, or None.
        """

    @property
    def offset(self) -> int:
        """The sample at the centre of frame 0's window; frame n's is at ``offset + n * stride``."""
        return self.receptive_field // 2

    def frames(self, samples: int) -> int:
        """Frames of a recording of so many samples, at least 1."""
        return frame_count(samples, self.receptive_field, self.stride)

    def frame_mask(self, mask: Tensor | None, samples: int) -> Tensor | None:
        """Which frames are real: ``(B, N)`` bool; None when nothing is padded.

        Args:
            mask: mask of the samples ``(B, S)``, or None.
            samples: S.
        """
        return frame_mask(mask, samples, self.receptive_field, self.stride)


class AudioEncoder(Encoder):
    """What the audio encoders share: a front end, a norm of its frames, and a projection to the trunk's width.

    `inputs` are waveforms ``(B, S)`` float32 in [-1, 1] at `sample_rate`; `mask` is bool ``(B, S)``, True where real,
    with padding on the right, or None. `embed` gives ``embed_frames(feature_norm(front_end(inputs, mask)))``; methods
    that predict frames, like wav2vec 2.0, take their targets in between. All sequences in `layers` are of one size, as
    SUPERB's weighted sums expect (Yang et al., 2021, arXiv:2105.01051). Pooled is the mean over real frames.

    Args:
        front_end: makes frames of waveforms.
        dim: size of the vectors that the trunk gives.
        depth: layers of the trunk.
        sample_rate: samples per second of the waveforms.

    Attributes:
        front_end: what makes frames of waveforms.
        feature_norm: over each frame of the front end.
        offset: the sample at the centre of frame 0; frame n's is at ``offset + n * stride``.
        sample_rate: samples per second of the waveforms.

    Raises:
        InputError: the front end is made for another sample rate.
    """

    modality = "audio"
    maskable = True
    content_range = (SILENCE, LOUD)

    def __init__(self, front_end: FrontEnd, dim: int, depth: int, sample_rate: int) -> None:
        super().__init__()
        if front_end.sample_rate not in (None, sample_rate):
            raise InputError(
                f"{type(self).__name__}: its front end {type(front_end).__name__} is made for {front_end.sample_rate} "
                f"samples per second but the encoder for {sample_rate}; set front_end.init_args.sample_rate to the "
                "data's sample_rate."
            )
        self.front_end, self.sample_rate = front_end, sample_rate
        self.feature_norm: nn.Module = nn.LayerNorm(front_end.dim)
        self.dim, self.num_layers = dim, depth + 1
        self.offset, self.stride = front_end.offset, front_end.stride
        self.content_dim = front_end.mels * frames_covered(front_end.stride, sample_rate)

    @abstractmethod
    def project(self, normalized: Tensor) -> Tensor:
        """From normalised frames ``(B, N, C)`` to the trunk's inputs ``(B, N, D')``."""

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """Projected frames ``(B, N, D')``, and which of them are real ``(B, N)``, or None."""
        features, frame_mask = self.front_end(inputs, mask)
        return self.embed_frames(self.feature_norm(features), frame_mask)

    def contents(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The log-mel frames that each place covers, side by side, ``(B, N, frames * mels)``."""
        front = self.front_end
        sizes = (front.frames(inputs.shape[1]), front.receptive_field, front.stride, self.sample_rate, front.mels)
        return covered_frames(inputs, mask, *sizes)

    def arrange(self, values: Tensor, inputs: Tensor) -> Tensor:
        """The spectrogram that all frames make up ``(B, 1, mels, N * frames)``, its highest band on top."""
        return values.unflatten(2, (-1, self.front_end.mels)).flatten(1, 2).transpose(1, 2).flip(1)[:, None]

    def embed_frames(self, normalized: Tensor, mask: Tensor | None) -> Embedded:
        """The same of normalised frames ``(B, N, C)`` and their mask ``(B, N)`` bool or None."""
        return Embedded(self.project(normalized), mask, {"frames": normalized.shape[1]})

    def encoded(self, sequence: Tensor, mask: Tensor | None, layers: list[Tensor]) -> Encoded:
        """The result with its pooled vector."""
        return Encoded(sequence, mean_over_places(sequence, mask), mask, tuple(layers))
