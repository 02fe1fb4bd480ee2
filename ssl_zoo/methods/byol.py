"""BYOL: one view predicts what a slowly moving copy of the network makes of the other; no negatives."""

from functools import partial

from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.similarity import negative_cosine
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_projections
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.spread import feature_std
from ssl_zoo.parts.teacher import Teacher, cosine_momentum
from ssl_zoo.views.base import Views


class BYOL(Method):
    """Bootstrap your own latent (Grill et al., 2020, arXiv:2006.07733).

    With z the online projection of one view, q the predictor, and z' the target's projection of the other view, for
    both assignments of the views (equation 2):

        loss = 2 - 2 cos(q(z), z')

    The target follows the online network: target <- tau target + (1 - tau) online after every step, tau rising from
    `momentum` to 1 along a cosine over the run. No gradient reaches the target. Without the predictor or with a
    gradient into the target, one constant vector for all images would be the best solution.

    Watch `train/std`, the spread of the projections (0 when all are alike, 1 when they are spread evenly), and
    `health/rank`: the loss falls while a network collapses, too.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        momentum: Momentum of the target at the start, tau, which rises to 1; the paper takes 0.996 over 300 epochs and
            more, shorter runs need less.
        projection_hidden: Hidden width of the projection and prediction heads.
        projection_dim: Size of the projections, z.
        optimizer: Settings of the optimizer and of the learning rate over the run.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        momentum: float = 0.996,
        projection_hidden: int = 4096,
        projection_dim: int = 256,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        self.views = views
        self.projector = mlp(encoder.dim, projection_hidden, projection_dim)
        self.predictor = mlp(projection_dim, projection_hidden, projection_dim)
        schedule = partial(cosine_momentum, momentum)
        self.target_encoder, self.target_projector = (Teacher(each, schedule) for each in (encoder, self.projector))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The distance between prediction and target, summed over both assignments, and the projections' spread."""
        # A forward for each view: they are made differently, and batch norm is to see one kind at a time.
        views = self.make_views(batch).chunk(2)
        projected = [self.projector(self.encoder(*view).pooled) for view in views]
        first, second = (self.predictor(each) for each in projected)
        first_target, second_target = (self.target_projector(self.target_encoder(*view).pooled) for view in views)
        loss = 4 + 2 * negative_cosine(first, second_target) + 2 * negative_cosine(second, first_target)
        return {"loss": loss, "std": feature_std(all_gather(projected[0].detach()))}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Collapsed projections, too."""
        return [*super().alarms(batch_size), collapsed_projections()]
