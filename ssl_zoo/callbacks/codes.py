"""Do the targets of wav2vec 2.0 differ? A plain warning when they have become one."""

import lightning as L
from lightning.pytorch.utilities import rank_zero_warn

from ssl_zoo import metrics
from ssl_zoo.callbacks.health import too_early

# Share of the negatives that may be the same vector as the positive. With one code in use it is 1; with few codes,
# which is normal at the start of a run, a small part.
TOO_MANY_EQUAL = 0.5


class CodeHealth(L.Callback):
    """Warns once when most negatives are the positive itself, so that a low loss and a high accuracy mean nothing."""

    def __init__(self) -> None:
        self._warned = False

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks at the last logged training step."""
        known = trainer.callback_metrics
        equal = known.get(metrics.EQUAL_NEGATIVES)
        if trainer.sanity_checking or equal is None or equal < TOO_MANY_EQUAL or too_early(trainer) or self._warned:
            return
        self._warned = True
        perplexity = known.get(metrics.CODE_PERPLEXITY)
        if perplexity is None:
            rank_zero_warn(
                f"The targets have collapsed: {100 * float(equal):.0f} % of the negatives are the same vector as the "
                "positive, so the loss teaches nothing. Look at the learning rate, the front end and the waveforms, "
                "which may be silent."
            )
        else:
            rank_zero_warn(
                f"The codes have collapsed: {100 * float(equal):.0f} % of the negatives have the positive's code "
                f"({metrics.CODE_PERPLEXITY} is {float(perplexity):.1f}), so the loss teaches nothing. Raise "
                "diversity_weight, lower the learning rate, or set targets to continuous."
            )
