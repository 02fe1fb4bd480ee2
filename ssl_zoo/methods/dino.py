"""DINO: a student predicts from crops of all sizes which outputs a slowly moving teacher chooses for large ones."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.self_distillation import cross_view_entropy, entropy
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, silent_teacher
from ssl_zoo.parts.attention_maps import attention_pictures
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.prototypes import Prototypes
from ssl_zoo.parts.teacher import Teacher, cosine_momentum
from ssl_zoo.schedules import along_line
from ssl_zoo.views.base import Views, require_at_least, require_positive, require_probability, require_range


class DINO(Method):
    """Self-distillation with no labels (Caron et al., 2021, arXiv:2104.14294, algorithm 1).

    Encoder and head give every view of an example K logits, s those of the student and t those of the teacher, a copy
    that follows it: t <- m t + (1 - m) s in all weights after every step, m rising from `momentum` to 1 along a cosine.
    The teacher sees the global views, the student these and the local ones. With c the teacher's centre, over all pairs
    of a global view x and another view x' of the same example (equation 3):

        P_t = softmax((t(x) - c) / tau_t)     P_s = softmax(s(x') / tau_s)     loss = mean of -sum over k of P_t log P_s

    After every batch c <- `centre_momentum` c + (1 - `centre_momentum`) mean of t over the global batch (equation 4).
    Centring alone leads to the same probability for all outputs, the low temperature of the teacher alone to one output
    for all examples; together they avoid both. No gradient reaches the teacher, which is the network that is evaluated
    and continued from.

    The logits are cosines with K prototypes, which stand still in the first part of the run. Give a transformer
    `positions` that suit crops of other sizes: those of a ViT are interpolated, as in the published code. That clips
    gradients at 3, which `trainer.gradient_clip_val` does.

    Watch `train/information`, the nats that the teacher's outputs say about the examples, 0 in either collapse, and
    `train/teacher_entropy`: ln K where all outputs are alike, 0 where one output takes all. Of a
    vision transformer that pools its class token, figures/attention.png shows where the heads of its last layer look.

    Args:
        encoder: The network to pretrain.
        views: Makes the views of each example; `MultiCrop` makes local ones besides.
        student_temperature: What the student's logits are divided by, tau_s.
        teacher_temperature: What the teacher's logits are divided by, tau_t, at the start and at the end of its rise.
        temperature_rise: Part of the run over which the teacher's temperature rises, along a line.
        centre_momentum: Momentum of the teacher's centre, in [0, 1).
        momentum: Momentum of the teacher at the start, m, which rises to 1; the paper takes 0.996 over 100 epochs and
            more, shorter runs need less.
        prototypes: Number of outputs, K; small batches need fewer than the paper's.
        freeze_prototypes: Part of the run in which the prototypes are not trained, in [0, 1); the paper's is an epoch.
        projection_hidden: Hidden width of the head's three layers.
        projection_dim: Size of the vectors that are compared with the prototypes.
        optimizer: Settings of the optimizer, of the learning rate and of the weight decay over the run.

    Raises:
        InputError: an argument is out of its range.
    """

    centre: Tensor
    evaluated = "teacher_encoder.module"

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.07),
        temperature_rise: float = 0.3,
        centre_momentum: float = 0.9,
        momentum: float = 0.996,
        prototypes: int = 65536,
        freeze_prototypes: float = 0.01,
        projection_hidden: int = 2048,
        projection_dim: int = 256,
        optimizer: Optimizer = Optimizer(learning_rate=5e-4, weight_decay=0.04, final_weight_decay=0.4),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_positive("student_temperature", student_temperature)
        require_range("teacher_temperature", teacher_temperature)
        require_at_least("prototypes", prototypes, 2)
        for name, value in (
            ("temperature_rise", temperature_rise),
            ("centre_momentum", centre_momentum),
            ("freeze_prototypes", freeze_prototypes),
        ):
            require_probability(name, value)
        self.views = views
        self.student_temperature, self.centre_momentum = student_temperature, centre_momentum
        self.teacher_temperature = partial(along_line, *teacher_temperature, temperature_rise)
        self.freeze_prototypes = freeze_prototypes
        sizes = (encoder.dim, projection_hidden, projection_hidden, projection_dim)
        self.head = nn.Sequential(
            mlp(*sizes, norm=False, activation=nn.GELU),
            Prototypes(projection_dim, prototypes),
        )
        schedule = partial(cosine_momentum, momentum)
        self.teacher_encoder, self.teacher_head = (Teacher(each, schedule) for each in (encoder, self.head))
        self.register_buffer("centre", torch.zeros(prototypes))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, the mean entropy of the teacher's outputs, and what they say about the examples."""
        crops, examples = self.make_crops(batch), len(batch.index)
        student = torch.cat([self.head(self.encoder(*views).pooled) for views in crops]).unflatten(0, (-1, examples))
        logits = self.teacher_head(self.teacher_encoder(*crops[0]).pooled).unflatten(0, (-1, examples))
        teacher = ((logits - self.centre) / self.teacher_temperature(self.progress)).softmax(-1)
        self._fresh = logits.mean((0, 1))
        uncertain = entropy(teacher).mean()
        used = all_gather(teacher.mean((0, 1))[None]).mean(0)
        return {
            "loss": cross_view_entropy(student, teacher, self.student_temperature),
            "teacher_entropy": uncertain,
            "information": entropy(used) - uncertain,
        }

    def on_after_backward(self) -> None:
        """The centre follows, after training batches only: what a loss has subtracted is that of the batches before."""
        fresh = all_gather(self._fresh[None]).mean(0)
        self.centre.lerp_(fresh, 1 - self.centre_momentum)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Where the heads of the teacher's last layer look, if it is a vision transformer with a class token."""
        return {**attention_pictures(self.teacher_encoder.module, batch.inputs)}

    def late_parts(self) -> list[tuple[nn.Module, float]]:
        """The prototypes."""
        return [(self.head[-1], self.freeze_prototypes)] if self.freeze_prototypes else []

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A teacher that gives all examples the same outputs, whichever way it came to that."""
        return [*super().alarms(batch_size), silent_teacher(math.log(len(self.centre)))]
