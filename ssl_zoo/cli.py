"""The command line, `ssl-zoo fit | validate | test | predict | probe ...`: it wires the rooms together."""

import importlib
import logging
import os
import pkgutil
import secrets
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from ssl_zoo import __version__
from ssl_zoo.callbacks.embeddings import Embeddings
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.figures import ViewsFigure
from ssl_zoo.callbacks.health import Health
from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.callbacks.online_probe import OnlineProbe
from ssl_zoo.callbacks.progress import StepProgress
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.compare.compare import compare
from ssl_zoo.compare.dashboard import dashboard
from ssl_zoo.compare.wandb import close_wandb, has_wandb_key, log_results, log_settings
from ssl_zoo.data.sources.audio_base import AudioSource
from ssl_zoo.data.sources.base import ImageSource
from ssl_zoo.data.sources.text_base import TextSource
from ssl_zoo.distributed import CPUSyncBatchNorm
from ssl_zoo.errors import InputError
from ssl_zoo.export.export import export
from ssl_zoo.finetuning.finetune import finetune
from ssl_zoo.hardware import fastest_precision
from ssl_zoo.methods.base import Method
from ssl_zoo.probing.in_context import in_context
from ssl_zoo.probing.probe import probe
from ssl_zoo.probing.public import probe_public
from ssl_zoo.probing.speech import has_tasks
from ssl_zoo.suggestions import explain, settings_of
from ssl_zoo.sweep.sweep import sweep

# Whatever is defined in these packages can be named in YAML without its module; a new file needs no entry anywhere.
NAMED_IN_YAML = ("ssl_zoo.encoders", "ssl_zoo.decoders", "ssl_zoo.views", "ssl_zoo.data", "ssl_zoo.methods")

# Errors come to `main`, and half an option's name is a typo, not a shorthand.
STRICT: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}

# What a method's networks take from the data, where they have such an argument; nobody types a number twice.
NETWORKS = ("encoder", "decoder")
SIZES = ("channels", "image_size", "sample_rate", "vocabulary")

# What is done with finished runs, and what is judged beside them; every other command is Lightning's.
ON_RUNS: dict[str, Callable[..., None]] = {
    "probe": probe,
    "finetune": finetune,
    "in-context": in_context,
    "export": export,
    "probe-public": probe_public,
    "compare": compare,
    "dashboard": dashboard,
}
ON_RUNS_HELP = (
    "With a finished run: ssl-zoo probe --run runs/EXPERIMENT/TIME-ID judges its encoder on test data, "
    "ssl-zoo finetune --run ... trains it further on a labelled task, ssl-zoo in-context --run ... lets a GPT sort "
    "texts by examples in its prompt, ssl-zoo export --run ... --out FOLDER writes its encoder for others to load; "
    "ssl-zoo probe-public judges published encoders beside them; ssl-zoo compare RUN_OR_FOLDER ... ranks them all, "
    "ssl-zoo sweep EXPERIMENT_OR_FOLDER ... trains and ranks many, ssl-zoo dashboard shows them on W&B "
    "(ssl-zoo probe -h and so on tell more)."
)


def main(args: list[str] | None = None) -> None:
    """Runs one command; a user's mistake ends it with one sentence on standard error and exit code 2.

    Args:
        args: the command line without the program's name; None reads `sys.argv`.
    """
    sys.path.insert(0, os.getcwd())  # a console script does not see the user's own modules otherwise
    try:
        run(sys.argv[1:] if args is None else args)
    except (InputError, MisconfigurationException) as error:
        sys.stderr.write(f"ssl-zoo: error: {error}\n")
        sys.exit(2)


def run(args: list[str]) -> None:
    """Runs one command and lets errors pass."""
    _quiet()
    for package in NAMED_IN_YAML:
        _import_all(package)
    if args[:1] == ["--version"]:
        print(__version__)
    elif args[:1] == ["sweep"]:
        _sweep(args[1:])
    elif args and args[0] in ON_RUNS:
        command = ON_RUNS[args[0]]
        parser = ArgumentParser(prog=f"ssl-zoo {args[0]}", **STRICT, description=(command.__doc__ or "").split("\n")[0])
        if command is compare:
            parser.add_argument("runs", nargs="+", type=Path, help="Run directories, or folders to search for some.")
        parser.add_function_arguments(command, skip={"runs"})
        settings = _parse(parser, args[1:])
        with _own_errors():
            settings = parser.instantiate(settings)
        command(**settings.as_dict())
    else:
        ZooCLI(args)
        close_wandb()


def _sweep(args: list[str]) -> None:
    cut = args.index("--") if "--" in args else len(args)
    parser = ArgumentParser(prog="ssl-zoo sweep", **STRICT, description=(sweep.__doc__ or "").split("\n")[0])
    parser.add_argument("experiments", nargs="+", type=Path, help="Experiments (.yaml), or folders that hold some.")
    parser.add_argument("--list", action="store_true", help="Print the commands that are left to run, and run none.")
    parser.add_function_arguments(sweep, skip={"experiments", "read", "overrides", "list_only"})
    settings = _parse(parser, args[:cut]).as_dict()
    sweep(list_only=settings.pop("list"), **settings, read=fit_settings, overrides=args[cut + 1 :])


def fit_settings(options: list[str]) -> dict[str, Any]:
    """The settings that options of `ssl-zoo fit` come to; nothing is built."""
    return SettingsOnly(["fit", *options]).config["fit"].as_dict()


class ZooCLI(LightningCLI):
    """LightningCLI with this project's defaults: what is always logged, where a run lives, how it ends.

    Args:
        args: the command line without the program's name.
    """

    def __init__(self, args: list[str]) -> None:
        self.version = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        super().__init__(
            L.LightningModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            parser_kwargs={
                "prog": "ssl-zoo",
                **STRICT,
                "description": ON_RUNS_HELP,
                **{name: dict(STRICT) for name in self.subcommands()},
            },
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a run is called, its probes, and the sizes that networks take from the data."""
        parser.add_argument("--experiment", default="experiment", help="Folder of the run under --runs_dir.")
        parser.add_argument("--runs_dir", default="runs", help="Where runs are kept.")
        parser.add_argument("--probe_after_fit", type=bool, default=True, help="Judge the run on test data at its end.")
        parser.add_function_arguments(probe, "probe", skip={"run"})
        parser.add_lightning_class_args(OnlineProbe, "online_probe")
        parser.add_lightning_class_args(Health, "health")
        parser.add_lightning_class_args(Embeddings, "embeddings")
        for network, size in product(NETWORKS, SIZES):
            parser.link_arguments(f"data.{size}", f"model.init_args.{network}.init_args.{size}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the command line."""
        self.config = _parse(parser, args, self._subcommand_parsers.values())

    def _parse_ckpt_path(self) -> None:
        """The command line and YAML decide; Lightning would let a checkpoint's settings overrule them."""

    def before_instantiate_classes(self) -> None:
        """Chooses the precision unless the user has, and prepares W&B."""
        config = self.config[self.subcommand]
        if config.trainer.precision is None:
            config.trainer.precision = fastest_precision(config.trainer.accelerator)
            chosen = f"Precision {config.trainer.precision}, convolutions in channels_last"
            _say(f"{chosen}: the fastest on this machine (--trainer.precision overrides).")
        _check_checkpoint(config.get("ckpt_path"))
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if isinstance(logger, Namespace) and logger.class_path.endswith("WandbLogger"):
                self._prepare_wandb(config, logger.init_args)

    def _prepare_wandb(self, config: Namespace, settings: Namespace) -> None:
        """Gives every method's W&B run the same group, name and job type, and goes offline where there is no key."""
        directory = Path(config.runs_dir) / config.experiment / self.version
        directory.mkdir(parents=True, exist_ok=True)
        settings.save_dir = str(directory)
        settings.name = settings.name or self.version
        settings.group = settings.group or config.experiment
        settings.job_type = settings.job_type or self.subcommand
        if settings.mode != "offline" and not has_wandb_key():
            settings.mode = "offline"
            _say(f"No W&B key found: logging offline; `wandb sync {directory}/wandb/offline-run-*` uploads it later.")

    def instantiate_classes(self) -> None:
        """Builds the method, the data and the Trainer."""
        with _own_errors():
            super().instantiate_classes()

    def _dump_config(self) -> None:
        """Makes room for the sizes of a network that this method lacks; `after_instantiate_classes` clears it away.

        Lightning skips links to what is not there but records them among the settings in the checkpoint all the same.
        """
        super()._dump_config()
        settings = self.config_dump["model"]["init_args"]
        for network in NETWORKS:
            settings[network] = settings.get(network) or {"init_args": {}}

    def after_instantiate_classes(self) -> None:
        """Forgets the sizes that a network does not take; it could not be rebuilt from settings that have them."""
        settings = self.model.hparams
        for name in NETWORKS:
            network = getattr(self.model, name, None)
            if network is None:
                settings.pop(name, None)
                continue
            for size in set(SIZES) - set(settings_of(type(network))):
                settings[name]["init_args"].pop(size, None)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Adds the loggers, callbacks and plugins that every run has."""
        trainer = self.config_init[self.subcommand].trainer
        callbacks: list[L.Callback] = [ExactResume(), Throughput(), ViewsFigure()]
        if trainer.enable_progress_bar is not False:
            callbacks.append(StepProgress())
        if trainer.enable_checkpointing is not False:
            callbacks.append(LastCheckpoint())
        trainer.callbacks = [*(trainer.callbacks or []), *callbacks]
        config = self.config[self.subcommand]
        loggers: list[Logger] = [CSVLogger(config.runs_dir, config.experiment, self.version)]
        if isinstance(trainer.logger, Logger):
            loggers.append(trainer.logger)
        elif isinstance(trainer.logger, list):
            loggers.extend(trainer.logger)
        # Batch-norm statistics are the global batch's by default: a run means the same on one device and on eight.
        if trainer.accelerator == "cpu" or not torch.cuda.is_available():
            trainer.plugins = [*(trainer.plugins or []), CPUSyncBatchNorm()]
        else:
            trainer.sync_batchnorm = True
        return super().instantiate_trainer(logger=loggers, **kwargs)

    def after_fit(self) -> None:
        """Judges the run on test data, and tells W&B where it is used."""
        config, directory = self.config["fit"], self.trainer.log_dir
        if config.trainer.fast_dev_run or directory is None:
            return
        if config.probe_after_fit:
            self._probe(Path(directory), config.probe)
        self._log_results(Path(directory))

    @rank_zero_only
    def _log_results(self, directory: Path) -> None:
        log_results(self.trainer, directory)

    @rank_zero_only
    def _probe(self, directory: Path, settings: Namespace) -> None:
        if self.datamodule.train_set.labels is None and not has_tasks(self.datamodule):
            _say("The data has no labels, so the run is not probed.")
            return
        probe(directory, **settings.as_dict())


class SettingsOnly(ZooCLI):
    """The command line read and checked, and no more."""

    def _set_seed(self) -> None: ...

    def before_instantiate_classes(self) -> None:
        """Decides nothing."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""

    def after_instantiate_classes(self) -> None:
        """Has built nothing."""

    def _run_subcommand(self, subcommand: str) -> None: ...


class SaveConfig(SaveConfigCallback):
    """Writes config.yaml into the run directory, and the same settings to loggers that keep them."""

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Hands the settings to W&B."""
        assert isinstance(pl_module, Method)
        log_settings(trainer, pl_module, yaml.safe_load(self.parser.dump(self.config, skip_none=False)))


def _parse(parser: ArgumentParser, args: list[str], subparsers: Iterable[ArgumentParser] = ()) -> Namespace:
    """Parses, or raises InputError with a sentence that says what was meant."""
    try:
        return parser.parse_args(args)
    except ArgumentError as error:
        options = {action.dest for each in (parser, *subparsers) for action in each._actions}
        names = {
            found.__name__
            for base in (nn.Module, L.LightningDataModule, AudioSource, ImageSource, TextSource)
            for found in _below(base)
        }
        raise InputError(explain(str(error), options, names)) from error


@contextmanager
def _own_errors() -> Iterator[None]:
    """Takes a constructor's InputError out of the ValueError that jsonargparse wraps it in."""
    try:
        yield
    except ValueError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        raise (cause or error) from error


def _below(base: type) -> set[type]:
    found: set[type] = {base}
    child: type
    for child in base.__subclasses__():
        found |= _below(child)
    return found


@rank_zero_only
def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _check_checkpoint(path: Any) -> None:
    if path is not None and path not in ("last", "best", "hpc", "registry") and not Path(path).is_file():
        raise InputError(
            f"--ckpt_path: there is no file {path}; give a checkpoint like runs/.../checkpoints/last.ckpt."
        )


def _import_all(package: str) -> None:
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{package}."):
        importlib.import_module(found.name)


def _quiet() -> None:
    """Silences what a user can do nothing about; every other warning stays."""
    for message in (
        ".*does not have many workers",  # data lies in memory
        ".*exists and is not empty",  # W&B keeps its files in the run directory too
        "The dirpath has changed",  # a resumed run has a directory of its own
        ".*smaller than the logging interval",  # steps are counted over the whole run
        ".*isinstance.treespec, LeafSpec.. is deprecated",  # Lightning's own
    ):
        warnings.filterwarnings("ignore", message)
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)  # which devices exist, which seed was set, advertisements
