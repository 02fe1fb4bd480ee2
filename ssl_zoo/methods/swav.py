"""SwAV: a view predicts which prototypes the other views have as codes, and codes share the batch among all of them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather, rank
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.self_distillation import cross_view_entropy, entropy
from ssl_zoo.objectives.sinkhorn import sinkhorn
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, few_codes
from ssl_zoo.parts.cluster_pictures import cluster_pictures
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.prototypes import Prototypes
from ssl_zoo.parts.queue import KeyQueue
from ssl_zoo.views.base import Views, require_at_least, require_positive, require_probability


class SwAV(Method):
    """Swapping assignments between views (Caron et al., 2020, arXiv:2006.09882).

    For the projections z of unit length of all views of an example, c_k the K prototypes of unit length, and q the code
    of a global view, over all pairs of a global view x and another view x' of the same example (equations 1 and 2):

        loss = mean of -sum over k of q(x)_k log p(x')_k     p(x') = softmax(z(x') . c / temperature)

    The codes of one global view of the global batch are those nearest to exp(z . c / epsilon) in which every prototype
    is as much in use as all others (equation 4), by a few iterations of Sinkhorn; no gradient reaches them. Where
    batches have fewer examples than there are prototypes, projections of earlier ones take part in that, from a queue
    for each global view. The prototypes are brought to unit length after every step.

    Watch the loss against log(K), where it begins and where it stays as long as all examples get the same code;
    `train/accuracy`, how often the likeliest prototype of a view is that of the other's code; and
    `train/code_perplexity`, the number of prototypes in use. figures/clusters.png shows the validation images nearest
    to some prototypes.

    Args:
        encoder: The network to pretrain.
        views: Makes the views of each example; `MultiCrop` makes local ones besides.
        temperature: What cosines with prototypes are divided by in predictions.
        epsilon: What they are divided by in codes: the smaller, the nearer codes are to a single prototype.
        iterations: Iterations of Sinkhorn.
        prototypes: Number of prototypes, K; the paper takes 3000 on ImageNet.
        freeze_prototypes: Part of the run in which the prototypes are not trained, in [0, 1); the paper's is an epoch.
        queue_size: Number of projections kept of each global view, 0 for no queue; the paper takes 3840 for batches of
            256. Where a batch has more examples than there are prototypes it does harm if the network changes fast: the
            codes of new projections are then shared with old ones that lie elsewhere.
        queue_start: Part of the run after which the queue is used, in [0, 1]: early projections change too fast.
        projection_hidden: Hidden width of the projection head.
        projection_dim: Size of the projections, z.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: an argument is out of its range.
    """

    pictured = 512

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        prototypes: int = 3000,
        freeze_prototypes: float = 0.01,
        queue_size: int = 0,
        queue_start: float = 0.1,
        projection_hidden: int = 2048,
        projection_dim: int = 128,
        optimizer: Optimizer = Optimizer("lars", 0.6, 1e-6),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_positive("temperature", temperature)
        require_positive("epsilon", epsilon)
        for name, number, least in (("iterations", iterations, 1), ("prototypes", prototypes, 2)):
            require_at_least(name, number, least)
        require_at_least("queue_size", queue_size, 0)
        for name, part in (("freeze_prototypes", freeze_prototypes), ("queue_start", queue_start)):
            require_probability(name, part)
        self.views = views
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.freeze_prototypes, self.queue_start = freeze_prototypes, queue_start
        self.projector = mlp(encoder.dim, projection_hidden, projection_dim)
        self.prototypes = Prototypes(projection_dim, prototypes)
        self.prototypes.normalize()
        queues = views.views_per_example if queue_size else 0
        self.queues = nn.ModuleList(KeyQueue(queue_size, projection_dim) for _ in range(queues))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The swapped cross entropy, how often a view's likeliest prototype is the other's code, and codes in use."""
        crops, examples = self.make_crops(batch), len(batch.index)
        pooled = torch.cat([self.encoder(*views).pooled for views in crops])  # each size by itself, one batch norm then
        projected = F.normalize(self.projector(pooled).float(), dim=1)
        cosines = self.prototypes(projected).unflatten(0, (-1, examples))
        coded = len(crops[0].inputs) // examples
        self._fresh = projected.detach()[: coded * examples].chunk(coded), batch.index
        codes = torch.stack([self.assigned(number, cosines[number].detach()) for number in range(coded)])
        hits = cosines[1:coded].argmax(-1) == codes[: coded - 1].argmax(-1)
        chosen = F.one_hot(codes.argmax(-1), codes.shape[-1]).float().mean((0, 1))
        return {
            "loss": cross_view_entropy(cosines, codes, self.temperature),
            "accuracy": hits.float().mean(),
            "code_perplexity": entropy(all_gather(chosen[None]).mean(0)).exp(),
        }

    def assigned(self, number: int, cosines: Tensor) -> Tensor:
        """``(B, K)`` codes of a global view of this rank's examples.

        Args:
            number: number of the global view, from 0 on.
            cosines: ``(B, K)``, without gradient.
        """
        scores = all_gather(cosines)
        counted = None
        if self.queues and self.progress >= self.queue_start:
            queue: KeyQueue = self.queues[number]  # type: ignore[assignment]  # a list of modules holds any
            with torch.no_grad():
                kept = self.prototypes(queue.keys)
            counted = F.pad(queue.index >= 0, (len(scores), 0), value=True)  # what has not been filled yet is random
            scores = torch.cat([scores, kept])
        begin = rank() * len(cosines)
        return sinkhorn(scores, self.epsilon, self.iterations, counted)[begin : begin + len(cosines)]

    def on_after_backward(self) -> None:
        """New projections enter the queues: after training batches only."""
        projections, index = self._fresh
        for queue, fresh in zip(self.queues, projections, strict=False):  # there are none where nothing is kept
            assert isinstance(queue, KeyQueue)
            queue.push(fresh, index)

    def after_step(self) -> None:
        """The prototypes go back to unit length."""
        super().after_step()
        self.prototypes.normalize()

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Of images, those nearest to the prototypes that are in use most."""
        cosines = self.prototypes(self.projector(self.encoder(batch.inputs, batch.mask).pooled))
        return {**cluster_pictures(self.encoder, batch.inputs, cosines)}

    def late_parts(self) -> list[tuple[nn.Module, float]]:
        """The prototypes."""
        return [(self.prototypes, self.freeze_prototypes)] if self.freeze_prototypes else []

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Codes that are all the same, too."""
        advice = "Look at epsilon, which should be small, at the learning rate and at freeze_prototypes."
        return [*super().alarms(batch_size), few_codes(advice, "examples")]

    def chance_loss(self, batch_size: int) -> float:
        """log(K): the code of examples that are all alike, and the best prediction of it."""
        return math.log(len(self.prototypes.weight))
