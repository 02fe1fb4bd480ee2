"""A decoder of texts: which words they have, in no order."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.decoders.base import Decoder
from ssl_zoo.vocabulary import Vocabulary


class BagOfWordsDecoder(Decoder):
    """Gives every token of the vocabulary a logit, all words of a text being drawn from their softmax.

    That is the decoder of the neural variational document model (Miao, Yu and Blunsom, 2015, arXiv:1511.06038,
    equation 5), softmax(R z + b), whose words are tokens here. Tokens that stand for no text are not counted.

    Args:
        latent_dim: size of the latent vectors.
        vocabulary: vocabulary of the tokenizer; comes from the data.
    """

    likelihoods = ("multinomial",)
    ordinary: Tensor

    def __init__(self, vocabulary: Vocabulary, latent_dim: int = 64) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.logits = nn.Linear(latent_dim, vocabulary["size"])
        nn.init.zeros_(self.logits.bias)
        ordinary = torch.ones(vocabulary["size"])
        ordinary[vocabulary["special"]] = 0
        self.register_buffer("ordinary", ordinary, persistent=False)  # it comes back with the constructor

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"latent_dim": 8}

    def forward(self, latents: Tensor) -> Tensor:
        """Logits ``(B, V)`` of ``(B, L)``; tokens that stand for no text cannot be drawn."""
        return self.logits(latents).float().masked_fill(self.ordinary == 0, -torch.inf)

    def observe(self, inputs: Tensor) -> Tensor:
        """How often each token stands in token ids ``(B, T)``: ``(B, V)`` float32, 0 for what stands for no text."""
        counts = torch.zeros(len(inputs), len(self.ordinary), device=inputs.device)
        return counts.scatter_add_(1, inputs, torch.ones_like(inputs, dtype=torch.float32)) * self.ordinary
