"""A decoder of speech: it draws the spectrogram."""

from typing import Any

from torch import Tensor

from ssl_zoo.decoders.base import Decoder
from ssl_zoo.decoders.image import ConvDecoder
from ssl_zoo.encoders.log_mel import LOUD, SILENCE, log_mel, window_and_hop
from ssl_zoo.encoders.waveforms import frame_count
from ssl_zoo.errors import InputError


class SpectrogramDecoder(Decoder):
    """Makes the log-mel spectrogram of a stretch of speech, as a grey image with the highest frequency on top.

    A VAE of fifths of a second, whose code then distinguishes phones and speakers, is that of Hsu et al. (2017,
    arXiv:1704.04222). One vector for seconds of speech would have to be very large.

    Args:
        latent_dim: size of the latent vectors.
        width: channels at full resolution; every halving doubles them, up to 8 times as many.
        mels: number of frequency bands, the image's height.
        crop_seconds: length of the stretch, which gives the image's width; comes from the data.
        sample_rate: samples per second; comes from the data.

    Raises:
        InputError: `crop_seconds` is None, as with batches of whole recordings, or an argument is out of its range.
    """

    def __init__(
        self,
        latent_dim: int = 64,
        width: int = 32,
        mels: int = 80,
        crop_seconds: float | None = 0.2,
        sample_rate: int = 16000,
    ) -> None:
        super().__init__()
        if crop_seconds is None:
            raise InputError(
                "SpectrogramDecoder makes spectrograms of one length, but recordings come whole: give the data "
                "crop_seconds, and null for its seconds_per_batch."
            )
        frames = frame_count(round(crop_seconds * sample_rate), *window_and_hop(sample_rate))
        self.latent_dim, self.mels, self.sample_rate = latent_dim, mels, sample_rate
        self.network = ConvDecoder(latent_dim, width, channels=1, image_size=(mels, frames))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"width": 8}

    def forward(self, latents: Tensor) -> Tensor:
        """``(B, 1, mels, frames)`` of ``(B, L)``."""
        return self.network(latents)

    def observe(self, inputs: Tensor) -> Tensor:
        """The spectrograms ``(B, 1, mels, frames)`` float32 in [0, 1], silence being 0, of waveforms ``(B, S)``."""
        if inputs.dim() != 2:
            raise InputError(
                f"SpectrogramDecoder makes spectrograms of waveforms but got inputs of shape {tuple(inputs.shape)}: "
                "take ConvDecoder for images."
            )
        spectra, _ = log_mel(inputs, None, self.sample_rate, self.mels)
        pictures = spectra.transpose(1, 2).flip(1)[:, None]
        return ((pictures - SILENCE) / (LOUD - SILENCE)).clamp(0, 1)
