"""A method of one's own: an encoder, a head and a loss that needs no labels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import Optimizer
from ssl_zoo.randomness import uniform


class MyMethod(Method):
    """Predicts by how many quarter turns an image was rotated (Gidaris et al., 2018, arXiv:1803.07728).

    For an image x, turned k times at random, and the head's four logits g:

        loss = -log softmax(g(x turned k times))_k

    Watch `train/accuracy`, a quarter at chance.

    Args:
        encoder: The network to pretrain.
        hidden: Width of the head's hidden layer.
        optimizer: Settings of the optimizer and of the learning rate over the run.
    """

    def __init__(self, encoder: Encoder, hidden: int = 64, optimizer: Optimizer = Optimizer()) -> None:
        super().__init__(encoder, optimizer)
        self.head = nn.Sequential(nn.Linear(encoder.dim, hidden), nn.ReLU(), nn.Linear(hidden, 4))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the number of turns, and how often it is right; all but the encoder is float32."""
        # Random numbers come from the examples' keys: the run can be repeated and resumed bit for bit.
        turns = (4 * uniform(self.keys(batch))).long()
        turned = torch.stack([batch.inputs.rot90(number, (2, 3)) for number in range(4)])
        images = turned[turns, torch.arange(len(turns), device=turns.device)]
        logits = self.head(self.encoder(images).pooled)
        accuracy = (logits.argmax(1) == turns).float().mean()
        return {"loss": F.cross_entropy(logits, turns), "accuracy": accuracy}
