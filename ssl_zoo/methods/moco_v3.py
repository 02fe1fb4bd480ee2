"""MoCo v3: contrast with the other images of the batch, with a predictor and a momentum encoder; made for ViTs."""

import math
from functools import partial

from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.contrastive import cross_view_logits
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.teacher import Teacher, cosine_momentum
from ssl_zoo.views.base import Views, require_positive


class MoCoV3(Method):
    """MoCo v3 (Chen, Xie and He, 2021, arXiv:2104.02057, algorithm 1).

    With q the prediction of one view, k+ the key of the other view and k_i the keys of that view of all N images in the
    global batch, for both assignments of the views:

        loss = -2 t log  exp(q . k+ / t)  /  sum over i of exp(q . k_i / t)

    The keys come from copies of encoder and projector that follow them with a momentum rising to 1 along a cosine.
    For a ViT, set its `freeze_patches`: a random patch projection that is never trained is what keeps it stable; and
    `positions` to `sincos`, which the paper takes and which needs no training either.

    Watch `train/accuracy`: dips that last for a few steps are the instability that the paper is about.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        temperature: What cosines are divided by, t.
        momentum: Momentum of the copies that make keys, at the start; it rises to 1 over the run.
        projection_hidden: Hidden width of the projection (three layers) and prediction (two layers) heads.
        projection_dim: Size of queries and keys.
        optimizer: Settings of the optimizer and of the learning rate over the run.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        temperature: float = 0.2,
        momentum: float = 0.99,
        projection_hidden: int = 4096,
        projection_dim: int = 256,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_positive("temperature", temperature)
        self.views = views
        self.temperature = temperature
        self.projector = mlp(encoder.dim, projection_hidden, projection_hidden, projection_dim, norm_last=True)
        self.predictor = mlp(projection_dim, projection_hidden, projection_dim, norm_last=True)
        schedule = partial(cosine_momentum, momentum)
        self.key_encoder, self.key_projector = (Teacher(each, schedule) for each in (encoder, self.projector))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE summed over both assignments of the views, and how often the positive is the nearest candidate."""
        views = self.make_views(batch).chunk(2)
        first, second = (self.predictor(self.projector(self.encoder(*view).pooled)) for view in views)
        first_keys, second_keys = (self.key_projector(self.key_encoder(*view).pooled) for view in views)
        logits, targets = cross_view_logits(first, second_keys, self.temperature)
        other_logits, _ = cross_view_logits(second, first_keys, self.temperature)
        loss = F.cross_entropy(logits, targets) + F.cross_entropy(other_logits, targets)
        accuracy = (logits.detach().argmax(1) == targets).float().mean()
        return {"loss": 2 * self.temperature * loss, "accuracy": accuracy}

    def chance_loss(self, batch_size: int) -> float:
        """4 t log N, every candidate being equally likely in both terms."""
        return 4 * self.temperature * math.log(batch_size)
