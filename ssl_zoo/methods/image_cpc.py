"""CPC of images: patches further down are identified among all patches of the batch."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.patch_resnet import PatchResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.contrastive import global_logits
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm
from ssl_zoo.parts.pretext import unit_images
from ssl_zoo.parts.rows_above import RowsAbove
from ssl_zoo.randomness import fold_in
from ssl_zoo.views.base import require_at_least
from ssl_zoo.views.image_color import ColorJitter
from ssl_zoo.views.image_crop import RandomResizedCrop
from ssl_zoo.views.tiles import drop_channels

PATCH, COLOUR = 20, 21  # what an example's keys are folded with
GAIN = "train/gain"
AT_CHANCE = 0.03  # nats below the chance loss, under which nothing has been learnt


class ImageCPC(Method):
    """CPC v2, contrastive predictive coding of images (Hénaff et al., 2019, arXiv:1905.09272).

    An image is a grid of overlapping patches. With z_rc what the encoder makes of the patch in row r and column c, seen
    by itself, t a linear layer, c_rc the context of that place, which masked convolutions make of the z in row r and
    above, and h_k a linear layer of each step k:

        s_k(rc, j) = t(z_j) . h_k(c_rc) / sqrt(target_dim),    the positive being the patch k + offset rows below rc

        loss = mean over images, places and k = 0 ... steps - 1 of
                   -log  exp(s_k(rc, positive))  /  sum over all patches j of the global batch of exp(s_k(rc, j))

    It is the loss of `CPC`, speech's, but that all patches there are stand for the drawn negatives, those of the same
    image among them, and those that look the same, such as empty ones. Each patch is changed by itself, so that
    neighbours cannot be known by what they share: mirrored, cropped, brighter or darker, and of colours one channel
    alone is left. The paper predicts upwards and sideways, too, and changes patches in more ways.

    What must not give the answer away: norms over a batch, through which patches see each other (layer norms do not);
    rows that overlap with what the context has seen, hence `offset`; and a context that sees what it is to predict.

    Watch `train/accuracy`, how often the true patch has the highest score, against `train/chance`, one over the number
    of patches in the global batch, and `train/gain`, how many nats the loss lies below its value at chance. Patches
    further below are harder and teach more about what is shown.

    Args:
        encoder: The network to pretrain, of single patches: PatchResNet.
        steps: How many rows are predicted from each place; where the grid has fewer below, those that it has.
        offset: Rows from a place to the first one that is predicted from it. None takes the first that shares no pixel
            with the place's own row: 2 where patches overlap by half.
        target_dim: Size of the vectors that are compared; 64 in the paper.
        context_dim: Size of the vectors within the context's blocks; 256 in the paper.
        context_blocks: Blocks of the context, each of which sees one more row above; 5 in the paper.
        crop_scale: Range of the part of a patch, by area, that it is cropped to and enlarged again from.
        flip: Probability of mirroring a patch left and right.
        strength: Strength of the changes of a patch's brightness and contrast; 1 changes either by up to 80 %.
        drop_channels: Whether of every patch of more than one channel a single one is left, with noise in the others.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder does not see patches by themselves, an argument is out of its range, or images have too
            few rows of patches to see one and predict another.
    """

    encoder: PatchResNet

    def __init__(
        self,
        encoder: Encoder,
        steps: int = 3,
        offset: int | None = None,
        target_dim: int = 64,
        context_dim: int = 256,
        context_blocks: int = 5,
        crop_scale: tuple[float, float] = (0.6, 1.0),
        flip: float = 0.5,
        strength: float = 0.5,
        drop_channels: bool = True,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, PatchResNet):
            raise InputError(
                "ImageCPC predicts patches of images from others and needs an encoder that sees each by itself, "
                f"without batch norm, which {type(encoder).__name__} is not: take PatchResNet, of images."
            )
        self.offset = math.ceil(encoder.patch_size / encoder.stride) if offset is None else offset
        sizes = {"target_dim": target_dim, "context_dim": context_dim, "context_blocks": context_blocks}
        for name, value in {"steps": steps, "offset": self.offset, **sizes}.items():
            require_at_least(f"ImageCPC's {name}", value, 1)
        require_at_least("ImageCPC's strength", strength, 0)
        self.steps, self.drop_channels = steps, drop_channels
        crop = RandomResizedCrop(None, crop_scale, flip=flip)
        self.operators = nn.ModuleList([crop, ColorJitter(0.8 * strength, 0.8 * strength)])
        self.context = RowsAbove(encoder.dim, context_dim, context_blocks)
        self.targets = nn.Linear(encoder.dim, target_dim)
        self.predictors = nn.Linear(encoder.dim, steps * target_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, how often the true patch has the highest score, and what both would be by chance."""
        return self.contrast(self.vectors(self.patches(batch), self.grid(batch.inputs)))

    def grid(self, inputs: Tensor) -> tuple[int, int]:
        """Rows and columns of patches.

        Raises:
            InputError: there are too few rows.
        """
        rows, columns = self.encoder.patch_grid(inputs)
        if rows <= self.offset:
            raise InputError(
                f"ImageCPC predicts the row of patches {self.offset} below, and images of {inputs.shape[2]} x "
                f"{inputs.shape[3]} have {rows} rows: set the encoder's patch_size lower or data.image_size higher."
            )
        return rows, columns

    @torch.no_grad()
    def patches(self, batch: Batch) -> Tensor:
        """``(B, N, C, S, S)`` float32 in [0, 1], the patches of every image, row by row, each changed by itself."""
        patches, keys = self.encoder.cut(unit_images(batch.inputs)), self.keys(batch)
        number = torch.arange(patches.shape[1], device=keys.device)
        own_keys = fold_in(fold_in(keys, PATCH)[:, None], number).flatten()
        changed = patches.flatten(0, 1)
        with torch.autocast(changed.device.type, enabled=False):
            for place, operator in enumerate(self.operators):
                changed = operator(changed, fold_in(own_keys, place))
        patches = changed.unflatten(0, patches.shape[:2])
        return drop_channels(patches, fold_in(keys, COLOUR)) if self.drop_channels else patches

    def vectors(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """``(B, rows, columns, D)``, the encoder's vector of every patch ``(B, N, C, S, S)``."""
        return self.encoder.contextualize(self.encoder.embed_patches(patches)).sequence.unflatten(1, grid)

    def contrast(self, vectors: Tensor) -> dict[str, Tensor]:
        """The terms of `losses` of vectors ``(B, rows, columns, D)``."""
        targets = self.targets(vectors)
        predicted = self.predictors(self.context(vectors)).unflatten(-1, (self.steps, -1)) / targets.shape[-1] ** 0.5
        rows, columns = vectors.shape[1:3]
        places = torch.arange(len(vectors) * rows * columns, device=vectors.device).view(-1, rows, columns)
        queries, matches = [], []
        for step in range(min(self.steps, rows - self.offset)):
            below = self.offset + step
            queries.append(predicted[:, :-below, :, step].flatten(0, 2))
            matches.append(places[:, below:].flatten())
        logits, positives = global_logits(torch.cat(queries), targets.flatten(0, 2), torch.cat(matches))
        accuracy = (logits.detach().argmax(1) == positives).float().mean()
        chance = torch.full_like(accuracy, 1 / logits.shape[1])
        loss = F.cross_entropy(logits, positives)
        return {"loss": loss, "accuracy": accuracy, "chance": chance, "gain": -chance.log() - loss.detach()}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A loss at chance, which depends on how many patches images have, too."""
        sentence = (
            f"The training loss sits at chance: {{{GAIN}:.3f}} nats below that of an encoder that ignores its input. "
            "Look at the learning rate, at how patches are changed, and at offset, the first row to be predicted."
        )
        return [*super().alarms(batch_size), Alarm(GAIN, sentence, below=AT_CHANCE)]
