"""DeepCluster: clusters of an encoder's own features are the labels that it is trained to predict in the next epoch."""

import math
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import trainer_of
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.optim import Optimizer, advice_on_divergence, batches_per_epoch, total_steps
from ssl_zoo.parts.agreement import mutual_information
from ssl_zoo.parts.alarms import Alarm, few_codes
from ssl_zoo.parts.cluster_pictures import cluster_pictures
from ssl_zoo.parts.codebooks import code_perplexity
from ssl_zoo.parts.k_means import k_means
from ssl_zoo.parts.nearest import nearest
from ssl_zoo.parts.refit import Count, Refit, as_columns, from_columns
from ssl_zoo.parts.whitening import Whitening, fit_whitening
from ssl_zoo.randomness import fold_in, normal
from ssl_zoo.views.base import Views, require_at_least

# What keys are folded with, so that draws are independent of each other; each clustering folds its number in, too.
CENTRES, HEAD = 1, 2


class Clustering(NamedTuple):
    """Clusters of all training examples.

    Attributes:
        whitening: what their vectors were changed by.
        centres: ``(K, P)`` float32, of clusters of the vectors of unit length that it leaves.
        codes: ``(M,)`` int64, the cluster of the example of every number (`Batch.index`), -1 where there is none.
    """

    whitening: Whitening
    centres: Tensor
    codes: Tensor


class DeepCluster(Method):
    """Clustering and learning to predict the clusters in turns (Caron et al., 2018, arXiv:1807.05520).

    Once an epoch the encoder's vectors of all training examples, of which no views are made, are projected on their
    leading principal components, whitened and brought to unit length, and k-means makes K clusters of them. Until the
    next epoch a linear layer g, drawn anew, predicts the cluster y of an example from views of it. The first clusters
    are made before the first step, later ones after the first step of an epoch, so that a validation between two epochs
    sees what g has learnt and not a new one; the paper makes them between the two. With f the encoder, n_k the number
    of training examples in cluster k, and sums over all views x of the global batch (equation 1):

        loss = sum of -log softmax(g(f(x)))_y / n_y  divided by  sum of 1 / n_y

    The weights 1 / n_y stand for drawing examples evenly over clusters (section 3.3), without which a few large
    clusters, that need no features to be predicted, would take all. A cluster that loses its last example splits
    another one (as there). The optimizer begins with g as at a first step, and its learning rate stays as it is, as in
    the published code: no epoch would otherwise have time to learn it again.

    Held-out examples are in the cluster that is nearest to what the encoder makes of them now. The centres are those of
    the beginning of the epoch, and what has moved away since then makes `val/loss` higher than `train/loss`.

    Watch `train/nmi`, the mutual information of the clusters with those of the epoch before, normalized to [0, 1],
    which rises while clusters settle; `train/accuracy`, how often the cluster is predicted, an example counting
    for 1 / n_y; and `train/code_perplexity`, among how many equally frequent clusters the examples of a batch waver.
    The paper finds more clusters than there are kinds of things to work best: 10,000 for ImageNet's 1,000.
    figures/clusters.png shows the validation images nearest to the centres of some.

    Args:
        encoder: The network to pretrain.
        views: Makes the views of each example, all of which are classified; the paper's is one crop.
        clusters: Number of clusters, K, at most as many as there are training examples.
        components: Number of principal components that are clustered; all where the encoder's vectors have fewer.
        passes: Passes of k-means over the training examples, at most.
        recluster_every: Number of epochs after which clusters are made anew; the paper has 1.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: an argument is out of its range.
    """

    pictured = 512
    mean: Tensor
    directions: Tensor
    centres: Tensor
    assignments: Tensor
    sizes: Tensor
    nmi: Tensor
    _starts: tuple[float, ...] | None = None

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        clusters: int = 10000,
        components: int = 256,
        passes: int = 20,
        recluster_every: int = 1,
        optimizer: Optimizer = Optimizer("sgd", 0.05, 1e-5, warmup=0.0, schedule="constant"),
    ) -> None:
        super().__init__(encoder, optimizer)
        for name, number, least in (
            ("clusters", clusters, 2),
            ("components", components, 1),
            ("passes", passes, 1),
            ("recluster_every", recluster_every, 1),
        ):
            require_at_least(name, number, least)
        self.views = views
        self.clusters, self.passes, self.recluster_every = clusters, passes, recluster_every
        self.components = min(components, encoder.dim)
        self.head = nn.Linear(encoder.dim, clusters)
        self.clusterings = Count()
        self.register_buffer("mean", torch.zeros(encoder.dim))
        self.register_buffer("directions", torch.zeros(encoder.dim, self.components))
        self.register_buffer("centres", torch.zeros(clusters, self.components))
        self.register_buffer("assignments", torch.zeros(0, dtype=torch.int64))  # as many as there are examples later
        self.register_buffer("sizes", torch.ones(clusters))
        self.register_buffer("nmi", torch.zeros(()))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, how often the cluster is predicted, clusters in use, and what they share with the last ones."""
        self.clusterings.require_some("DeepCluster", self.training and trainer_of(self) is not None)
        codes = self.clusters_of(batch)
        logits = self.head(self.encoder(*self.make_views(batch)).pooled)
        truth = codes.repeat(len(logits) // len(codes))
        weights = 1 / self.sizes.clamp_min(1)[truth]
        right = (logits.argmax(1) == truth).float()
        terms = {
            "loss": global_mean(token_nats(logits, truth), weights).share,
            "accuracy": global_mean(right, weights).value,
            "code_perplexity": code_perplexity(codes, torch.ones_like(codes, dtype=torch.bool), self.clusters),
        }
        return {**terms, "nmi": self.nmi} if self.training and self.clusterings.value > 1 else terms

    @torch.no_grad()
    def clusters_of(self, batch: Batch) -> Tensor:
        """``(B,)`` int64, the clusters of training examples since the last clustering, and of others the nearest."""
        if self.training and len(self.assignments):
            return self.assignments[batch.index]
        return nearest(self._whitened(batch), self.centres)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Of images, those nearest to the centres of large clusters."""
        distances = torch.cdist(self._whitened(batch), self.centres)
        return {**cluster_pictures(self.encoder, batch.inputs, -distances)}

    def _whitened(self, batch: Batch) -> Tensor:
        """``(B, P)`` float32, what is compared with the centres."""
        vectors = self.encoder(batch.inputs, batch.mask).pooled.float()
        return _unit(Whitening(self.mean, self.directions)(vectors))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """As every method's; another run may have other epochs."""
        self._starts = None
        return super().configure_optimizers()

    def steady_parts(self) -> list[nn.Module]:
        """The head, which is new in every epoch."""
        return [self.head]

    def refits(self) -> list[Refit]:
        """The clusters of all epochs that have not begun."""
        trainer = trainer_of(self)
        if self._starts is None:  # how long an epoch is takes too long to ask at every step
            steps, total = 1, 1
            if trainer is not None:
                steps = math.ceil(batches_per_epoch(trainer) / trainer.accumulate_grad_batches)
                total = total_steps(trainer)
            firsts = range(0, total, self.recluster_every * steps)
            # After the first step of an epoch: a validation between two epochs would else be of a head that is new.
            self._starts = tuple((first + 0.5 if first else 0) / total for first in firsts)
        return [self.clustering(at) for at in self._starts[self.clusterings.value :]]

    def clustering(self, at: float) -> Refit:
        """Clusters of all training examples, and a new head for them.

        Args:
            at: part of the run after which they are due.
        """
        renewed = tuple(self.head.parameters())
        return Refit(at, "clusters of all examples", self._collect, self._fit, self._use, None, renewed)

    def _collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        vectors = self.encoder(batch.inputs, batch.mask).pooled.float()
        rows = torch.cat([vectors, as_columns(batch.index)], dim=1)[:, None]
        return rows, torch.ones(rows.shape[:2], dtype=torch.bool, device=rows.device)

    def _fit(self, rows: Tensor) -> Clustering:
        vectors, index = rows[:, :-2], from_columns(rows[:, -2:])
        if len(vectors) < self.clusters:
            raise InputError(
                f"DeepCluster: there are {len(vectors)} training examples to make {self.clusters} clusters of: set "
                "clusters lower, or give more data."
            )
        if not vectors.isfinite().all():
            raise InputError(
                f"DeepCluster has diverged: after {self.global_step} steps its vectors are not finite numbers. "
                f"{advice_on_divergence(self.optimizer)}"
            )
        whitening = fit_whitening(vectors, self.components)
        whitened = _unit(whitening(vectors))
        key = fold_in(self.noise_seed[None], CENTRES + 10 * self.clusterings.value)[0]
        centres = k_means(whitened, self.clusters, key, self.passes, mending="split")
        codes = index.new_full((int(index.max()) + 1,), -1)
        codes[index] = nearest(whitened, centres)
        return Clustering(whitening, centres, codes)

    def _use(self, found: Clustering) -> None:
        known = found.codes >= 0
        if self.clusterings.value:
            self.nmi.copy_(mutual_information(self.assignments[known], found.codes[known]))
        self.mean.copy_(found.whitening.mean)
        self.directions.copy_(found.whitening.directions)
        self.centres.copy_(found.centres)
        self.assignments = found.codes
        self.sizes.copy_(found.codes[known].bincount(minlength=self.clusters))
        key = fold_in(self.noise_seed[None], HEAD + 10 * self.clusterings.value)
        self.head.weight.data.copy_(0.01 * normal(key, *self.head.weight.shape)[0])
        self.head.bias.data.zero_()
        self.clusterings.value += 1

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Makes room for as many assignments as a checkpoint has."""
        saved = state_dict.get(f"{prefix}assignments")
        if saved is not None:
            self.assignments = self.assignments.new_zeros(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Nearly all examples in one cluster, too."""
        advice = "Look at the learning rate, and at components and clusters."
        return [*super().alarms(batch_size), few_codes(advice, "examples")]

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of clusters, over which examples are weighted to be even."""
        return math.log(self.clusters)


def _unit(vectors: Tensor) -> Tensor:
    """``(N, P)`` float32, of length 1."""
    return nn.functional.normalize(vectors, dim=1)
