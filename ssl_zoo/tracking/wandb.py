"""What every run logs to Weights & Biases, under the same names: what it is, what counts of it, and what came of it."""

import shlex
import shutil
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from ssl_zoo import metrics
from ssl_zoo.data.base import data_of
from ssl_zoo.methods.base import Method
from ssl_zoo.runs.directory import say
from ssl_zoo.runs.files import CONFIG, LOCK, RESULTS
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.tracking.results import pictures_in, result_table, summary_of

FOLDER = "wandb"
# What a folder holds whose run was refused before its first step.
OF_A_START = {FOLDER, CONFIG, LOCK, "hparams.yaml"}  # the last is Lightning's


def has_wandb_key() -> bool:
    """Whether W&B knows who is logging, without asking; with `WANDB_MODE=offline` it need not."""
    import wandb

    try:
        return bool(wandb.login(prompt=False))
    except wandb.errors.UsageError:  # so wandb answers where there is no key
        return False


def wandb_id(directory: Path) -> str | None:
    """The id under which W&B knows a run from earlier starts; None where it does not know it.

    Args:
        directory: folder of the run.
    """
    newest = max(directory.glob("wandb/*run-*-*"), key=lambda path: path.stat().st_mtime, default=None)
    return None if newest is None else newest.name.split("-", 3 if newest.name.startswith("offline") else 2)[-1]


def prepare_wandb(settings: Any, directory: Path, experiment: str, job_type: str, kept: bool = True) -> None:
    """Gives every method's W&B run the same group, name and job type, and goes offline where there is no key.

    Args:
        settings: arguments of the logger, by attribute; those that somebody gave stay.
        directory: folder of the run.
        experiment: group of the run.
        job_type: what the command line does.
        kept: whether the run leaves a folder behind, which is made then.
    """
    if kept:
        directory.mkdir(parents=True, exist_ok=True)
    settings.save_dir = str(directory)
    settings.name = settings.name or directory.name
    # A run that is resumed goes on under its own id; the first one is the directory's name, which nobody else has.
    settings.id = settings.id or wandb_id(directory) or directory.name
    settings.group = settings.group or experiment
    settings.job_type = settings.job_type or job_type
    if settings.mode != "offline" and not has_wandb_key():
        settings.mode = "offline"
        files = f"{shlex.quote(str(directory))}/wandb/offline-run-*"
        say(f"No W&B key found: logging offline; `wandb sync {files}` uploads it later.")


def wandb_runs(trainer: L.Trainer) -> list[Any]:
    """The open W&B runs of a trainer; only the first process of several has some."""
    return [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def log_settings(trainer: L.Trainer, method: Method, settings: dict[str, Any]) -> None:
    """Hands over the settings, tags, and how a curve becomes the one number of a table.

    Config and tags have the method, the modality, the encoder and the data set, for grouping and filtering; the
    config has the hash of the data's split too, because runs with different ones must not be compared.

    Args:
        trainer: a Trainer with the data set up.
        method: the method to be trained.
        settings: settings as in config.yaml.
    """
    data = data_of(trainer)
    facts = {
        "method": type(method).__name__,
        "modality": method.encoder.modality,
        "encoder": type(method.encoder).__name__,
        "data_set": data.source_name,  # Lightning has its own `source`: the settings of the data module
    }
    for run in wandb_runs(trainer):
        run.config.update({**settings, **facts, "split": data.split_hash}, allow_val_change=True)
        run.tags = tuple(dict.fromkeys([*run.tags, *facts.values()]))
        for name, summary in metrics.SUMMARIES.items():
            run.define_metric(name, step_metric=metrics.STEP, step_sync=True, summary=summary)


def log_results(trainer: L.Trainer, directory: Path) -> None:
    """Hands over what a run has left in its directory: the probes' results, what they cost, the pictures.

    Args:
        trainer: the Trainer that has trained.
        directory: folder of the run; without results.json, as where there are no labels, only pictures are handed over.
    """
    if not wandb_runs(trainer):
        return  # half a second's import without anybody to hand things to
    import wandb

    result = read_result(directory) if (directory / RESULTS).is_file() else None
    for run in wandb_runs(trainer):
        run.log({name: wandb.Image(str(file)) for name, file in pictures_in(directory).items()})
        if result is not None:
            columns, rows = result_table(result)
            run.log({metrics.RESULT_TABLE: wandb.Table(columns, rows)})
            run.summary.update(summary_of(result))


@rank_zero_only
def discard_wandb(directory: Path) -> None:
    """Ends the W&B run of a start that was refused, and removes what it has written; other folders are left alone.

    Args:
        directory: folder of a run that has not begun.
    """
    if not (directory / FOLDER).is_dir() or {path.name for path in directory.iterdir()} - OF_A_START:
        return
    with redirect_stderr(StringIO()):  # where it would say how to upload what is removed
        close_wandb()
    shutil.rmtree(directory)


def close_wandb() -> None:
    """Ends the W&B run of this process, if there is one: another command must not write into it."""
    module = sys.modules.get("wandb")
    if module is not None and module.run is not None:
        module.finish()
