"""An encoder as it was at some moment: what HuBERT takes the features from that its clusters are made of."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.parts.teacher import Teacher


class Snapshot(Teacher):
    """A copy of an encoder up to a layer, which stands still, works in evaluation mode, and is taken anew by `take`.

    What comes after the layer would cost time at every step and is left out, where the encoder is a transformer that
    names its layers; `layers` of what the copy gives then end in that layer's vectors, again and again.

    Args:
        encoder: What to copy; the copy starts equal to it.
        layer: Last layer that is asked for, counted from 1.
    """

    def __init__(self, encoder: Encoder, layer: int) -> None:
        super().__init__(encoder, 1.0, eval_mode=True)
        layers = encoder.parameter_layers()
        if len(encoder.feed_forwards()) == encoder.num_layers - 1 == len(layers) - 1:
            for names in layers[layer + 1 :]:
                for name in names:
                    self.module.set_submodule(name, _Nothing())

    def follow(self, progress: float) -> None:
        """Does nothing: it stands still."""

    @torch.no_grad()
    def take(self) -> None:
        """Becomes what the encoder is now."""
        now = self._student[0].state_dict()
        self.module.load_state_dict({name: now[name] for name in self.module.state_dict()})


class _Nothing(nn.Module):
    """Stands for a layer that is left out."""

    def forward(self, vectors: Tensor, *_: Any, **__: Any) -> Tensor:
        """The vectors as they are."""
        return vectors
