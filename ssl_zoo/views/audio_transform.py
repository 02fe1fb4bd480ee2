"""The contract of one waveform operator: what the recipes in `ssl_zoo.views.audio` are composed from."""

from abc import abstractmethod

from torch import Tensor

from ssl_zoo.randomness import Draws
from ssl_zoo.views.base import Transform


class AudioTransform(Transform):
    """Changes a batch of waveforms at random, each by random numbers of its own."""

    @abstractmethod
    def change(self, waveforms: Tensor, draws: Draws) -> Tensor:
        """Change a batch.

        Args:
            waveforms: ``(B, S)`` float32 in [-1, 1], without padding.
            draws: ``(B, numbers)``.

        Returns:
            ``(B, S')`` float32; what an operator carries out of [-1, 1], the recipe brings back at its end.
        """
