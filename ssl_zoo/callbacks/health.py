"""Is the representation alive? Label-free figures, and a plain warning when it is not."""

from collections import deque
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.distributed import gather_examples
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import total_steps
from ssl_zoo.parts.spread import feature_std
from ssl_zoo.probes.health import alignment, rank_me, uniformity

# A constant representation has scaled std 0, an even spread 1.
COLLAPSED_STD = 0.01
# Projections collapse first, and the representation may outlive them for a while: whatever it is then, it learns
# nothing any more.
COLLAPSED_PROJECTION_STD = 0.05
# Share of the chance loss above which nothing has been learnt; InfoNCE at a high temperature never falls far below it.
AT_CHANCE = 0.995
# Part of the run, and steps, before which a method may still be finding its feet.
PATIENCE, PATIENCE_STEPS = 0.2, 50
# Losses whose mean is compared with chance: enough to even out the batches, and of the present.
RECENT = 1000


def too_early(trainer: L.Trainer) -> bool:
    """Whether a method may still be finding its feet."""
    return trainer.global_step < max(PATIENCE_STEPS, PATIENCE * total_steps(trainer))


class Health(L.Callback):
    """Logs RankMe, std, alignment and uniformity of the representation at every validation.

    They are of the examples of all processes, and the same on any number of them. After a fifth of the run, warns once
    each when the representation or the projections have collapsed, and when the training loss still sits where an
    encoder that ignores its input would be.

    Args:
        examples: the most validation examples to measure on.

    Raises:
        InputError: `examples` is too few for any of the figures.
    """

    def __init__(self, examples: int = 2048) -> None:
        if examples < 2:
            raise InputError(f"health.examples is {examples}: it must be at least 2, as the figures compare examples.")
        self.examples = examples
        self._vectors: list[Tensor] = []
        self._pairs: list[Tensor] = []
        self._index: list[Tensor] = []
        self._losses: deque[tuple[Tensor, int]] = deque(maxlen=RECENT)
        self._warned: set[str] = set()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Remembers the loss; reading its value here would make the device wait."""
        # Lightning hands over what it has divided for the sum over accumulated batches.
        self._losses.append((outputs["loss"].detach(), trainer.accumulate_grad_batches))
        self._global_batch = len(batch.index) * trainer.world_size

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects representations, and those of two views where the method has views."""
        assert isinstance(pl_module, Method)
        if sum(map(len, self._index)) * trainer.world_size >= self.examples:
            return
        self._vectors.append(outputs)
        self._index.append(batch.index)
        if pl_module.views is not None:
            with trainer.precision_plugin.forward_context(), torch.no_grad():
                views = pl_module.make_views(batch)
                self._pairs.append(
                    torch.stack(
                        [
                            pl_module.encode(batch._replace(inputs=view)).pooled.float()
                            for view in views.chunk(pl_module.views.views_per_example)[:2]
                        ]
                    )
                )

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the figures and warns."""
        assert isinstance(pl_module, Method)
        if trainer.sanity_checking:
            self._vectors, self._pairs, self._index = [], [], []
            return
        if self._index:
            self._check_vectors(trainer, pl_module)
        if too_early(trainer):
            self._losses.clear()
        else:
            self._check_loss(pl_module, trainer.callback_metrics.get(metrics.CONTRASTIVE))

    def _check_vectors(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        index = torch.cat(self._index)
        (vectors,) = gather_examples(index, torch.cat(self._vectors))
        figures = {
            metrics.HEALTH_RANK: rank_me(vectors),
            metrics.HEALTH_STD: feature_std(vectors),
            metrics.HEALTH_UNIFORMITY: uniformity(vectors),
        }
        if self._pairs:
            figures[metrics.HEALTH_ALIGNMENT] = alignment(*gather_examples(index, *torch.cat(self._pairs, dim=1)))
        self._vectors, self._pairs, self._index = [], [], []
        pl_module.log_dict(figures, sync_dist=True)
        if too_early(trainer):
            return
        if figures[metrics.HEALTH_STD] < COLLAPSED_STD:
            self._warn(
                "collapse",
                f"The representation has collapsed: all examples get nearly the same vector ({metrics.HEALTH_STD} is "
                f"{float(figures[metrics.HEALTH_STD]):.4f}, 1 is an even spread). Look at the learning rate and at "
                "what keeps this method from the constant solution.",
            )
        projection_std = trainer.callback_metrics.get(metrics.PROJECTION_STD)
        if projection_std is not None and projection_std < COLLAPSED_PROJECTION_STD:
            self._warn(
                "collapsed projections",
                f"The projections have collapsed: all examples get nearly the same one ({metrics.PROJECTION_STD} is "
                f"{float(projection_std):.4f}, 1 is an even spread), so the loss teaches nothing. Look at the "
                "predictor, the stop-gradient, the momentum and the learning rate.",
            )

    def _check_loss(self, method: Method, contrastive: Tensor | None) -> None:
        if not self._losses:
            return
        losses = torch.stack([loss * accumulated for loss, accumulated in self._losses])
        loss = float(losses.mean() if contrastive is None else contrastive)
        self._losses.clear()
        chance = method.chance_loss(self._global_batch)
        if chance is not None and loss > AT_CHANCE * chance:
            self._warn(
                "chance",
                f"The training loss sits at chance: {loss:.3f}, where an encoder that ignores its input has "
                f"{chance:.3f}. Look at the learning rate, the temperature and the strength of the views.",
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            rank_zero_warn(message)
