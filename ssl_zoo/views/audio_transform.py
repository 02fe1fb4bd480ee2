"""The contract of one waveform operator: what the recipes in `ssl_zoo.views.audio` are composed from."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class AudioTransform(nn.Module, ABC):
    """Changes a batch of waveforms at random, each by random numbers of its own.

    An operator has no state, never writes into its input, draws nothing from torch's global generator and never makes
    the host wait for the device.
    """

    @abstractmethod
    def forward(self, waveforms: Tensor, keys: Tensor) -> Tensor:
        """Change a batch.

        Args:
            waveforms: ``(B, S)`` float32 in [-1, 1], without padding.
            keys: ``(B,)`` int64, one per waveform.

        Returns:
            ``(B, S')`` float32; what an operator carries out of [-1, 1], the recipe brings back at its end.
        """
