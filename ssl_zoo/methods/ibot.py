"""iBOT: DINO whose student also predicts, at hidden patches, which outputs the teacher chooses for what is there."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.encoders.requirements import require_both_sides, require_maskable
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.objectives.self_distillation import cross_view_entropy, entropy, hidden_entropy
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, silent_teacher
from ssl_zoo.parts.attention_maps import attention_pictures
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.prototypes import Prototypes
from ssl_zoo.parts.teacher import Teacher, cosine_momentum
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.schedules import along_line
from ssl_zoo.views.base import Viewed, Views, require_at_least, require_positive, require_probability, require_range

# What the keys of every global view are folded with, and numbers after it: far from those that views fold theirs with.
VIEW = 1 << 21
# Of which in turn the draws of a view are made.
WHETHER, WHERE = 0, 1


class IBOT(Method):
    """Image BERT with an online tokenizer (Zhou et al., 2021, arXiv:2111.07832).

    DINO (Caron et al., 2021, arXiv:2104.14294) with a second term. Of half of the global views parts are hidden from
    the student, as one learnt vector in the place of each hidden patch; the teacher, a copy that follows it, sees the
    whole views. One head gives K logits for every view and for every patch, s those of the student and t those of the
    teacher, with centres c for views and c' for patches:

        P_t = softmax((t - c) / tau_t)     P'_t = softmax((t - c') / tau'_t)     P_s = softmax(s / tau_s)

        patches: mean over global views of the mean over hidden patches of -sum over k of P'_t log P_s   (equation 2)
        views:   mean over pairs of a global view and another view of -sum over k of P_t log P_s         (equation 3)
        loss = patches + views

    In the first both are of the same patch of the same view, in the second the student's views are those with hidden
    patches, and the local ones. A view of which nothing is hidden counts with 0 in the first, as in the published code.
    After every batch both centres follow the mean over views, and over patches, of the global batch. The teacher is the
    network that is evaluated and continued from. The published code clips gradients at 3, which
    `trainer.gradient_clip_val` does.

    Watch `train/information` and `train/patch_information`, the nats that the teacher's outputs say about views and
    hidden patches, 0 in either collapse; `train/teacher_entropy` and `train/patch_entropy` are ln K where all outputs
    are alike, 0 where one output takes all. Of a vision transformer that pools its class token,
    figures/attention.png shows where the heads of its last layer look.

    Args:
        encoder: The network to pretrain, a bidirectional transformer.
        views: Makes the views of each example; `MultiCrop` makes local ones besides, of which nothing is hidden.
        masking: What is hidden of a global view; None takes blocks that make up 0.1 to 0.5 of it.
        masked_views: Part of the global views of which something is hidden, in (0, 1].
        student_temperature: What the student's logits are divided by, tau_s.
        teacher_temperature: What the teacher's logits of views are divided by, at the start and at the end of its rise.
        patch_temperature: What the teacher's logits of patches are divided by, at the start and at the end of its rise.
        temperature_rise: Part of the run over which both of the teacher's temperatures rise, along a line.
        centre_momentum: Momentum of the teacher's centres, in [0, 1).
        momentum: Momentum of the teacher at the start, which rises to 1; shorter runs than the paper's need less.
        prototypes: Number of outputs, K; small batches need fewer than the paper's.
        freeze_prototypes: Part of the run in which the prototypes are not trained, in [0, 1); the paper's is an epoch.
        projection_hidden: Hidden width of the head's three layers.
        projection_dim: Size of the vectors that are compared with the prototypes.
        optimizer: Settings of the optimizer, of the learning rate and of the weight decay over the run.

    Raises:
        InputError: the encoder is causal, its vectors cannot be replaced, or an argument is out of its range.
    """

    centre: Tensor
    patch_centre: Tensor
    evaluated = "teacher_encoder.module"
    both_sides = True

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        masking: Masking | None = None,
        masked_views: float = 0.5,
        student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.07),
        patch_temperature: tuple[float, float] = (0.04, 0.07),
        temperature_rise: float = 0.3,
        centre_momentum: float = 0.9,
        momentum: float = 0.996,
        prototypes: int = 8192,
        freeze_prototypes: float = 0.01,
        projection_hidden: int = 2048,
        projection_dim: int = 256,
        optimizer: Optimizer = Optimizer(learning_rate=5e-4, weight_decay=0.04, final_weight_decay=0.4),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_maskable(encoder, "iBOT")
        require_both_sides(encoder, "iBOT")
        require_positive("student_temperature", student_temperature)
        require_range("teacher_temperature", teacher_temperature)
        require_range("patch_temperature", patch_temperature)
        require_at_least("prototypes", prototypes, 2)
        require_positive("masked_views", masked_views)
        for name, value in (
            ("masked_views", masked_views),
            ("temperature_rise", temperature_rise),
            ("centre_momentum", centre_momentum),
            ("freeze_prototypes", freeze_prototypes),
        ):
            require_probability(name, value)
        self.views = views
        self.masking = RandomBlocks(0.3, spread=0.2) if masking is None else masking
        self.masked_views = masked_views
        self.student_temperature, self.centre_momentum = student_temperature, centre_momentum
        self.teacher_temperature = partial(along_line, *teacher_temperature, temperature_rise)
        self.patch_temperature = partial(along_line, *patch_temperature, temperature_rise)
        self.freeze_prototypes = freeze_prototypes
        self.mask_vector = nn.Parameter(torch.zeros(encoder.dim))
        sizes = (encoder.dim, projection_hidden, projection_hidden, projection_dim)
        self.head = nn.Sequential(
            mlp(*sizes, norm=False, activation=nn.GELU),
            Prototypes(projection_dim, prototypes),
        )
        schedule = partial(cosine_momentum, momentum)
        self.teacher_encoder, self.teacher_head = (Teacher(each, schedule) for each in (encoder, self.head))
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("patch_centre", torch.zeros(prototypes))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and its two terms, and of either the entropy of the teacher's outputs and what they say."""
        (whole, *local), examples = self.make_crops(batch), len(batch.index)
        encoded, hidden = self.with_hidden(batch, whole)
        pooled = torch.cat([encoded.pooled, *(self.encoder(*views).pooled for views in local)])
        student = self.head(pooled).unflatten(0, (-1, examples))
        at_hidden = self.head(hidden.at(encoded.sequence).flatten(0, 1)).unflatten(0, hidden.positions.shape)

        seen = self.teacher_encoder(*whole)
        logits = self.teacher_head(seen.pooled).unflatten(0, (-1, examples))
        patches = self.teacher_head(seen.sequence.flatten(0, 1)).unflatten(0, seen.sequence.shape[:2])
        every = torch.ones(logits.shape[:2], device=logits.device)
        real = all_real(seen.sequence, seen.mask).float()
        self._fresh = torch.stack([_sum_and_count(logits, every), _sum_and_count(patches, real)])
        teacher = ((logits - self.centre) / self.teacher_temperature(self.progress)).softmax(-1)
        wanted = ((hidden.at(patches) - self.patch_centre) / self.patch_temperature(self.progress)).softmax(-1)

        of_views = cross_view_entropy(student, teacher, self.student_temperature)
        of_patches = hidden_entropy(at_hidden, wanted, hidden.valid, self.student_temperature)
        uncertain, information = _choices(teacher, every)
        patch_entropy, patch_information = _choices(wanted, hidden.valid.float())
        return {
            "loss": of_views + of_patches,
            "view_loss": of_views,
            "patch_loss": of_patches,
            "teacher_entropy": uncertain,
            "information": information,
            "patch_entropy": patch_entropy,
            "patch_information": patch_information,
        }

    def with_hidden(self, batch: Batch, whole: Viewed) -> tuple[Encoded, Hidden]:
        """What the student makes of the global views, and what is hidden of them, ``(V B, ...)`` each.

        Args:
            batch: the examples ``(B, ...)``.
            whole: the global views of them ``(V B, ...)``.
        """
        embedded = self.encoder.embed(*whole)
        real, keys = all_real(embedded.vectors, embedded.mask), self.keys(batch)
        keys = torch.cat([fold_in(keys, VIEW + view) for view in range(len(whole.inputs) // len(keys))])
        hidden = self.masking(real, fold_in(keys, WHERE), self.encoder.grid(whole.inputs))
        some = uniform(fold_in(keys, WHETHER), 1) < self.masked_views
        hidden = Hidden(hidden.mask & some, hidden.positions, hidden.valid & some)
        return self.encoder.contextualize(hidden.replace(embedded, self.mask_vector)), hidden

    def on_after_backward(self) -> None:
        """The centres follow, after training batches only: what a loss has subtracted is that of the batches before."""
        everywhere = all_gather(self._fresh[None]).sum(0)
        for centre, sums in zip((self.centre, self.patch_centre), everywhere, strict=True):
            centre.lerp_(sums[:-1] / sums[-1], 1 - self.centre_momentum)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Where the heads of the teacher's last layer look, if it is a vision transformer with a class token."""
        return {**attention_pictures(self.teacher_encoder.module, batch.inputs)}

    def late_parts(self) -> list[tuple[nn.Module, float]]:
        """The prototypes."""
        return [(self.head[-1], self.freeze_prototypes)] if self.freeze_prototypes else []

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A teacher that gives all examples, or all places, the same outputs, whichever way it came to that."""
        most = math.log(len(self.centre))
        return [*super().alarms(batch_size), silent_teacher(most), silent_teacher(most, at_places=True)]


def _sum_and_count(vectors: Tensor, weights: Tensor) -> Tensor:
    """``(K + 1,)`` float32, the weighted sum of vectors ``(A, B, K)``, and that of their weights ``(A, B)``."""
    with torch.autocast(vectors.device.type, enabled=False):
        return torch.cat([weights.flatten() @ vectors.float().flatten(0, 1), weights.sum()[None]])


def _choices(probabilities: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean entropy of the teacher's choices over the global batch, and what they say about what they are made for.

    Args:
        probabilities: ``(A, B, K)``.
        weights: ``(A, B)``, which of them count.
    """
    uncertain = global_mean(entropy(probabilities), weights).value
    sums = all_gather(_sum_and_count(probabilities, weights)[None]).sum(0)
    return uncertain, entropy(sums[:-1] / sums[-1].clamp_min(1)) - uncertain
