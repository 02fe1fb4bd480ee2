"""What a run logs to TensorBoard, all of it within the run's own folder: curves, settings, pictures, texts, results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from ssl_zoo import metrics
from ssl_zoo.errors import InputError
from ssl_zoo.runs.files import CONFIG, RESULTS, SAMPLES
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.tracking.results import pictures_in, result_table, summary_of

FOLDER = "tensorboard"


class TensorBoard(TensorBoardLogger):
    """Lightning's logger, with pictures, and with a folder that nobody has to name.

    Args:
        save_dir: folder of the run, into which the command line puts its own; events lie in `tensorboard/` there.
        steps: optimizer steps after which a run goes on, which the command line knows: TensorBoard shows nothing of
            later ones, as they are done again.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, save_dir: str = ".", steps: int | None = None) -> None:
        check_tensorboard()
        super().__init__(save_dir, name="", version=FOLDER, default_hp_metric=False, purge_step=steps)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None) -> None:
        """Logs picture files.

        Args:
            key: name of the picture.
            images: paths of PNG files; of several each has its number in its name.
            step: optimizer step.
        """
        import numpy as np
        from PIL import Image

        for number, path in enumerate(images):
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            name = key if len(images) == 1 else f"{key}/{number}"
            self.experiment.add_image(name, pixels, step, dataformats="HWC")


def prepare_tensorboard(settings: Any, directory: Path, steps: int | None) -> None:
    """Lets a run log into its own folder, where TensorBoard is installed.

    Args:
        settings: arguments of the logger, by attribute.
        directory: folder of the run.
        steps: optimizer steps after which the run goes on; None for a new one.

    Raises:
        InputError: TensorBoard is not installed.
    """
    check_tensorboard()  # before the logger is built: among several, jsonargparse would bury its error
    settings.save_dir, settings.steps = str(directory), steps


def check_tensorboard() -> None:
    """Refuses to log to TensorBoard where it is missing.

    Raises:
        InputError: It is.
    """
    try:
        import tensorboard  # noqa: F401  # only whether it is there; torch's writer uses it
    except ImportError as error:
        raise InputError(
            "TensorBoard is not installed: install ssl_zoo[tensorboard], or run `uv run --extra tensorboard "
            "ssl-zoo fit ...`."
        ) from error


def tensorboard_loggers(trainer: L.Trainer) -> list[TensorBoard]:
    """The loggers of a trainer that write for TensorBoard."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoard)]


def log_to_tensorboard(trainer: L.Trainer, directory: Path) -> None:
    """Hands over what a run has left in its folder: pictures, texts, settings, the probes' results and what they cost.

    Args:
        trainer: the Trainer that has trained.
        directory: folder of the run.
    """
    for logger in tensorboard_loggers(trainer):
        writer, step = logger.experiment, trainer.global_step
        for name, path in pictures_in(directory).items():
            logger.log_image(name, [path], step)
        for name, file in (("settings", CONFIG), ("texts", SAMPLES)):
            if (directory / file).is_file():
                writer.add_text(name, _verbatim((directory / file).read_text(encoding="utf-8")), step)
        if (directory / RESULTS).is_file():
            result = read_result(directory)
            writer.add_text(metrics.RESULT_TABLE, _as_markdown(*result_table(result)), step)
            for name, value in summary_of(result).items():
                writer.add_scalar(name, value, step)
        writer.close()


def _verbatim(text: str) -> str:
    """Text that Markdown, as which TensorBoard shows texts, leaves alone."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _as_markdown(columns: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
