"""Barlow Twins: the dimensions of two views' projections correlate each with itself and with no other."""

from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.decorrelation import barlow_twins, cross_correlation
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, projections_on_a_line
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.spread import participation_ratio
from ssl_zoo.views.base import Views, require_at_least


class BarlowTwins(Method):
    """Barlow Twins: self-supervised learning via redundancy reduction (Zbontar et al., 2021, arXiv:2103.03230).

    For the projections z and z' of the two views, and C_ij the correlation over the global batch of dimension i of z
    with dimension j of z' (equations 1 and 2):

        loss = sum over i of (1 - C_ii)^2 + l * sum over i, j != i of C_ij^2

    The first term makes views of one example alike; the second keeps dimensions from saying the same. Constant
    projections have C = 0 and the loss D, their number of dimensions: no negatives, teacher or stop-gradient is needed.

    Watch `train/correlation`, the mean of C_ii, which rises to 1, and `train/rank`, how many dimensions the projections
    effectively have. The paper's representations get better with wider projections, to 8,192 and beyond.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        redundancy_weight: Factor of the second term, l.
        projection_hidden: Width of the projection head's two hidden layers.
        projection_dim: Size of the projections, D.
        optimizer: Settings of the optimizer and of the learning rate over the run; the paper's rate is for batches of
            2,048.

    Raises:
        InputError: a weight is negative.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        redundancy_weight: float = 0.005,
        projection_hidden: int = 8192,
        projection_dim: int = 8192,
        optimizer: Optimizer = Optimizer("lars", 1.6, weight_decay=1.5e-6, warmup=0.01),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_at_least("redundancy_weight", redundancy_weight, 0)
        self.views = views
        self.redundancy_weight, self.projection_dim = redundancy_weight, projection_dim
        self.projector = mlp(encoder.dim, projection_hidden, projection_hidden, projection_dim, bias_last=False)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The distance of C from the identity, the mean of its diagonal, and how many dimensions projections have."""
        first, second = (self.projector(self.encoder(*view).pooled) for view in self.make_views(batch).chunk(2))
        correlation = cross_correlation(first, second)
        return {
            "loss": barlow_twins(correlation, self.redundancy_weight),
            "correlation": correlation.detach().diagonal().mean(),
            "rank": participation_ratio(all_gather(first.detach())),
        }

    def chance_loss(self, batch_size: int) -> float:
        """D, of a dimension that is constant correlating with none."""
        return float(self.projection_dim)

    def has_no_negatives(self, batch_size: int) -> bool:
        """One example alone has no correlations."""
        return batch_size < 2

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Projections on a line, too."""
        return [*super().alarms(batch_size), projections_on_a_line("Raise redundancy_weight.")]
