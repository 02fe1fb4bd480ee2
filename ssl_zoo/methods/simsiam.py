"""SimSiam: BYOL without a momentum encoder."""

from torch import Tensor, nn

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
from ssl_zoo.views.base import Views


class SimSiam(Method):
    """Simple Siamese representation learning (Chen and He, 2020, arXiv:2011.10566).

    With z the projection of a view, p its prediction, and no gradient into z (equations 1 to 4):

        loss = -cos(p_1, z_2) / 2 - cos(p_2, z_1) / 2

    The predictor keeps the highest learning rate from the first step to the last, while that of everything else warms
    up and decays: it should stay adapted to the latest representations (section 4.1).

    Watch `train/std`, the spread of the projections: without the stop-gradient it falls from 1 to 0 at once, and the
    loss to -1 with it.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        projection_dim: Size of the projections, z, and hidden width of the projection head.
        prediction_hidden: Width of the predictor's bottleneck, a quarter of `projection_dim` in the paper.
        optimizer: Settings of the optimizer and of the learning rate over the run.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        projection_dim: int = 2048,
        prediction_hidden: int = 512,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        self.views = views
        self.projector = mlp(encoder.dim, projection_dim, projection_dim, projection_dim, norm_last=True)
        self.predictor = mlp(projection_dim, prediction_hidden, projection_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The negative cosine of prediction and projection, averaged over both ways, and the projections' spread."""
        first, second = (self.projector(self.encoder(*view).pooled) for view in self.make_views(batch).chunk(2))
        both_ways = negative_cosine(self.predictor(first), second) + negative_cosine(self.predictor(second), first)
        return {"loss": both_ways / 2, "std": feature_std(all_gather(first.detach()))}

    def steady_parts(self) -> list[nn.Module]:
        """The predictor."""
        return [self.predictor]

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Collapsed projections, too."""
        return [*super().alarms(batch_size), collapsed_projections()]
