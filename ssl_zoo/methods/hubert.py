"""HuBERT: spans of speech or parts of an image are hidden, and clusters of what was there are predicted."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.hidden import all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.requirements import require_both_sides, require_contents, require_maskable
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import trainer_of
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, few_codes
from ssl_zoo.parts.codebooks import code_perplexity
from ssl_zoo.parts.k_means import k_means
from ssl_zoo.parts.nearest import nearest
from ssl_zoo.parts.refit import Count, Refit, some_places
from ssl_zoo.parts.snapshot import Snapshot
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.base import require_at_least, require_positive

# What keys are folded with, so that draws are independent of each other.
MASKING, PLACES, CENTRES, LABELS, WEIGHT, BIAS = range(1, 7)
# What clusters are made of: so many examples of the training data, and places of each.
EXAMPLES, PLACES_EACH = 1024, 50


class HuBERT(Method):
    """Masked prediction of hidden units (HuBERT, Hsu et al., 2021, arXiv:2106.07447), with both iterations in one run.

    k-means makes K clusters of what is at the places of the training data, and z are the clusters of an input's places.
    With H the hidden places of the global batch, drawn anew at every step, x~ the input with one learnt vector at them,
    c = A e(x~) + b, and a learnt vector l_k for every cluster (equations 3 and 4):

        loss = mean over h in H of -log  exp(cos(c_h, l_z_h) / t)  /  sum over k of exp(cos(c_h, l_k) / t)
               + visible_weight * the same over all other places

    The first clusters are of raw content: the log-mel frames that a place of speech covers, or the pixels of a patch.
    The paper's are of MFCCs and their differences, which images do not have; of a hundred clusters those take away 42 %
    of the entropy of phones in Debian's speech, and clusters of log-mel frames 39 %. Later ones are of what a layer of
    the encoder itself makes of inputs with nothing hidden, as it is when the iteration begins. A, b and the l_k belong
    to the clusters (equation 3): they are drawn anew, and the optimizer begins with them as at a first step. The
    encoder goes on from where it is, where the paper's begins anew. Codes are computed at every step, by the nearest
    centre and from a copy of the encoder as it was: there are as many as places, and they are those of the very crop.

    Watch `train/accuracy`, how often the cluster is predicted; `train/loss` against log K, where nothing is learnt; and
    `train/code_perplexity`, among how many equally frequent clusters the places of a batch waver. Where phones are
    known, `codes/pnmi` is the part of their entropy that clusters take away, and figures/codes.png shows both.

    Args:
        encoder: The network to pretrain, a bidirectional transformer of images or of speech.
        clusters: Number of clusters K in every iteration.
        starts: Part of the run after which each iteration begins, in [0, 1), the first one at 0.
        layer: Layer whose vectors are clustered from the second iteration on, counted from 1; None takes the middle
            one, as the paper's sixth of twelve.
        masking: What is hidden. None takes, of frames of speech, the paper's spans of 10 that make up 0.8 of them if
            they did not overlap; of patches, blocks that make up 0.6 of them.
        temperature: What cosines are divided by, t.
        code_dim: Size of the space in which vectors and clusters are compared.
        visible_weight: Weight of the loss at places that are not hidden.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or reads text, its vectors cannot be replaced, or an argument is out of its
            range.
    """

    both_sides = True

    def __init__(
        self,
        encoder: Encoder,
        clusters: tuple[int, ...] = (100, 500),
        starts: tuple[float, ...] = (0.0, 0.4),
        layer: int | None = None,
        masking: Masking | None = None,
        temperature: float = 0.1,
        code_dim: int = 256,
        visible_weight: float = 0.0,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_maskable(encoder, "HuBERT")
        require_contents(encoder, "HuBERT")
        require_both_sides(encoder, "HuBERT")
        self.layer = encoder.num_layers // 2 if layer is None else layer
        _check(encoder, clusters, starts, self.layer)
        require_positive("temperature", temperature)
        require_at_least("code_dim", code_dim, 1)
        require_at_least("visible_weight", visible_weight, 0)
        usual = RandomBlocks() if encoder.in_plane else RandomSpans(0.8, 10)
        self.masking = usual if masking is None else masking
        self.clusters, self.starts = clusters, starts
        self.temperature, self.visible_weight = temperature, visible_weight
        self.iterations = Count()
        for number, count in enumerate(clusters):
            self.register_buffer(
                f"centres_{number}", torch.zeros(count, encoder.dim if number else encoder.content_dim)
            )
        self.snapshot = Snapshot(encoder, self.layer) if len(starts) > 1 else None
        self.mask_vector = nn.Parameter(torch.rand(encoder.dim))
        self.head = nn.Linear(encoder.dim, code_dim)
        self.labels = nn.Parameter(torch.rand(max(clusters), code_dim))

    def no_weight_decay(self) -> list[str]:
        """The clusters' vectors, which are values and no weights."""
        return ["labels"]

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, how often the cluster of a hidden place is predicted, and how clusters are used."""
        self.iterations.require_some("HuBERT", self.training and trainer_of(self) is not None)
        codes, embedded = self.codes(batch), self.encoder.embed(batch.inputs, batch.mask)
        real = all_real(embedded.vectors, embedded.mask)
        hidden = self.masking(real, fold_in(self.keys(batch), MASKING), self.encoder.grid(batch.inputs))
        sequence = self.encoder.contextualize(hidden.replace(embedded, self.mask_vector)).sequence
        logits, truth = self.logits(hidden.at(sequence)), hidden.at(codes)
        loss = global_mean(token_nats(logits, truth), hidden.valid).share
        if self.visible_weight:
            nats = token_nats(self.logits(sequence), codes)
            loss = loss + self.visible_weight * global_mean(nats, real & ~hidden.mask).share
        return {
            "loss": loss,
            "accuracy": global_mean((logits.argmax(2) == truth).float(), hidden.valid).value,
            "code_perplexity": code_perplexity(codes, real, self.clusters_now),
        }

    def logits(self, vectors: Tensor) -> Tensor:
        """``(B, K, clusters)`` float32, cosines with all clusters in one product, of the encoder's vectors."""
        projected, labels = self.head(vectors), self.labels[: self.clusters_now]
        with torch.autocast(vectors.device.type, enabled=False):  # the temperature would multiply rounding errors
            return F.normalize(projected.float(), dim=2) @ F.normalize(labels, dim=1).T / self.temperature

    def codes(self, batch: Batch) -> Tensor:
        """``(B, N)`` int64, the clusters of all places."""
        number = max(0, self.iterations.value - 1)
        encoder = self.encoder if self.snapshot is None else self.snapshot
        return nearest(self._content(batch, number, encoder), self.get_buffer(f"centres_{number}"))

    @property
    def clusters_now(self) -> int:
        """Number of clusters of this iteration."""
        return self.clusters[max(0, self.iterations.value - 1)]

    def refits(self) -> list[Refit]:
        """The clusters of every iteration that has not begun."""
        return [self._iteration(number) for number in range(self.iterations.value, len(self.starts))]

    def _iteration(self, number: int) -> Refit:
        def collect(batch: Batch) -> tuple[Tensor, Tensor]:
            vectors = self._content(batch, number, self.encoder)
            real = all_real(vectors, self.encoder.embed(batch.inputs, batch.mask).mask)
            return some_places(vectors, real, uniform(fold_in(self.keys(batch), PLACES), real.shape[1]), PLACES_EACH)

        def fit(vectors: Tensor) -> Tensor:
            if len(vectors) < max(self.clusters):  # later ones are as few: better now than in the middle of the run
                raise InputError(
                    f"HuBERT: there are {len(vectors)} places to make {max(self.clusters)} clusters of: set clusters "
                    "lower, or give more data."
                )
            return k_means(vectors, self.clusters[number], fold_in(self.noise_seed[None], CENTRES + 10 * number)[0])

        def use(centres: Tensor) -> None:
            self.get_buffer(f"centres_{number}").copy_(centres)
            if number and self.snapshot is not None:
                self.snapshot.take()
                key = fold_in(self.noise_seed[None], LABELS + 10 * number)
                self.labels.data.copy_(uniform(key, *self.labels.shape)[0])
                bound = self.head.in_features**-0.5  # as PyTorch draws the weights of a layer
                for parameter, name in ((self.head.weight, WEIGHT), (self.head.bias, BIAS)):
                    key = fold_in(self.noise_seed[None], name + 10 * number)
                    parameter.data.copy_(bound * (2 * uniform(key, *parameter.shape)[0] - 1))
            self.iterations.value = number + 1

        what = f"clusters of layer {self.layer}" if number else "clusters of what is at a place"
        renewed = (self.labels, *self.head.parameters()) if number else ()
        return Refit(self.starts[number], what, collect, fit, use, EXAMPLES, renewed)

    def _content(self, batch: Batch, number: int, encoder: nn.Module) -> Tensor:
        """``(B, N, P)``, what the clusters of an iteration are of; without gradient."""
        if number == 0:
            return self.encoder.contents(batch.inputs, batch.mask)
        with torch.no_grad():
            return encoder(batch.inputs, batch.mask, layers=True).layers[self.layer][:, self.encoder.prefix :]

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of clusters, all being equally likely, at hidden places and at all others."""
        return (1 + self.visible_weight) * math.log(self.clusters_now)

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Too few clusters in use."""
        advice = "Look at the data, which may be silent or blank, and at the layer whose vectors are clustered."
        return [*super().alarms(batch_size), few_codes(advice)]


def _check(encoder: Encoder, clusters: tuple[int, ...], starts: tuple[float, ...], layer: int) -> None:
    if len(clusters) != len(starts) or min(clusters, default=0) < 2:
        raise InputError(
            f"HuBERT: clusters is {list(clusters)} and starts {list(starts)}; give for each iteration a number of "
            "clusters of at least 2, and where it begins."
        )
    if starts[0] != 0 or sorted(set(starts)) != list(starts) or starts[-1] >= 1:
        raise InputError(f"HuBERT: starts is {list(starts)}; give parts of the run below 1, ascending from 0.")
    if not 1 <= layer < encoder.num_layers:
        raise InputError(f"HuBERT: layer is {layer}; the encoder's layers are 1 to {encoder.num_layers - 1}.")
