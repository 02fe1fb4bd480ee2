"""Rotation: every image in all four turns, and the network predicts which is which."""

import math

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.pretext import classified, require_images, unit_images
from ssl_zoo.randomness import uniform
from ssl_zoo.views.base import Views

TURNS = 4


class Rotation(Method):
    """Predicts by how many quarter turns an image was rotated (Gidaris, Singh and Komodakis, 2018, arXiv:1803.07728).

    To know which way up a thing belongs, a network must know the thing. With x_i the N images of the global batch,
    g(x | k) image x turned by k quarters against the clock, and F_k the k-th of four outputs of a linear layer after a
    softmax (equations 2 and 3):

        loss = -1 / 4N  sum over i, k = 0 ... 3 of  log F_k(g(x_i | k))

    All four turns of an image are in the same batch, as the paper found best. Pixels change places and none is
    interpolated: what interpolation leaves in an image would give its turn away.

    Watch `train/accuracy` against `train/chance`, a quarter; `val/accuracy`, below it, shows when images are learnt by
    heart. What looks alike from all sides, such as a ball, limits both. The last layers know best which way up images
    are and less what they show: evaluation probes all layers beside the last. figures/turned_back.png shows images as
    they were turned, and turned back by what was predicted.

    Args:
        encoder: The network to pretrain, of images.
        views: Changes every image before it is turned, such as crops and mirror images, as the paper does; each of the
            copies that they make of it is turned four times. None takes the images as they are.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder does not read images, or images are not square.
    """

    def __init__(self, encoder: Encoder, views: Views | None = None, optimizer: Optimizer = Optimizer()) -> None:
        super().__init__(encoder, optimizer)
        require_images(encoder, "Rotation", "turns images on their sides")
        self.views = views
        self.head = nn.Linear(encoder.dim, TURNS)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how often the number of turns is predicted."""
        images = batch.inputs if self.views is None else self.make_views(batch).inputs
        height, width = images.shape[2:]
        if height != width:
            raise InputError(
                f"Rotation turns images on their sides, and these are {height} pixels high and {width} wide: set "
                "data.image_size, or views whose images are square."
            )
        turned = torch.cat([images.rot90(turns, (2, 3)) for turns in range(TURNS)])
        turns = torch.arange(TURNS, device=images.device).repeat_interleave(len(images))
        return classified(self.head(self.encoder(turned).pooled), turns)

    def chance_loss(self, batch_size: int) -> float:
        """The log of 4, every turn being equally likely."""
        return math.log(TURNS)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Images turned at random, and turned back by what is predicted: upright where that is right."""
        turned = turned_by(unit_images(batch.inputs), (TURNS * uniform(self.keys(batch))).long())
        back = turned_by(turned, -self.head(self.encoder(turned).pooled).argmax(1))
        return {"turned_back": (torch.cat([turned, back]), len(turned), ["turned", "turned back"])}


def turned_by(images: Tensor, turns: Tensor) -> Tensor:
    """Every image turned by a number of quarters of its own, against the clock.

    Args:
        images: ``(B, C, S, S)``, square.
        turns: ``(B,)`` int64, of any sign.
    """
    every = torch.stack([images.rot90(number, (2, 3)) for number in range(TURNS)])
    return every[turns % TURNS, torch.arange(len(turns), device=turns.device)]
