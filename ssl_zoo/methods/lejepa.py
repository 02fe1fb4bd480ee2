"""LeJEPA: views attract each other, and the projections of a batch are to be a sample of a standard normal."""

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.sigreg import AT_A_POINT, random_directions, sigreg
from ssl_zoo.objectives.similarity import distance_to_centre
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_projections, projections_on_a_line
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.spread import mean_deviation, participation_ratio
from ssl_zoo.randomness import fold_in
from ssl_zoo.views.base import Views, require_at_least

# What the run's seed is folded with, so that directions are independent of all that is drawn for examples.
DIRECTIONS = 1


class LeJEPA(Method):
    """Latent-Euclidean joint-embedding prediction (Balestriero and LeCun, 2025, arXiv:2511.08544).

    For the projections z of V views of each example, and their mean c over the views that are no local crops:

        loss = (1 - l) * mean over views, examples and dimensions of (z - c)^2 + l * SIGReg

    SIGReg compares the distribution of the projections with a standard normal one along random directions, for each
    view by itself over the global batch (see `ssl_zoo.objectives.sigreg`). The directions are new at every step and the
    same on all ranks. Any views will do; with `MultiCrop`, as in the paper, small crops are compared with the centre of
    the large ones, and tested like them. There is no teacher, stop-gradient or schedule, and one number to choose, l;
    far from a normal distribution the statistic grows with the batch, and so does what l means.

    Watch `train/sigreg`, about 1.05 where projections are standard normal, and 0.4 times the batch where they are all
    the same; `train/std`, the mean deviation of their dimensions, is to come to 1, and `train/rank`, how many
    dimensions they effectively have, near to what there are.

    Args:
        encoder: The network to pretrain.
        views: Makes the views of each example.
        sigreg_weight: Part of SIGReg in the loss, l, in [0, 1]; the authors' example has 0.02.
        directions: Number of random directions at each step; the authors' example has 256.
        projection_hidden: Width of the projection head's two hidden layers.
        projection_dim: Size of the projections.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: `sigreg_weight` or `directions` is out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        sigreg_weight: float = 0.02,
        directions: int = 256,
        projection_hidden: int = 2048,
        projection_dim: int = 128,
        optimizer: Optimizer = Optimizer(learning_rate=5e-4, weight_decay=5e-4),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not 0 <= sigreg_weight <= 1:
            raise InputError(
                f"sigreg_weight is {sigreg_weight}; give a number between 0 and 1: the views' distance has the rest."
            )
        require_at_least("directions", directions, 1)
        self.views = views
        self.sigreg_weight, self.directions = sigreg_weight, directions
        self.projector = mlp(encoder.dim, projection_hidden, projection_hidden, projection_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, its two terms without their weights, and the projections' spread and number of dimensions."""
        assert self.views is not None
        vectors = torch.cat([self.encoder(*views).pooled for views in self.make_crops(batch)])
        projections = self.projector(vectors).unflatten(0, (-1, len(batch.index))).float()
        invariance = distance_to_centre(projections, self.views.views_per_example)
        gaussianity = sigreg(projections, random_directions(self._key(), projections.shape[-1], self.directions))
        first = all_gather(projections[0].detach())
        return {
            "loss": (1 - self.sigreg_weight) * invariance + self.sigreg_weight * gaussianity,
            "invariance": invariance.detach(),
            "sigreg": gaussianity.detach(),
            "std": mean_deviation(first),
            "rank": participation_ratio(first),
        }

    def _key(self) -> Tensor:
        """``(1,)`` int64, the key of this step's directions: no example's, which would be another on every rank."""
        step = self.global_step + 1 if self.training else 0
        return fold_in(fold_in(self.noise_seed[None], DIRECTIONS), step)

    def chance_loss(self, batch_size: int) -> float:
        """Of projections that are all zero; other constants have more."""
        return self.sigreg_weight * AT_A_POINT * batch_size

    def has_no_negatives(self, batch_size: int) -> bool:
        """Never: one example, too, has a distance from its views' centre and a place under the normal distribution."""
        return False

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Projections that have collapsed to a point or to a line, too."""
        point = collapsed_projections("Raise sigreg_weight or the batch size, or lower the learning rate.")
        return [*super().alarms(batch_size), point, projections_on_a_line("Raise sigreg_weight.")]
