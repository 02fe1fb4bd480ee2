"""ELMo: the next word is predicted from all before it, and the one before from all behind it."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.targets.tokens import next_tokens
from ssl_zoo.vocabulary import Vocabulary


class ELMo(Method):
    """Embeddings from language models (Peters et al., 2018, arXiv:1802.05365, section 3.1).

    With f_t what the forward stack makes of x_1, ..., x_t, b_t what the backward stack makes of x_T, ..., x_t, and one
    table W with biases c for both:

        loss = 1/2 * mean over t of [-log softmax(W f_(t-1) + c)[x_t] - log softmax(W b_t + c)[x_(t-1)]]

    for all t but the first of each text in the global batch. The stacks share their tokens and the softmax, and nothing
    between: a layer that read both would see what it is to predict.

    Watch `train/forward_perplexity` beside `train/backward_perplexity`, among how many equally likely tokens each
    direction wavers: they fall together. One that falls to 1 has seen its answers. `train/perplexity` is of their mean.

    Args:
        encoder: The network to pretrain, of texts and `two_way`, as `ElmoEncoder` is.
        optimizer: Settings of the optimizer and of the learning rate over the run; the authors' is Adagrad at 0.2.

    Raises:
        InputError: the encoder is not.
    """

    def __init__(self, encoder: Encoder, optimizer: Optimizer = Optimizer()) -> None:
        super().__init__(encoder, optimizer)
        if not encoder.two_way or encoder.modality != "text":
            raise InputError(
                "ELMo predicts words from those before them and from those behind them, by two stacks that "
                f"{type(encoder).__name__} does not have: take ElmoEncoder, for texts."
            )
        self.vocabulary: Vocabulary = cast(Any, encoder).vocabulary  # which every encoder of texts has
        size, dim = self.vocabulary["size"], encoder.dim // 2
        self.table = nn.Parameter(torch.randn(size, dim) / math.sqrt(dim))
        self.bias = nn.Parameter(torch.zeros(size))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and both directions as perplexity."""
        following, valid = next_tokens(batch.inputs, batch.mask)
        ahead, back = self.encoder(batch.inputs, batch.mask).sequence.chunk(2, dim=2)
        forward = token_loss(ahead[:, :-1], self.table, self.bias, following, valid).mean
        backward = token_loss(back[:, 1:], self.table, self.bias, batch.inputs[:, :-1], valid).mean
        return {
            "loss": (forward.share + backward.share) / 2,
            "perplexity": ((forward.value + backward.value) / 2).exp(),
            "forward_perplexity": forward.value.exp(),
            "backward_perplexity": backward.value.exp(),
        }

    def chance_loss(self, batch_size: int) -> float:
        """The log of the vocabulary's size, every token being equally likely."""
        return math.log(self.vocabulary["size"])
