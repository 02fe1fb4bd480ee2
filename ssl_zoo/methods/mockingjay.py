"""Mockingjay and TERA: parts of a spectrogram are altered in time and frequency, and predicted as they were."""

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.audio_base import AudioEncoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.prediction_error import absolute_error
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, nothing_explained
from ssl_zoo.parts.reconstructions import reconstructions
from ssl_zoo.randomness import fold_in, normal, uniform
from ssl_zoo.views.base import require_probability

# Of the recordings, the part whose spans become zero and the part whose spans become other frames; the rest stay.
ZERO, OTHER = 0.8, 0.1
NOISE_STD = 0.2  # on a spectrogram whose standard deviation is about 1

# What an example's keys are folded with, so that its draws are independent of each other.
MASKING, FATE, SHIFT, BAND, WHETHER, NOISE = range(1, 7)


class Mockingjay(Method):
    """Mockingjay (Liu et al., 2019, arXiv:1910.12638), and with `frequency_band` TERA (Liu et al., 2020, 2007.06028).

    With x the log-mel frames that the encoder reads, x~ the same with spans of frames altered, S the entries of x in
    these spans over the global batch, and g a head of two layers:

        loss = mean over the entries s in S of |g(encoder(x~))_s - x_s|

    One draw decides for all spans of a recording (both papers, and the authors' code): in 80 % of recordings they
    become zero, the mean of spectrograms; in 10 % frames from elsewhere in the recording, which all spans take from
    equally far away; in 10 % they stay as they are and are predicted all the same, as the encoder sees nothing but real
    frames later. TERA also sets a band of frequencies to zero, from the first to the last frame, and predicts it; it
    is up to `frequency_band` wide, uniformly, and may be empty. With probability `noise` a recording gets Gaussian
    noise of standard deviation 0.2 on top, and the same entries are predicted.

    Watch `train/explained`, the part of these entries' deviation that is predicted; 0 for their mean.
    figures/reconstructions.png shows spectrograms, the spans of frames, and what is predicted there.

    Args:
        encoder: The network to pretrain, a bidirectional transformer of log-mel frames.
        masking: Spans of frames that are altered. None takes the papers' 15 % of the frames in spans of 7.
        frequency_band: Largest part of the frequencies that is set to zero; 0 is Mockingjay's and 0.2 TERA's.
        noise: Part of the recordings that noise is added to; 0 is Mockingjay's, 0.15 TERA's where it has noise.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or reads something else than frames of a spectrogram, or a part is none.
    """

    encoder: AudioEncoder

    def __init__(
        self,
        encoder: AudioEncoder,
        masking: Masking | None = None,
        frequency_band: float = 0.0,
        noise: float = 0.0,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, AudioEncoder) or encoder.causal:
            raise InputError(
                "Mockingjay predicts altered frames from both sides and needs a bidirectional encoder of frames of "
                f"speech, which {type(encoder).__name__} is not: take Wav2Vec2Encoder."
            )
        front_end = encoder.front_end
        if not isinstance(front_end, LogMel) or len(front_end.conv_layers):
            raise InputError(
                "Mockingjay alters frames of a spectrogram before anything is computed from them, and the encoder's "
                f"front end, {type(front_end).__name__}, gives others: take LogMel with strides []."
            )
        require_probability("frequency_band", frequency_band)
        require_probability("noise", noise)
        self.masking = RandomSpans(0.15, 7, least=1) if masking is None else masking
        self.frequency_band, self.noise, self.mels = frequency_band, noise, front_end.mels
        self.head = nn.Sequential(
            nn.Linear(encoder.dim, encoder.dim),
            nn.GELU(),
            nn.LayerNorm(encoder.dim),
            nn.Linear(encoder.dim, front_end.dim),
        )

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the part of the entries' deviation that is predicted."""
        frames, _, counted, predicted = self.fill_in(batch)
        loss, explained = absolute_error(predicted, frames, counted)
        return {"loss": loss, "explained": explained}

    def fill_in(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames as they were ``(B, N, C)``, which are in spans ``(B, N)``, which entries count, and all predicted."""
        frames, mask = self.encoder.front_end(batch.inputs, batch.mask)
        keys, real = self.keys(batch), all_real(frames, mask)
        spans = self.masking(real, fold_in(keys, MASKING), self.encoder.grid(batch.inputs))
        altered, counted = self.alter(frames, real, spans, keys)
        embedded = self.encoder.embed_frames(self.encoder.feature_norm(altered), mask)
        return frames, spans.mask, counted, self.head(self.encoder.contextualize(embedded).sequence)

    def alter(self, frames: Tensor, real: Tensor, spans: Hidden, keys: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder reads in place of the frames, and the entries that are to be predicted.

        Args:
            frames: ``(B, N, C)``, spectrogram frames one after the other within C.
            real: ``(B, N)`` bool, which of them are real.
            spans: spans of frames.
            keys: ``(B,)`` int64, one per recording.

        Returns:
            ``(B, N, C)`` float32 and ``(B, N, C)`` bool.
        """
        fate, count = uniform(fold_in(keys, FATE), 1)[..., None], real.sum(1, keepdim=True)
        others = (count - 1).clamp_min(1)
        shift = 1 + (uniform(fold_in(keys, SHIFT), 1) * others).long().minimum(others - 1)
        place = torch.arange(frames.shape[1], device=frames.device)
        elsewhere = torch.take_along_dim(frames, ((place + shift) % count.clamp_min(1))[..., None], dim=1)
        instead = torch.where(fate < ZERO, 0.0, torch.where(fate < ZERO + OTHER, elsewhere, frames))
        altered = torch.where(spans.mask[..., None], instead, frames)

        widest, (width, start) = int(self.frequency_band * self.mels), uniform(fold_in(keys, BAND), 2).unbind(1)
        width = (width * (widest + 1)).long().clamp_max(widest)  # float32 may have rounded up
        start = (start * (self.mels - width + 1)).long().minimum(self.mels - width)
        band = torch.arange(self.mels, device=frames.device)
        in_band = (band >= start[:, None]) & (band < (start + width)[:, None])
        in_band = in_band.repeat(1, frames.shape[2] // self.mels)[:, None]  # of every spectrogram frame in one of ours
        altered = altered.masked_fill(in_band, 0.0)
        if self.noise > 0:
            loud = (uniform(fold_in(keys, WHETHER), 1) < self.noise)[..., None]
            each = fold_in(fold_in(keys, NOISE)[:, None], place).flatten()  # so that a batch's length changes nothing
            altered = altered + loud * NOISE_STD * normal(each, frames.shape[2]).view_as(frames)
        return altered, (spans.mask[..., None] | in_band) & real[..., None]

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Spectrograms, the spans of frames, and what is predicted there."""
        frames, is_hidden, _, predicted = self.fill_in(batch)
        filled_in = torch.where(is_hidden[..., None], predicted.float(), frames)
        return {**reconstructions(self.encoder, batch.inputs, frames, is_hidden, filled_in)}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Predictions that are no better than the mean."""
        return [*super().alarms(batch_size), nothing_explained()]
