"""Relative position: where does this patch lie, seen from that one?"""

import math

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.pretext import classified, require_images, unit_images
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.tiles import (
    PLACES,
    draw_tiles,
    drop_channels,
    equalize,
    lay_out,
    require_layout,
    resize_tiles,
)

CENTRE = PLACES // 2
AROUND = [place for place in range(PLACES) if place != CENTRE]
SHOWN = 10  # what keys are folded with for pictures


class RelativePosition(Method):
    """Predicts how two patches of an image lie to each other (Doersch, Gupta and Efros, 2015, arXiv:1505.05192).

    Of three by three patches that are cut out of every image, the one in the middle is paired with each of the eight
    around it. With e the encoder, which sees one patch at a time, and g a network with one hidden layer on the vectors
    of both:

        loss = mean over images and n = 1 ... 8 of  -log softmax(g(e(middle), e(around_n)))[n]

    What must not give the answer away: lines that go on from one patch to the next, hence gaps of half a patch and
    patches that are shifted, each by itself; brightness and contrast, which are made those of the whole image in all
    patches; and the fringes of colour at the edges of photographs, hence one channel of each patch, chosen at random.

    Watch `train/accuracy` against `train/chance`, an eighth; close to one after few steps it is a sign of such a cue.
    Where nine patches fill the image, and all images show one thing in the middle, a single patch says where it lies: a
    smaller `patch_size` lets the nine lie anywhere. The last layers know best about places and less of what is there:
    evaluation probes all layers beside the last. figures/positions.png shows pairs as they lie, and as predicted.

    Args:
        encoder: The network to pretrain, of images.
        patch_size: Height and width of a patch in pixels; None takes the largest that fits.
        gap: Pixels between two patches, as a part of a patch's side.
        jitter: Largest shift of a patch up or down and left or right, as a part of its side; at most half of `gap`.
            Gaps and shifts are whole pixels, and one at least unless they are 0.
        resize: Height and width that patches have for the encoder, in pixels; None takes those of the images, which
            every encoder can read and which cost most.
        equalize: Whether every patch gets the mean and the deviation of its image, channel by channel.
        drop_channels: Whether of every patch of more than one channel a single one is left, with noise in the others.
        hidden: Width of the hidden layer that compares two patches.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder does not read images, patches do not fit into them, or an argument is out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        patch_size: int | None = None,
        gap: float = 0.5,
        jitter: float = 0.073,
        resize: int | None = None,
        equalize: bool = True,
        drop_channels: bool = True,
        hidden: int = 512,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_images(encoder, "RelativePosition", "cuts images into patches")
        require_layout("RelativePosition", patch_size, gap, jitter)
        self.patch_size, self.gap, self.jitter, self.resize = patch_size, gap, jitter, resize
        self.equalize, self.drop_channels = equalize, drop_channels
        self.head = mlp(2 * encoder.dim, hidden, len(AROUND))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and how often the place is predicted."""
        logits = self.scores(self.patches(batch))
        places = torch.arange(len(AROUND), device=logits.device).repeat(len(batch.inputs))
        return classified(logits.flatten(0, 1), places)

    def patches(self, batch: Batch) -> Tensor:
        """``(B, 9, C, S, S)`` float32, the patches of every image, row by row, with cues taken out."""
        images, keys = unit_images(batch.inputs), self.keys(batch)
        patches = draw_tiles("RelativePosition", images, keys, self.patch_size, self.gap, self.jitter)
        patches = equalize(patches, images) if self.equalize else patches
        patches = drop_channels(patches, keys) if self.drop_channels else patches
        return resize_tiles(patches.flatten(0, 1), self.resize or images.shape[2]).unflatten(0, (-1, PLACES))

    def scores(self, patches: Tensor) -> Tensor:
        """``(B, 8, 8)``: for each patch around the middle, scores of the eight places."""
        vectors = self.encoder(patches.flatten(0, 1)).pooled.unflatten(0, (-1, PLACES))
        middle = vectors[:, CENTRE, None].expand(-1, len(AROUND), -1)
        pairs = torch.cat([middle, vectors[:, AROUND]], dim=2)
        return self.head(pairs.flatten(0, 1)).unflatten(0, (-1, len(AROUND)))

    def chance_loss(self, batch_size: int) -> float:
        """The log of 8, every place being equally likely."""
        return math.log(len(AROUND))

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Images, a pair of patches of each as they lie, and as is predicted."""
        images, patches = unit_images(batch.inputs), self.patches(batch)
        around = torch.tensor(AROUND, device=images.device)
        chosen = (uniform(fold_in(self.keys(batch), SHOWN), 1)[:, 0] * len(AROUND)).long()
        rows = torch.arange(len(images), device=images.device)
        true, predicted = around[chosen], around[self.scores(patches)[rows, chosen].argmax(1)]
        small = resize_tiles(patches.flatten(0, 1), images.shape[-1] // 3).unflatten(0, (-1, PLACES))
        pairs = torch.stack([small[:, CENTRE], small[rows, true]], 1)
        made = [
            lay_out(pairs, torch.stack([torch.full_like(places, CENTRE), places], 1), *images.shape[2:])
            for places in (true, predicted)
        ]
        return {"positions": (torch.cat([images, *made]), len(images), ["images", "as they lie", "as predicted"])}
