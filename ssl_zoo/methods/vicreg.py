"""VICReg: views attract each other, every dimension keeps its variance, and no two dimensions covary."""

from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.decorrelation import VARIANCE_EPS, covariance_penalty, variance_hinge
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_projections, projections_on_a_line
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.spread import mean_deviation, participation_ratio
from ssl_zoo.views.base import Views, require_at_least


class VICReg(Method):
    """Variance-invariance-covariance regularisation (Bardes, Ponce and LeCun, 2021, arXiv:2105.04906).

    For the projections z and z' of the two views of N examples in the global batch, ``(N, D)`` each (equation 6):

        loss = l * s(z, z') + m * (v(z) + v(z')) / 2 + n * (c(z) + c(z'))
        s = mean over examples and dimensions of (z - z')^2
        v = mean over dimensions of max(0, 1 - sqrt(var + 0.0001))
        c = sum over pairs of different dimensions of their covariance squared, over D

    The means over dimensions in s and over views in v are those of the authors' code, for which their weights are made;
    the equation has sums. Projections are neither normalised to unit length nor by batch norm.

    Watch `train/variance`, what the deviations of dimensions lack of 1, which soon falls near to 0; `train/std`, the
    mean of these deviations; and `train/rank`, how many dimensions the projections effectively have.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        invariance_weight: Factor of s, l.
        variance_weight: Factor of v, m.
        covariance_weight: Factor of c, n.
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
        invariance_weight: float = 25.0,
        variance_weight: float = 25.0,
        covariance_weight: float = 1.0,
        projection_hidden: int = 8192,
        projection_dim: int = 8192,
        optimizer: Optimizer = Optimizer("lars", 1.6, weight_decay=1e-6, warmup=0.01),
    ) -> None:
        super().__init__(encoder, optimizer)
        weights = {"invariance": invariance_weight, "variance": variance_weight, "covariance": covariance_weight}
        for name, weight in weights.items():
            require_at_least(f"{name}_weight", weight, 0)
        self.views = views
        self.invariance_weight, self.variance_weight = invariance_weight, variance_weight
        self.covariance_weight = covariance_weight
        self.projector = mlp(encoder.dim, projection_hidden, projection_hidden, projection_dim, bias_last=False)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, its three terms without their weights, and the projections' spread and number of dimensions."""
        local = [self.projector(self.encoder(*view).pooled) for view in self.make_views(batch).chunk(2)]
        # Variances and covariances of a part of the batch would be other ones.
        first, second = (all_gather(view.float()) for view in local)
        invariance = F.mse_loss(first, second)
        variance = (variance_hinge(first) + variance_hinge(second)) / 2
        covariance = covariance_penalty(first) + covariance_penalty(second)
        loss = self.invariance_weight * invariance + self.variance_weight * variance
        return {
            "loss": loss + self.covariance_weight * covariance,
            "invariance": invariance.detach(),
            "variance": variance.detach(),
            "covariance": covariance.detach(),
            "std": mean_deviation(first),
            "rank": participation_ratio(first),
        }

    def chance_loss(self, batch_size: int) -> float:
        """Constant projections have the variance term alone."""
        return self.variance_weight * (1 - VARIANCE_EPS**0.5)

    def has_no_negatives(self, batch_size: int) -> bool:
        """One example alone has no variance."""
        return batch_size < 2

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Projections that have collapsed to a point or to a line, too."""
        point = collapsed_projections("Raise variance_weight, or lower the learning rate.")
        return [*super().alarms(batch_size), point, projections_on_a_line("Raise covariance_weight.")]
