"""What would spoil a run without a word is found before its first step."""

import lightning as L
from torch import nn

from ssl_zoo.data.base import data_of
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import batches_per_epoch, total_steps


class BeforeTraining(L.Callback):
    """Refuses settings that only the data, the method and the Trainer together show to be wrong."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Asks the method whether it can work with such texts, before anything is written.

        Raises:
            InputError: it cannot.
        """
        assert isinstance(pl_module, Method), "ssl_zoo trains methods"
        tokens = data_of(trainer).tokens() if stage == "fit" else None
        if tokens is not None:
            pl_module.check_texts(tokens.length, tokens.packed)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks at the batch and at how many there are.

        Raises:
            InputError: a contrastive loss would have nothing to contrast, an epoch has no batch, is over before it
                would be validated, or would end within an optimizer step.
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
        if batches == 0:
            raise InputError(
                f"trainer.limit_train_batches is {trainer.limit_train_batches}, which leaves no batch of an epoch to "
                "train on: give at least 1, or leave it out."
            )
        _check_validation(trainer, batches)
        reached = 0 <= trainer.max_steps * accumulated <= batches  # the run ends before its first epoch does
        if batches % accumulated and not reached:
            whole = batches - batches % accumulated
            advice = f"set trainer.limit_train_batches to {whole} (the next epoch goes on where it stops)"
            raise InputError(
                f"trainer.accumulate_grad_batches is {accumulated}, but an epoch has {batches} batches: its last step "
                f"would be of {batches % accumulated} alone, with a gradient as much smaller; "
                f"{advice if whole else 'accumulate fewer, or make data.batch_size smaller'}."
            )


def _check_validation(trainer: L.Trainer, batches: int) -> None:
    """Raises `InputError` where validation takes no batch, or no epoch of so many gets as far as to be validated."""
    part, held_out = trainer.limit_val_batches, len(data_of(trainer).val_dataloader())
    if isinstance(part, float) and part > 0 and held_out and int(part * held_out) == 0:
        raise InputError(
            f"trainer.limit_val_batches is {part}, which leaves none of the {held_out} batches of validation data: "
            "give at least 1, or 0 to validate never."
        )
    interval = getattr(trainer, "val_check_interval", None)  # which a Trainer lacks where it is a time
    counts_epochs = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches > 0
    if counts_epochs and isinstance(interval, int) and interval > batches:
        raise InputError(
            f"trainer.val_check_interval is {interval}, but an epoch has {batches} batches: set "
            f"trainer.check_val_every_n_epoch to null to validate after every {interval} batches of the run, or "
            f"trainer.val_check_interval to {batches} or less."
        )
