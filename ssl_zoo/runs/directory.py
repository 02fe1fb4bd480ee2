"""Where a run lives, and how `ssl-zoo fit --resume` takes it up again: its settings, its checkpoint, its end."""

import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_only

from ssl_zoo.encoders.weights import remembered
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import CommandLine, have_children_watched, pass_no_signals_on
from ssl_zoo.own_code import own_errors
from ssl_zoo.processes import OthersGone, end_children, lacks_another, watch_children
from ssl_zoo.runs.checkpoints import before, check_weights, read_newest_whole
from ssl_zoo.runs.closing import closing_lines
from ssl_zoo.runs.files import CONFIG, RESULTS
from ssl_zoo.runs.moved import present_settings
from ssl_zoo.runs.named import FOR_LIGHTNING, check_checkpoint
from ssl_zoo.runs.outdated import evaluated_steps
from ssl_zoo.runs.resuming import (
    AUTO,
    check_name,
    check_optimizer,
    check_unfinished,
    folders_to_make,
    how_to_go_on,
    newest_checkpoint,
    newest_run,
    occupied,
    overridden,
    remove_empty,
    resumable,
    run_of,
    run_to_resume,
    take_resume,
    value_of,
    with_root,
)
from ssl_zoo.signals import Stopped
from ssl_zoo.writable import check_writable


class RunDirectoryCLI(CommandLine):
    """LightningCLI whose runs have a directory each, in which they begin or go on.

    Attributes:
        asked_for: the command that is to run; None where the command line is empty.
        version: name of the run's directory.
        resumed: the directory of the run that goes on; None for a new one.
        looked_at: the directory of the run that is validated, tested or predicted with, below which this is kept.
        checkpoint: the file that the weights come from, and what it holds until that has been checked.
    """

    asked_for: str | None
    version: str
    resumed: Path | None
    looked_at: Path | None
    checkpoint: tuple[Path, dict[str, Any]] | None
    _new_folders: list[Path]

    @property
    def directory(self) -> Path:
        """Of this run, which may have been moved since it was begun."""
        config = self.config[self.subcommand]
        if self.looked_at is not None:
            return self.looked_at / str(self.subcommand) / self.version
        return self.resumed or Path(config.runs_dir) / config.experiment / self.version

    @property
    def steps_kept(self) -> int | None:
        """Optimizer steps after which a run goes on; None for a new one."""
        if self.resumed is None:
            return None
        return 0 if self.checkpoint is None else int(self.checkpoint[1]["global_step"])

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # a static method there, and Lightning asks an object for it
        """Lightning's commands, or the one of them that is asked for: to describe one takes as long as a short run."""
        every = super().subcommands()
        return {name: skipped for name, skipped in every.items() if self.asked_for in (name, None)} or every

    def find_run(self, args: list[str], read: Callable[[list[str]], dict[str, Any]]) -> list[str]:
        """Finds the run that --resume names; returns the command line with its settings in front of all others.

        Args:
            args: the command line without the program's name.
            read: gives the settings that options of `ssl-zoo fit` come to.

        Raises:
            InputError: there is no such run.
        """
        self.version = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.resumed, self.looked_at, self.checkpoint, self._new_folders = None, None, None, []
        self.asked_for = args[0] if args else None
        args = with_root(args)
        resume, rest = take_resume(args) if args[:1] == ["fit"] else (None, args)
        if resume is None:
            return args
        if any(option.split("=")[0] == "--ckpt_path" for option in rest):
            raise InputError(
                "--resume takes the run's own checkpoint: leave --ckpt_path out, or begin a new run with it."
            )
        if resume == AUTO:
            name = value_of(rest, "--experiment")
            # With no file of settings the run's own are those that count.
            alone = name is not None and not any(option.split("=")[0] in ("--config", "-c") for option in rest)
            here: dict[str, Any] = {"experiment": name, "runs_dir": value_of(rest, "--runs_dir") or "runs"}
            settings = here if alone else read(rest[1:])
            check_name(settings["experiment"])
            folder = Path(settings["runs_dir"]) / settings["experiment"]
            self.resumed = newest_run(folder)
            if self.resumed is not None:
                run_to_resume(self.resumed)
            elif alone and value_of(rest, "--model") is None:
                raise InputError(
                    f"--resume auto: there is no run in {folder}, and nothing says how to begin one: give --config too."
                )
            else:
                say(f"There is no run in {folder} to resume: a new one begins.")
                return rest
        else:
            self.resumed = run_to_resume(Path(resume))
        self.version = self.resumed.name
        _bring_up_to_date(self.resumed / CONFIG)
        return [rest[0], "--config", str(self.resumed / CONFIG), *rest[1:]]

    def say_what_changed(self) -> None:
        """Names the settings of a resumed run that the command line overrides."""
        if self.resumed is None:
            return
        config = self.config["fit"]
        saved = yaml.safe_load((self.resumed / CONFIG).read_text(encoding="utf-8"))
        now = yaml.safe_load(self.parsers["fit"].dump(config, skip_none=False))
        changes = overridden(saved, now)
        if changes:
            say(f"The command line overrides settings of the run {self.resumed}: {', '.join(changes)}.")

    def find_checkpoint(self) -> None:
        """Reads the checkpoint to begin with, and finds out before training what would end it later.

        Raises:
            InputError: something would.
        """
        config = self.config[self.subcommand]
        given = config.get("ckpt_path")
        self._new_folders = folders_to_make(self.directory)
        if self.resumed is None:
            check_name(config.experiment)
        for name in ("resume", "root"):  # taken from the command line
            if config.get(name) is not None:
                raise InputError(f"{name} is for the command line, as --{name}, and for no file: leave it out there.")
        if self.subcommand == "fit":
            _check_output(self.directory, config)
        if self.resumed is not None:
            paths = resumable(self.resumed)
            if not paths and (self.resumed / RESULTS).exists():
                raise InputError(
                    f"The run {self.resumed} has results but no checkpoint in checkpoints/ any more, and would begin "
                    "anew over them: put the checkpoint back, or begin a new run."
                )
            if not paths:
                say(f"The run {self.resumed} has written no checkpoint yet: it begins anew.")
        else:
            if given == "last":
                given = str(newest_checkpoint(Path(config.runs_dir) / config.experiment))
                say(f"--ckpt_path last is {given}.")
            elif given is None and self.subcommand != "fit":
                say(f"Without --ckpt_path, {self.subcommand} takes the method as it is before its first training step.")
            paths = [] if given is None or given in FOR_LIGHTNING else [Path(given), before(Path(given))]
            if paths:
                check_checkpoint(given)
                if self.subcommand != "fit":
                    self.looked_at = run_of(paths[0])
        if paths:
            self.checkpoint = read_newest_whole(paths)
        if paths or self.resumed is not None:
            config.ckpt_path = str(self.checkpoint[0]) if self.checkpoint is not None else None
        if self.checkpoint is not None and self.subcommand == "fit":
            self._check_progress(*self.checkpoint)

    @contextmanager
    def remembered_weights(self) -> Iterator[None]:
        """Within, an encoder whose run goes on from a checkpoint needs the published weights no more."""
        encoder = self.config[self.subcommand].model.init_args.get("encoder")
        saved = {} if self.checkpoint is None else self.checkpoint[1].get("hyper_parameters", {})
        kept = (saved.get("encoder") or {}).get("init_args") or {}
        with remembered(Namespace() if encoder is None else encoder.get("init_args", Namespace()), kept):
            yield

    def check_checkpoint(self) -> None:
        """Whether the model can go on from the checkpoint.

        Raises:
            InputError: it is another one.
        """
        if self.checkpoint is not None:
            path, content = self.checkpoint
            check_weights(content, path, self.model.state_dict())
            if self.subcommand == "fit":
                check_optimizer(content, path, self.model.hparams)
            self.checkpoint = None  # Lightning reads it again

    def leave_nothing_empty(self) -> None:
        """Removes the folders that were made for this run and in which nothing was written."""
        remove_empty(self._new_folders)

    def _check_progress(self, path: Path, content: dict[str, Any]) -> None:
        config = self.config["fit"]
        only_probed = False
        if self.resumed is not None and config.probe_after_fit:
            only_probed = evaluated_steps(self.resumed) != content["global_step"]  # or results are of fewer steps
        if not only_probed:
            check_unfinished(content, path, config.trainer.max_steps, config.trainer.max_epochs)
        if self.resumed is not None:
            say(f"The run {self.resumed} goes on after step {content['global_step']}, from {path}.")

    def run_subcommand(self, subcommand: str) -> None:
        """Runs it, alone in its directory, and says where the run lies and what to type to go on with it."""
        pass_no_signals_on(self.trainer)
        have_children_watched(watch_children)
        with own_errors(advice=lambda: self._from_last_checkpoint(subcommand)):
            self._run_and_end_children(subcommand)

    def _from_last_checkpoint(self, subcommand: str) -> str:
        if subcommand != "fit" or not any(path.exists() for path in resumable(self.directory)):
            return ""
        return f", and `ssl-zoo fit --resume {self.directory}` goes on from the last checkpoint"

    def _run_and_end_children(self, subcommand: str) -> None:
        try:
            with occupied(self.directory, self.trainer) if subcommand == "fit" else nullcontext():
                super().run_subcommand(subcommand)
        except Stopped as stopped:
            if subcommand == "fit":
                self._close(finished=False)
                stopped.sentence = how_to_go_on(stopped.sentence, self.directory, self.trainer.global_step)
            end_children(self.trainer, int(stopped.code or 0) - 128)
            raise
        except BaseException as error:  # Ctrl-C too: the other processes must not wait for this one
            end_children(self.trainer, None if isinstance(error, InputError) else signal.SIGTERM)
            if lacks_another(error):
                kept = getattr(self.trainer.checkpoint_callback, "dirpath", None) or self.directory / CONFIG
                raise OthersGone(how_to_go_on("", Path(kept).parent, self.trainer.global_step)) from error
            raise
        if subcommand == "fit":
            self._close(finished=True)

    def _close(self, finished: bool) -> None:
        """Prints the closing lines of a run, of one that has left its settings behind."""
        settings = self.config["fit"].trainer
        if settings.fast_dev_run or not (self.directory / CONFIG).is_file():
            return
        steps, longer = self.trainer.global_step, ""
        if finished and 0 <= settings.max_steps <= steps:
            longer = f"--trainer.max_steps {2 * steps}"
        elif finished and settings.max_epochs is not None and settings.max_epochs > 0:
            longer = f"--trainer.max_epochs {2 * settings.max_epochs}"
        say(f"\n{closing_lines(self.directory, longer, exports=not self.model.encoder.stepwise)}")


@rank_zero_only
def _bring_up_to_date(path: Path) -> None:
    """Writes the settings of a run of an earlier version as this one has them; a run that begins writes them too."""
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    present = present_settings(saved)
    if present == saved:
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(yaml.safe_dump(present, sort_keys=False), encoding="utf-8")
    draft.replace(path)
    say(f"The settings in {path} were those of an earlier version, and are now written as this one has them.")


def _check_output(directory: Path, config: Namespace) -> None:
    check_writable(directory, "--runs_dir")
    for name in ("max_steps", "max_epochs"):
        if config.trainer.get(name) == 0:
            raise InputError(f"trainer.{name} is 0: nothing would be trained; make it at least 1.")
    if config.trainer.enable_checkpointing is False and config.probe_after_fit and not config.trainer.fast_dev_run:
        raise InputError(
            "trainer.enable_checkpointing is false, but a checkpoint is what is probed after training: leave it out, "
            "or set --probe_after_fit=false."
        )


@rank_zero_only
def say(sentence: str) -> None:
    """Prints a sentence, once for all processes."""
    print(sentence, flush=True)
