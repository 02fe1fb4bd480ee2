"""The loggers of a run that settings name: prepared before they are built."""

from pathlib import Path

from jsonargparse import Namespace

from ssl_zoo.tracking.tensorboard import prepare_tensorboard
from ssl_zoo.tracking.wandb import prepare_wandb


def prepare_loggers(config: Namespace, directory: Path, job_type: str, steps_kept: int | None) -> None:
    """Gives Weights & Biases and TensorBoard the run's folder and names.

    Args:
        config: settings of a command that trains, changed in place.
        directory: folder of the run.
        job_type: name of the command.
        steps_kept: steps of a run that goes on whose numbers stay; None for a new one.
    """
    trainer = config.trainer
    loggers = trainer.logger
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if isinstance(logger, Namespace) and logger.class_path.endswith("WandbLogger"):
            kept = not trainer.fast_dev_run  # which leaves nothing behind
            prepare_wandb(logger.init_args, directory, config.experiment, job_type, kept)
        elif isinstance(logger, Namespace) and logger.class_path.endswith("tracking.tensorboard.TensorBoard"):
            prepare_tensorboard(logger.init_args, directory, steps_kept)
    if isinstance(loggers, list):  # an overlay that is given again, as to a run that is resumed, is the same logger
        trainer.logger = [each for place, each in enumerate(loggers) if each not in loggers[:place]]
