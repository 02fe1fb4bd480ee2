"""Does the code of a VAE carry anything? A figure, and a plain warning when it does not."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.health import too_early
from ssl_zoo.methods.vae import VAE
from ssl_zoo.objectives.elbo import active_units

# Share of the latent dimensions that must be active, and never fewer than one.
FEW = 0.05


class ActiveUnits(L.Callback):
    """Logs at every validation how many latent dimensions of a VAE distinguish examples; warns once when hardly any do.

    Args:
        examples: the most validation examples to measure on.
    """

    def __init__(self, examples: int = 2048) -> None:
        self.examples = examples
        self._vectors: list[Tensor] = []
        self._warned = False

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects the pooled vectors, from which the posterior is one linear layer away."""
        if isinstance(pl_module, VAE) and sum(map(len, self._vectors)) < self.examples:
            self._vectors.append(outputs)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the figure and warns."""
        if not isinstance(pl_module, VAE) or not self._vectors:
            return
        with torch.no_grad():
            active = active_units(pl_module.posterior_of(torch.cat(self._vectors))[0])
        self._vectors = []
        if trainer.sanity_checking:
            return
        pl_module.log(metrics.HEALTH_ACTIVE_UNITS, active, sync_dist=True)
        size = pl_module.decoder.latent_dim
        if active < max(1, FEW * size) and not too_early(trainer) and not self._warned:
            self._warned = True
            rank_zero_warn(
                f"The posterior has collapsed: {int(active)} of {size} latent dimensions distinguish examples; lower "
                "beta, warm it up over a larger part of the run (kl_warmup), or give every dimension free_bits."
            )
