"""SimCLR: two views of an image attract each other and repel everybody else's."""

import math

from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.contrastive import nt_xent_candidates, nt_xent_logits
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.in_chunks import cross_entropy_in_chunks, pooled_in_chunks, require_chunkable
from ssl_zoo.views.base import Views, require_positive


class SimCLR(Method):
    """A simple framework for contrastive learning (Chen et al., 2020, arXiv:2002.05709).

    For the projections z of the 2N views in the global batch, with i and j the two views of one example (equation 1):

        loss(i, j) = -log  exp(cos(z_i, z_j) / t)  /  sum over k != i of exp(cos(z_i, z_k) / t)

    Watch `train/accuracy`, how often the positive is the nearest of the 2N - 1 candidates, and the loss against
    log(2N - 1), its value when the encoder distinguishes nothing. Larger batches make the task harder and the
    representation better; the probes see the encoder, not the projection.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        temperature: What cosines are divided by, t; the paper takes 0.5 on CIFAR-10 and 0.1 on ImageNet.
        projection_hidden: Hidden width of the projection head.
        projection_dim: Size of the projections, z.
        chunk_size: Views that are encoded at once, and anchors that are compared at once: with it the memory of a large
            batch is that of a small one, as each view is encoded twice (Gao et al., 2021, arXiv:2101.06983). Loss and
            gradient are those of the whole batch. None encodes all at once, which is faster where it fits.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: `temperature` or `chunk_size` is out of its range, or there is a `chunk_size` and the encoder has
            batch norm, with which an example depends on its batch.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        temperature: float = 0.5,
        projection_hidden: int = 2048,
        projection_dim: int = 128,
        chunk_size: int | None = None,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_positive("temperature", temperature)
        require_chunkable(encoder, chunk_size, "SimCLR")
        self.views, self.temperature, self.chunk_size = views, temperature, chunk_size
        self.projector = mlp(encoder.dim, projection_hidden, projection_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """NT-Xent, and how often the positive is the nearest candidate."""
        vectors = pooled_in_chunks(self.encoder, *self.make_views(batch), self.chunk_size)
        first, second = self.projector(vectors).chunk(2)
        if self.chunk_size is not None:
            anchors, candidates, targets, own = nt_xent_candidates(first, second)
            scaled = anchors / self.temperature
            loss, accuracy = cross_entropy_in_chunks(scaled, candidates, targets, own, self.chunk_size)
            return {"loss": loss, "accuracy": accuracy}
        logits, targets = nt_xent_logits(first, second, self.temperature)
        accuracy = (logits.detach().argmax(1) == targets).float().mean()
        return {"loss": F.cross_entropy(logits, targets), "accuracy": accuracy}

    def chance_loss(self, batch_size: int) -> float:
        """log(2N - 1), every candidate being equally likely."""
        return math.log(2 * batch_size - 1)
