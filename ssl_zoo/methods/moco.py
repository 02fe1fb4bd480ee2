"""MoCo: a query's own key among a queue of other images' keys, all made by a slowly moving encoder."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.contrastive import queue_logits
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.queue import KeyQueue
from ssl_zoo.parts.teacher import Teacher, in_groups
from ssl_zoo.views.base import Viewed, Views, require_positive


class MoCo(Method):
    """Momentum contrast (He et al., 2019, arXiv:1911.05722), with an MLP head as v2 has (arXiv:2003.04297).

    For the query q of one view, the key k+ of the other view, and the keys k_i of earlier batches, all of unit length
    (equation 1):

        loss = -log  exp(q . k+ / t)  /  (exp(q . k+ / t) + sum over the queue of exp(q . k_i / t))

    The keys come from copies that follow encoder and head as moving averages: copy <- m copy + (1 - m) original after
    every step (equation 2). Where the queue is longer than the data set it holds earlier keys of the query's own image;
    these are no negatives and are left out.

    Batch norm leaks: a key normalised with its query's batch carries the batch's mean, by which the query finds it
    without looking at the image. The paper shuffles the keys over GPUs; here, on any number of devices, the keys are
    normalised in groups of the batch that the queries, normalised over the whole of it, do not share.

    Watch `train/accuracy`, how often the positive beats the whole queue: near 1 within the first steps means that the
    queue is too short or the views too weak.

    Args:
        encoder: The network to pretrain.
        views: Makes two views of each example.
        temperature: What cosines are divided by, t.
        momentum: Momentum of the copies that make keys, m; the longer the run, the closer to 1. The paper takes 0.999
            over a million steps.
        queue_size: Number of keys kept; the paper takes 65536 on ImageNet.
        symmetric: Let both views be queries and keys: twice the work a step, and a better representation for it.
        norm_groups: Parts into which the batch is cut for the keys' batch norm; 1 lets it leak.
        projection_hidden: Hidden width of the projection head.
        projection_dim: Size of queries and keys.
        optimizer: Settings of the optimizer and of the learning rate over the run.
    """

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        temperature: float = 0.2,
        momentum: float = 0.999,
        queue_size: int = 65536,
        symmetric: bool = False,
        norm_groups: int = 4,
        projection_hidden: int = 2048,
        projection_dim: int = 128,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_positive("temperature", temperature)
        self.views = views
        self.temperature, self.symmetric, self.norm_groups = temperature, symmetric, norm_groups
        self.projector = mlp(encoder.dim, projection_hidden, projection_dim)
        self.key_encoder, self.key_projector = (Teacher(each, momentum) for each in (encoder, self.projector))
        self.queue = KeyQueue(queue_size, projection_dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE against the queue, and how often the positive is the nearest candidate."""
        views = self.make_views(batch)
        first, second = views.chunk(2)
        if self.symmetric:
            queries, keys = self.projector(self.encoder(*views).pooled), [self.keys_of(second), self.keys_of(first)]
        else:
            queries, keys = self.projector(self.encoder(*first).pooled), [self.keys_of(second)]
        excluded = batch.index.repeat(len(keys))[:, None] == self.queue.index
        logits, targets = queue_logits(queries, torch.cat(keys), self.queue.keys, excluded, self.temperature)
        accuracy = (logits.detach().argmax(1) == targets).float().mean()
        self._fresh = [(F.normalize(each.float(), dim=1), batch.index) for each in keys]
        return {"loss": F.cross_entropy(logits, targets), "accuracy": accuracy}

    def keys_of(self, views: Viewed) -> Tensor:
        """``(B, projection_dim)`` keys of B views, without gradient."""
        groups = self.norm_groups if self.training else 1  # batch norm has running statistics in evaluation
        return in_groups(lambda *group: self.key_projector(self.key_encoder(*group).pooled), groups, *views)

    def on_after_backward(self) -> None:
        """The new keys enter the queue: after training batches only, and when no gradient needs the old ones."""
        for keys, index in self._fresh:
            self.queue.push(keys, index)

    def chance_loss(self, batch_size: int) -> float:
        """log(1 + K), every candidate being equally likely."""
        return math.log(1 + len(self.queue.keys))
