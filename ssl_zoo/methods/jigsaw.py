"""Jigsaw: nine tiles of an image in another order, and the network says which."""

import math

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.permutations import MOST, unlike_permutations
from ssl_zoo.parts.pretext import classified, require_images, unit_images
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.base import require_at_least, require_probability
from ssl_zoo.views.tiles import (
    PLACES,
    draw_tiles,
    equalize,
    lay_out,
    require_layout,
    resize_tiles,
)

ORDER, GREY = 10, 11  # what keys are folded with


class Jigsaw(Method):
    """Predicts in which order the tiles of an image are shown (Noroozi and Favaro, 2016, arXiv:1603.09246).

    Of three by three tiles t_1 ... t_9 that are cut out of an image, the encoder e sees one at a time. One of P orders
    s is drawn for a puzzle, and g is a network with one hidden layer on the nine vectors in that order:

        loss = mean over puzzles of  -log softmax(g(e(t_s(1)), ..., e(t_s(9))))[s]

    Any two orders differ in as many places as possible, so that no single tile solves a puzzle. The set is the same in
    every run.

    What must not give the answer away: lines that go on from tile to tile, hence gaps and tiles that are shifted, each
    by itself; brightness and contrast, which are made those of the whole image in all tiles; and colours, which a part
    of the images is shown without.

    Watch `train/accuracy` against `train/chance`, 1 / P. The last layers know best about places and less of what is
    there: evaluation probes all layers beside the last. figures/puzzles.png shows images, their tiles in the order that
    was drawn, and put back as predicted.

    Args:
        encoder: The network to pretrain, of images.
        permutations: Number of orders, P, at most 1,512; any two differ in 9 places up to 9 orders, in 8 up to 72, in 7
            up to 504, and in 6 up to 1,512. The paper has 1,000 for a million images.
        puzzles: Number of orders in which the tiles of an image are shown at every step; the encoder sees them once.
        patch_size: Height and width of a tile in pixels; None takes the largest that fits.
        gap: Pixels between two tiles, as a part of a tile's side; 11 of 64 in the paper.
        jitter: Largest shift of a tile up or down and left or right, as a part of its side; at most half of `gap`. Gaps
            and shifts are whole pixels, and one at least unless they are 0.
        resize: Height and width that tiles have for the encoder, in pixels; None takes those of the images, which every
            encoder can read and which cost most.
        equalize: Whether every tile gets the mean and the deviation of its image, channel by channel.
        grey: Probability that an image is shown without its colours; the mean of its channels is then in all of them.
        hidden: Width of the hidden layer that sees all tiles.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder does not read images, tiles do not fit into them, or an argument is out of its range.
    """

    orders: Tensor

    def __init__(
        self,
        encoder: Encoder,
        permutations: int = 72,
        puzzles: int = 1,
        patch_size: int | None = None,
        gap: float = 0.172,
        jitter: float = 0.08,
        resize: int | None = None,
        equalize: bool = True,
        grey: float = 0.3,
        hidden: int = 1024,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_images(encoder, "Jigsaw", "cuts images into tiles")
        require_layout("Jigsaw", patch_size, gap, jitter)
        require_at_least("Jigsaw's puzzles", puzzles, 1)
        require_probability("Jigsaw's grey", grey)
        if not 2 <= permutations <= MOST:
            raise InputError(f"Jigsaw's permutations is {permutations}; give a number of orders from 2 to {MOST}.")
        self.patch_size, self.gap, self.jitter, self.resize = patch_size, gap, jitter, resize
        self.puzzles, self.equalize, self.grey = puzzles, equalize, grey
        self.register_buffer("orders", unlike_permutations(permutations))
        self.head = mlp(PLACES * encoder.dim, hidden, permutations)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how often the order is predicted."""
        drawn = self.drawn_orders(batch)
        return classified(self.scores(self.tiles(batch), drawn).flatten(0, 1), drawn.flatten())

    def drawn_orders(self, batch: Batch) -> Tensor:
        """``(B, puzzles)`` int64, numbers of the orders in which the tiles of every image are shown."""
        return (uniform(fold_in(self.keys(batch), ORDER), self.puzzles) * len(self.orders)).long()

    def tiles(self, batch: Batch) -> Tensor:
        """``(B, 9, C, S, S)`` float32, the tiles of every image, row by row, with cues taken out."""
        images, keys = unit_images(batch.inputs), self.keys(batch)
        is_grey = uniform(fold_in(keys, GREY), 1, 1, 1) < self.grey
        images = torch.where(is_grey, images.mean(1, keepdim=True), images)
        patches = draw_tiles("Jigsaw", images, keys, self.patch_size, self.gap, self.jitter)
        patches = equalize(patches, images) if self.equalize else patches
        return resize_tiles(patches.flatten(0, 1), self.resize or images.shape[2]).unflatten(0, (-1, PLACES))

    def scores(self, tiles: Tensor, drawn: Tensor) -> Tensor:
        """``(B, puzzles, P)``: scores of all orders, for tiles that are shown in the drawn ones."""
        vectors = self.encoder(tiles.flatten(0, 1)).pooled.unflatten(0, (-1, PLACES))
        rows = torch.arange(len(drawn), device=drawn.device)[:, None, None]
        shown = vectors[rows, self.orders[drawn]].flatten(2)
        return self.head(shown.flatten(0, 1)).unflatten(0, drawn.shape)

    def chance_loss(self, batch_size: int) -> float:
        """The log of P, every order being equally likely."""
        return math.log(len(self.orders))

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Images, their tiles in the drawn order, and put back where they are predicted to belong."""
        images, tiles, drawn = unit_images(batch.inputs), self.tiles(batch), self.drawn_orders(batch)[:, :1]
        predicted = self.orders[self.scores(tiles, drawn)[:, 0].argmax(1)]
        small = resize_tiles(tiles.flatten(0, 1), images.shape[-1] // 3).unflatten(0, (-1, PLACES))
        rows = torch.arange(len(images), device=images.device)[:, None]
        shown = small[rows, self.orders[drawn[:, 0]]]
        where = torch.arange(PLACES, device=images.device).expand(len(images), -1)
        made = [lay_out(shown, places, *images.shape[2:]) for places in (where, predicted)]
        return {"puzzles": (torch.cat([images, *made]), len(images), ["images", "shown", "put back"])}
