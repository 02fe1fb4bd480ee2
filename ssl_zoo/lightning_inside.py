"""Every use of Lightning's private parts; whoever raises the bound on its version looks here and nowhere else.

Each does what no public way does. What they are for is said where they are used.
"""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import Any

import lightning as L
from jsonargparse import ArgumentParser
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters, _given_hyperparameters_context
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.strategies.launchers import subprocess_script

from ssl_zoo.errors import InputError, reason_of

# Keys under which its command line keeps among hyperparameters what they belong to, and who builds it again.
CLASS_PATH, INSTANTIATOR = "_class_path", "_instantiator"
INSTANTIATE = "lightning.pytorch.cli.instantiate_module"

# What Lightning keeps of the parsers that it makes, and those that there are: by what adds options, and the commands.
_OF_PARSER = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
_MADE: dict[tuple[Any, ...], dict[str, Any]] = {}

# What it counts of a validation that has begun and finished no batch; a run that goes on from there validates.
_BEGUN = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


@contextmanager
def refusals_in_words() -> Iterator[None]:
    """Within, what Lightning itself refuses of a Trainer's settings is one sentence; what fails below it stays.

    Raises:
        InputError: one of its own checks has failed.
    """
    try:
        yield
    except (ValueError, TypeError, RuntimeError, ImportError) as error:  # whatever its checks raise says why in words
        if isinstance(error, InputError) or not _is_lightnings_own(error):
            raise
        raise InputError(f"trainer: {reason_of(error).rstrip('.')}; change these settings of the Trainer.") from error


def _is_lightnings_own(error: BaseException) -> bool:
    """Whether an error was raised by a line of Lightning itself."""
    step, names = error.__traceback__, [""]
    while step is not None:
        names.append(step.tb_frame.f_globals.get("__name__", ""))
        step = step.tb_next
    return names[-1].partition(".")[0] in ("lightning", "lightning_utilities")


def logs_now(trainer: L.Trainer) -> bool:
    """Whether what is logged at this step is kept."""
    return trainer._logger_connector.should_update_logs


def trainer_of(module: L.LightningModule) -> L.Trainer | None:
    """The trainer of a module; None where the public property raises an error."""
    return module._trainer


def log_from(trainer: L.Trainer, step: int) -> None:
    """Numbers what is logged from here on by the optimizer steps that are done.

    Lightning counts a step too many when a run goes on that had ended.
    """
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def finished_batches(trainer: L.Trainer) -> int:
    """Training batches that the run has finished, those before it was resumed included."""
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total  # typed as its base class, which lacks `processed`
    return total.processed


def begun_batches(trainer: L.Trainer) -> int:
    """Number of the training batch that is being worked on, those before the run was resumed included."""
    return trainer.fit_loop.total_batch_idx


def leave_signals_alone(trainer: L.Trainer) -> None:
    """Keeps ranks from agreeing on SIGTERM, for which the device would wait after every batch."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # of this trainer alone


def pass_no_signals_on(trainer: L.Trainer) -> None:
    """Lets SIGTERM come to `ssl_zoo.signals` alone.

    Lightning's own way to pass it on is a broadcast from within the signal's handler, which waits forever for ranks
    that are in another collective operation or have not been sent the signal.
    """
    connector: Any = trainer._signal_connector
    connector._sigterm_notifier_fn = lambda *_: None


def children_of(trainer: L.Trainer) -> list[subprocess.Popen[bytes]]:
    """The processes that a trainer has started for its ranks, in the list that Lightning itself watches."""
    launcher = trainer.strategy.launcher
    return launcher.procs if isinstance(launcher, subprocess_script._SubprocessScriptLauncher) else []


def have_children_watched(watch: Callable[[list[subprocess.Popen[bytes]]], None]) -> None:
    """Hands over who looks after the processes that a trainer starts; Lightning's own way kills this one too.

    Args:
        watch: Begins to watch the processes of the list that it is given, and comes back.
    """
    subprocess_script._launch_process_observer = watch  # type: ignore[assignment]  # mypy compares the names of arguments, and Lightning gives it by position


def loops_within_epoch(trainer: L.Trainer) -> dict[str, Any]:
    """How far the loops are, the present epoch having begun and not ended.

    Lightning forgets to count the beginning of the first epoch after a resume, and once that is in a checkpoint, it
    miscounts the ends of epochs too.
    """
    loops = deepcopy(trainer.fit_loop.state_dict())
    for count in loops["epoch_progress"].values():
        done = count["processed"]
        count.update(ready=done + 1, started=done + 1, completed=done)
    return loops


def loops_in_validation(trainer: L.Trainer) -> dict[str, Any]:
    """How far the loops are, but for the validation, which has just begun."""
    loops = loops_within_epoch(trainer)
    progress = loops["epoch_loop.val_loop.batch_progress"]
    progress.update(total=dict(_BEGUN), current=dict(_BEGUN), is_last_batch=False)
    return loops


def put_loops(checkpoint: dict[str, Any], loops: dict[str, Any]) -> None:
    """Puts into a checkpoint how far the loops were."""
    checkpoint["loops"]["fit_loop"] = loops


def finished_epochs(checkpoint: dict[str, Any]) -> int:
    """Epochs that a checkpoint's run had finished."""
    return checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["completed"]


def are_settings_given() -> bool:
    """Whether what is being built comes of settings, which Lightning takes for its hyperparameters."""
    return _given_hyperparameters.get() is not None


def settings_given(settings: dict[str, Any]) -> AbstractContextManager[None]:
    """Within, Lightning takes these for the hyperparameters of a module that saves them."""
    return _given_hyperparameters_context(settings, INSTANTIATE)


class Checkpointing(ModelCheckpoint):
    """Lightning's callback, which a subclass has save when it wants to."""

    def save_now(self, trainer: L.Trainer, path: str) -> None:
        """Writes a checkpoint."""
        self._save_checkpoint(trainer, path)

    @property
    def saved_step(self) -> int:
        """Optimizer steps at which the last checkpoint was written."""
        return self._last_global_step_saved

    @property
    def checked_at(self) -> float:
        """When, by `time.monotonic`, it was last looked whether to save; set by whoever looks."""
        assert self._last_time_checked is not None, "training has not started"
        return self._last_time_checked

    @checked_at.setter
    def checked_at(self, moment: float) -> None:
        self._last_time_checked = moment


class LogWriter(ExperimentWriter):
    """Lightning's writer of metrics.csv, which a subclass has take up a file that is there and change its columns."""

    def take_up(self) -> None:
        """Begins in a folder that may hold a file already, which Lightning would delete."""

    def add_columns(self, names: list[str]) -> None:
        """Writes the file anew with these columns."""
        super()._rewrite_with_new_header(names)

    def _check_log_dir_exists(self) -> None:
        self.take_up()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self.add_columns(fieldnames)


class Log(CSVLogger, ABC):
    """Lightning's CSVLogger with a writer of one's own."""

    @abstractmethod
    def make_writer(self) -> LogWriter:
        """What writes the file."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """What writes the file; made when something is first logged."""
        if self._experiment is None:
            self._experiment = self.make_writer()
        assert isinstance(self._experiment, ExperimentWriter)
        return self._experiment


class CommandLine(LightningCLI):
    """LightningCLI, which lets a subclass step in where it has no public place for it."""

    @property
    def parsers(self) -> dict[str, ArgumentParser]:
        """Of the subcommands, by name."""
        return dict(self._subcommand_parsers)

    def setup_parser(self, add_subcommands: bool, *settings: dict[str, Any]) -> None:
        """Makes the parser once for all command lines of a process that ask for the same, as those of a sweep do."""
        asked_for = (type(self).add_arguments_to_parser, *self.subcommands())
        if asked_for not in _MADE:
            super().setup_parser(add_subcommands, *settings)
            _MADE[asked_for] = {name: getattr(self, name) for name in _OF_PARSER}
        vars(self).update(_MADE[asked_for])

    def complete_settings(self, settings: dict[str, Any]) -> None:
        """Changes in place the settings that go into checkpoints."""

    def defaults_of(self, subcommand: str) -> dict[str, Any]:
        """Other defaults than Lightning's for what a subcommand's method takes, by name."""
        return {}

    def run_subcommand(self, subcommand: str) -> None:
        """Runs one."""
        super()._run_subcommand(subcommand)

    def set_seed(self) -> None:
        """Seeds all generators."""
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """The command line and YAML decide; Lightning would let a checkpoint's settings overrule them."""

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults(self.defaults_of(subcommand))
        return parser

    def _dump_config(self) -> None:
        super()._dump_config()
        self.complete_settings(self.config_dump)

    def _run_subcommand(self, subcommand: str) -> None:
        self.run_subcommand(subcommand)

    def _set_seed(self) -> None:
        self.set_seed()
