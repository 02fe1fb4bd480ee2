"""Is the representation alive? Label-free figures at every validation."""

from typing import Any

import lightning as L
import torch
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.distributed import gather_examples
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.probes.health import FIGURES


class Health(L.Callback):
    """Logs RankMe, std, alignment, uniformity and the like of the representation at every validation.

    They are of the examples of all processes, and the same on any number of them. A method may have figures of its own
    beside those of `ssl_zoo.probes.health.FIGURES`.

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
                            pl_module.encode(batch._replace(inputs=view.inputs, mask=view.mask)).pooled.float()
                            for view in views.chunk(pl_module.views.views_per_example)[:2]
                        ]
                    )
                )

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the figures."""
        assert isinstance(pl_module, Method)
        if self._index and not trainer.sanity_checking:
            index = torch.cat(self._index)
            (vectors,) = gather_examples(index, torch.cat(self._vectors))
            figures = {name: each.measure(vectors) for name, each in FIGURES.items() if not each.of_pairs}
            if self._pairs:
                pairs = gather_examples(index, *torch.cat(self._pairs, dim=1))
                figures |= {name: each.measure(*pairs) for name, each in FIGURES.items() if each.of_pairs}
            with torch.no_grad():
                figures |= pl_module.health(vectors)
            pl_module.log_dict({f"{metrics.HEALTH}/{name}": value for name, value in figures.items()}, sync_dist=True)
        self._vectors, self._pairs, self._index = [], [], []
