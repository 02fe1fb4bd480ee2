"""Two views of every waveform of a batch."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError
from ssl_zoo.views.audio_frequency import FrequencyMasks
from ssl_zoo.views.audio_time import PolarityFlip, TimeMasks, WaveformCrop, WaveformGain, WaveformNoise
from ssl_zoo.views.audio_transform import AudioTransform
from ssl_zoo.views.base import Start, Views, two_views


class WaveformViews(Views):
    """Two views of every waveform, each made by a list of operators.

    Takes ``(B, S)`` waveforms in [-1, 1] without padding; gives ``(2 B, S')`` in [-1, 1]. The work is done in float32,
    under autocast too, and without gradients.

    Args:
        first: operators that make the first view, in order.
        second: operators that make the second view; None for the same ones, with draws of their own.
    """

    views_per_example = 2

    def __init__(self, first: list[AudioTransform], second: list[AudioTransform] | None = None) -> None:
        super().__init__()
        self.first = nn.ModuleList(first)
        self.second = nn.ModuleList(first if second is None else second)

    @torch.no_grad()
    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """See `Views`; raises `InputError` for inputs that are not a batch of waveforms."""
        if inputs.dim() != 2 or not inputs.is_floating_point():
            raise InputError(
                f"Audio views got a batch of {inputs.dtype} with shape {tuple(inputs.shape)}; give waveforms of shape "
                "(B, S), float in [-1, 1]."
            )
        with torch.autocast(inputs.device.type, enabled=False):
            views = two_views(keys, self.first, self.second, [Start(inputs.float())] * 2)
            return views.clamp_(-1, 1).to(inputs.dtype)


class AudioViews(WaveformViews):
    """Two stretches of one recording, each changed in ways that keep what is said.

    Two places of a recording as a positive pair are COLA's (Saeed et al., 2020, arXiv:2010.10915); that changes of the
    waveform besides make the representation better was found for speech by WavAugment (Kharitonov et al., 2020,
    arXiv:2007.00991) and CLAR (Al-Tahan and Mohsenzadeh, 2020, arXiv:2010.09542).

    Args:
        seconds: length of a view; shorter than the data's `crop_seconds`, so that the two differ.
        gain: range of the change of loudness, in decibels.
        snr: range of the ratio of signal to added white noise, in decibels.
        noise: probability of adding noise.
        time_masks: silent spans in a view; 0 for none.
        time_mask_seconds: length of the longest silent span; lengths are uniform from 0 on.
        frequency_masks: bands removed from a view; 0 for none.
        frequency_mask_width: the widest of the bands removed, as a part of the mel scale.
        flip: probability of turning the waveform upside down.
        sample_rate: samples per second; comes from the data.
    """

    def __init__(
        self,
        seconds: float = 1.0,
        gain: tuple[float, float] = (-12.0, 0.0),
        snr: tuple[float, float] = (5.0, 40.0),
        noise: float = 0.5,
        time_masks: int = 2,
        time_mask_seconds: float = 0.1,
        frequency_masks: int = 2,
        frequency_mask_width: float = 0.2,
        flip: float = 0.5,
        sample_rate: int = 16000,
    ) -> None:
        operators: list[AudioTransform] = [WaveformCrop(seconds, sample_rate), WaveformGain(gain)]
        if noise:
            operators.append(WaveformNoise(snr, noise))
        if frequency_masks:
            operators.append(FrequencyMasks(frequency_masks, frequency_mask_width, sample_rate))
        if time_masks:
            operators.append(TimeMasks(time_masks, time_mask_seconds, sample_rate))
        super().__init__([*operators, PolarityFlip(flip)])

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"seconds": 0.4}
