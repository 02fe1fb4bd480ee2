"""The contract between generative methods and the networks that make inputs from latent vectors."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ssl_zoo.rebuilding import Rebuildable


class Decoder(Rebuildable, nn.Module, ABC):
    """Turns latent vectors into images, of the inputs or of what `observe` makes of them, or into words.

    What it gives is unbounded: a likelihood reads it as logits (Bernoulli, multinomial) or as the mean of pixels in
    [0, 1] (Gaussian). An image depends on its own vector alone, never on the rest of the batch, so there is no batch
    norm in it; the score-function gradient and importance weights rely on that.

    Attributes:
        latent_dim: size L of the vectors it takes.
        likelihoods: what may be assumed of what it gives, the usual one first.
    """

    latent_dim: int
    likelihoods: tuple[str, ...] = ("gaussian", "bernoulli")

    @abstractmethod
    def forward(self, latents: Tensor) -> Tensor:
        """Images ``(B, C, H, W)``, or logits ``(B, V)`` of words, of latent vectors ``(B, L)``."""

    def observe(self, inputs: Tensor) -> Tensor:
        """What is compared with what is decoded: images, uint8 in [0, 255] or float in [0, 1], or counts of words.

        Args:
            inputs: what the encoder gets, ``(B, ...)``; already images unless a decoder is for something else.
        """
        return inputs
