"""Triplet loss: two views of an example lie closer together than either lies to others that look much like it."""

from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.triplet import semi_hard_triplets
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_projections
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.spread import feature_std
from ssl_zoo.views.base import Views, require_positive


class Triplet(Method):
    """The triplet loss of FaceNet (Schroff, Kalenichenko and Philbin, 2015, arXiv:1503.03832), on views of an example.

    Views of one example take the place of photographs of one person. For the projections z of unit length of all 2N
    views of the global batch, p(a) the other view of a's example and n(a) a negative (equation 3):

        loss = 1 / 2N  sum over a of max(0, |z_a - z_p(a)|^2 - |z_a - z_n(a)|^2 + margin)

    The negative is semi-hard: of the views of other examples that are farther from a than its positive, the nearest
    (section 3.2). The very nearest ones can draw all vectors to one point. Where all are nearer than the positive, the
    farthest is taken, the next best to a semi-hard one; of that case the paper does not speak.

    Watch `train/accuracy`, how often the positive is nearer than every negative; `train/std`, 1 for projections
    that are spread evenly and 0 where they have collapsed; and `train/hard`, how often no negative is semi-hard, which
    falls. The loss itself says little, as negatives become harder while it falls.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        margin: How much farther than the positive a negative is to be, as squared distance, of at most 4.
        projection_hidden: Hidden width of the projection head, which is SimCLR's; the paper has one linear layer.
        projection_dim: Size of the projections, z.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: `margin` is out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        margin: float = 0.2,
        projection_hidden: int = 2048,
        projection_dim: int = 128,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_positive("margin", margin)
        self.views, self.margin = views, margin
        self.projector = mlp(encoder.dim, projection_hidden, projection_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, how often the positive is nearest, or farthest of all, and how spread out projections are."""
        projected = self.projector(self.encoder(*self.make_views(batch)).pooled)
        positive, negative, nearest = semi_hard_triplets(*projected.chunk(2))
        return {
            "loss": F.relu(positive - negative + self.margin).mean(),
            "accuracy": (positive < nearest).float().mean(),
            "hard": (negative <= positive).float().mean(),
            "std": feature_std(all_gather(projected.detach())),
        }

    def has_no_negatives(self, batch_size: int) -> bool:
        """True of a single example, which has nothing to be farther from."""
        return batch_size == 1

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Collapsed projections, too."""
        advice = "Look at the learning rate, the margin and the strength of the views."
        return [*super().alarms(batch_size), collapsed_projections(advice)]
