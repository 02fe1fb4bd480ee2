"""What every self-supervised method shares: optimization, logging, and what probes see."""

from abc import ABC, abstractmethod
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from ssl_zoo import metrics, optim
from ssl_zoo.batch import Batch
from ssl_zoo.encoders.auxiliary import with_auxiliary
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.encoders.weights import source_of, write_down
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import logs_now, trainer_of
from ssl_zoo.mixed_precision import precision_for
from ssl_zoo.optim import Optimizer
from ssl_zoo.own_code import require_said
from ssl_zoo.parts.alarms import Alarm, collapsed_representation, loss_at_chance, one_expert
from ssl_zoo.parts.freezing import drop_gradients, require_heads, stand_still, steps_frozen
from ssl_zoo.parts.refit import Refit
from ssl_zoo.parts.teacher import Teacher
from ssl_zoo.parts.texts import Texts
from ssl_zoo.randomness import example_keys
from ssl_zoo.rebuilding import Rebuildable, keep_settings
from ssl_zoo.views.base import Viewed, Views, require_difference


class Method(Rebuildable, L.LightningModule, ABC):
    """A self-supervised method: an encoder, and a loss that needs no labels.

    A subclass writes `losses`, and says in its docstring which paper it follows, its loss as an equation, and what to
    watch while it trains.

    Args:
        encoder: The network to pretrain.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Attributes:
        evaluated: Name of the part that `encode` asks and that other runs continue from: `encoder`, or where the paper
            evaluates a teacher, such as `teacher.module`, that.
        both_sides: Whether it refuses causal encoders; said of the class, to be known before data is read.
        pictured: Number of validation examples, at most, that `pictures` is given.

    Raises:
        InputError: the encoder lacks attributes that every encoder has, or layers are to be trained at rates of their
            own, and the encoder cannot say what its layers are.
    """

    views: Views | None
    noise_seed: Tensor
    evaluated: str = "encoder"
    both_sides: bool = False
    pictured: int = 12
    _total_steps: int | None = None  # as a `configure_optimizers` of a subclass's own leaves it
    _steps_frozen: int = 0

    def __init__(self, encoder: Encoder, optimizer: Optimizer = Optimizer()) -> None:
        super().__init__()
        require_said(encoder, Encoder)
        keep_settings(self, self.save_hyperparameters, logger=False)
        write_down(self.hparams.get("encoder") or {}, encoder.settings)  # the command line has no more than names
        self.encoder, self.views, self.optimizer = encoder, None, optimizer
        if optimizer.layer_decay != 1:
            optim.depths_from_top(encoder)  # an encoder that cannot say is refused before the data is read
        # Drawn from the run's seed and kept in the checkpoint: a resumed run goes on with the same noise.
        self.register_buffer("noise_seed", torch.randint(2**62, ()))

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and what else deserves a curve.

        The encoder computes in the Trainer's precision and gives float32; everything else here is float32, unless
        `ssl_zoo.mixed_precision.heads_in_mixed_precision` is written above it.

        Args:
            batch: a batch with `labels` None.

        Returns:
            Scalars by name; "loss" is minimised, everything is logged.
        """

    def losses_in_precision(self, batch: Batch) -> dict[str, Tensor]:
        """`losses` of a batch without its labels, in the precision that they need, with those of auxiliary parts.

        Args:
            batch: a batch on the method's device.
        """
        with precision_for(self.losses, self.device.type):
            return with_auxiliary(self, lambda: self.losses(batch._replace(labels=None)))

    def encode(self, batch: Batch, layers: bool = False) -> Encoded:
        """What probes see: the encoder's vectors, the pooled ones as the paper wants them.

        Args:
            batch: a batch on the method's device.
            layers: also what enters the encoder's first layer and what each layer gives.
        """
        return self.get_submodule(self.evaluated)(batch.inputs, batch.mask, layers=layers)

    @property
    def continues_from(self) -> str | None:
        """The name, folder or file of the published weights that the encoder began with; None where it had none."""
        return source_of(self.encoder.settings["init_args"].get("pretrained"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Says which of the encoders in it is the one to continue from."""
        checkpoint["evaluated"] = self.evaluated

    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """What a person can look at of what it has learnt, drawn when training ends; nothing unless a method says so.

        Args:
            batch: `pictured` validation examples at most.

        Returns:
            By file name, images ``(N, C, H, W)`` in [0, 1], how many of them make a row, and, where that says
            something, what the rows are called.
        """
        return {}

    def texts(self, batch: Batch) -> Texts | None:
        """What a person can read of what it has learnt, when training ends; None unless a method writes tokens.

        A method whose `predict_step` returns `Texts` has them written to a file, too.

        Args:
            batch: a few validation examples.
        """
        return None

    def alarms(self, batch_size: int) -> list[Alarm]:
        """What its logged numbers say when it learns nothing, in batches of this size over all processes."""
        chance = self.chance_loss(batch_size)
        return [collapsed_representation(), *one_expert(self), *([] if chance is None else [loss_at_chance(chance)])]

    def health(self, vectors: Tensor) -> dict[str, Tensor]:
        """Figures of its own beside those of every representation, at every validation; none unless it has some.

        Args:
            vectors: ``(N, D)`` float32 pooled vectors of validation examples, of all processes.

        Returns:
            Scalars by name; `active_units` is logged as `health/active_units`.
        """
        return {}

    def chance_loss(self, batch_size: int) -> float | None:
        """The loss of an encoder that ignores its input, in a global batch of this size; None if unknown."""
        return None

    def has_no_negatives(self, batch_size: int) -> bool:
        """Whether the loss contrasts examples of a batch, which with this size over all processes has no others."""
        return self.chance_loss(batch_size) == 0  # guessing costs nothing where there is one answer

    def after_step(self) -> None:
        """Called after every optimizer step: every `Teacher` in the method follows its student."""
        for module in self.modules():
            if isinstance(module, Teacher):
                module.follow(self.progress)

    def check_texts(self, length: int, packed: bool) -> None:
        """Raise `InputError` where rows of at most so many tokens cannot work, or single documents (not `packed`)."""
        self.encoder.check_longest(length)  # or a run on single documents would end where one is too long

    def refits(self) -> list[Refit]:
        """What is still to be fitted to the training data as a whole, and when; nothing unless a method says so."""
        return []

    def steady_parts(self) -> list[nn.Module]:
        """Parts whose learning rate neither warms up nor decays; none unless the paper says so."""
        return []

    def late_parts(self) -> list[tuple[nn.Module, float]]:
        """Parts that stand still at first, and the part of the run until then; none unless the paper says so."""
        return []

    @property
    def progress(self) -> float:
        """The part of the run that is over, in [0, 1], which schedules are functions of; 1 outside of training."""
        if not self.training or trainer_of(self) is None:
            return 1.0
        if self._total_steps is None:
            self._total_steps = optim.total_steps(self.trainer)
        return min(1.0, self.global_step / self._total_steps)

    def keys(self, batch: Batch) -> Tensor:
        """``(B,)`` int64 random keys of this step's examples; in validation they are the same at every step."""
        return example_keys(self.noise_seed, self.global_step + 1 if self.training else 0, batch.index)

    def make_views(self, batch: Batch) -> Viewed:
        """Every example's first view, then every example's second view, and so on; the encoder takes them by ``*``.

        Raises:
            InputError: the batch is padded and the views take no padding, or nothing makes them differ.
        """
        assert self.views is not None
        require_difference(self.views, self.encoder)
        return self.views.of(batch, self.keys(batch))

    def make_crops(self, batch: Batch) -> list[Viewed]:
        """What `make_views` gives, then any smaller views, one size after the other, as encoders take them."""
        smaller = [] if self.views is None else self.views.smaller(batch, self.keys(batch))
        return [self.make_views(batch), *smaller]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on a batch stripped of its labels."""
        terms = self.losses_in_precision(batch)
        # Lightning drops what is logged in between, but not before it has cost a small network a third of its time.
        if logs_now(self.trainer):
            self._log(terms, metrics.TRAIN, batch)
            self.log(metrics.LEARNING_RATE, self.trainer.optimizers[0].param_groups[0]["lr"])
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The same losses on held-out data; returns its representations, for probes and health callbacks.

        Raises:
            InputError: the run has diverged: its representations, or its loss, are not finite numbers.
        """
        loss = self._log_losses(batch, metrics.VALIDATION)
        vectors = self.encode(batch).pooled.float()
        for values, what in ((vectors, "vectors are not finite numbers"), (loss, "loss is not a finite number")):
            if values is not None and not values.isfinite().all():
                where = f"{type(self).__name__} has diverged: after {self.global_step} steps its {what}."
                raise InputError(f"{where} {optim.advice_on_divergence(self.optimizer)}")
        return vectors

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same losses on test data."""
        self._log_losses(batch, metrics.TEST)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor | Texts:
        """``(B, D)`` float32 representations; of a method that writes, texts."""
        return self.encode(batch).pooled.float()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, and its learning rate over the run."""
        self._total_steps = optim.total_steps(self.trainer)
        self._steps_frozen = steps_frozen(self.optimizer.freeze_encoder, self._total_steps)
        if self._steps_frozen:
            require_heads(self, self.encoder, self.optimizer.freeze_encoder)
        optimizer = optim.make_optimizer(self.optimizer, self, self.steady_parts(), bool(self.late_parts()))
        schedule = optim.scheduled(optimizer, self.optimizer, self._total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Holds the encoder's batch norms for as long as `optimizer.freeze_encoder` says."""
        if self._steps_frozen:
            stand_still(self, self.global_step < self._steps_frozen)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Keeps the encoder where it is meanwhile, and what is trained later; gradients are clipped after this."""
        if self.global_step < self._steps_frozen:
            drop_gradients(self.encoder)
        for part, until in self.late_parts():
            if self.progress < until:
                drop_gradients(part)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's step, then `after_step`; accumulated batches count as one."""
        super().optimizer_step(*args, **kwargs)
        self.after_step()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips as the Trainer's settings say, which Lightning refuses for fused optimizers in mixed precision."""
        if gradient_clip_val is None:
            return
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:  # scaled gradients: refused with reason
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def _log_losses(self, batch: Batch, stage: str) -> Tensor | None:
        """The loss; None of a last batch of one example that has nothing to be contrasted with: 0 is no loss then."""
        if self.has_no_negatives(len(batch.index) * self.trainer.world_size):
            return None
        self._log(terms := self.losses_in_precision(batch), stage, batch)
        return terms["loss"]

    def _log(self, terms: dict[str, Tensor], stage: str, batch: Batch) -> None:
        self.log_dict(
            {f"{stage}/{name}": value for name, value in terms.items()},
            batch_size=len(batch.index),
            sync_dist=True,  # a rank's loss is that of its part of the global batch
            prog_bar=stage == metrics.TRAIN,
        )
