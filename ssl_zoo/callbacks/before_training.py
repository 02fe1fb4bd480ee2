"""What would spoil a run without a word is found before its first step."""

import lightning as L
from torch import nn

from ssl_zoo.data.base import data_of
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import batches_per_epoch, total_steps


class BeforeTraining(L.Callback):
    """Refuses settings that only the data, the method and the Trainer together show to be wrong."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks at the batch and at how many there are.

        Raises:
            InputError: a contrastive loss would have nothing to contrast, or an epoch would end within an optimizer
                step.
        """
        assert isinstance(pl_module, Method), "ssl_zoo trains methods"
        data = data_of(trainer)
        compares = any(
            isinstance(module, nn.BatchNorm1d) for module in pl_module.modules()
        )  # its head, vector by vector
        if data.batch_size == 1 and (compares or pl_module.has_no_negatives(1)):
            raise InputError(
                f"data.batch_size is 1, but {type(pl_module).__name__} compares the examples of a batch and can learn "
                "nothing from one alone: make it at least 2."
            )
        # A run of less steps than lie between two lines of the log has its one line at its end.
        shortest = max(1, min(trainer.log_every_n_steps, total_steps(trainer)))  # type: ignore[attr-defined]  # Lightning sets it
        trainer.log_every_n_steps = shortest  # type: ignore[attr-defined]  # Lightning sets it where mypy does not see
        accumulated, batches = trainer.accumulate_grad_batches, batches_per_epoch(trainer)
        reached = 0 <= trainer.max_steps * accumulated <= batches  # the run ends before its first epoch does
        if batches % accumulated and not reached:
            whole = batches - batches % accumulated
            advice = f"set trainer.limit_train_batches to {whole} (the next epoch goes on where it stops)"
            raise InputError(
                f"trainer.accumulate_grad_batches is {accumulated}, but an epoch has {batches} batches: its last step "
                f"would be of {batches % accumulated} alone, with a gradient as much smaller; "
                f"{advice if whole else 'accumulate fewer, or make data.batch_size smaller'}."
            )
