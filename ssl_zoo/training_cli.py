"""The commands that train: LightningCLI with what every run of this project has."""

from itertools import product
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.callbacks.before_training import BeforeTraining
from ssl_zoo.callbacks.codes import CodeFigures
from ssl_zoo.callbacks.embeddings import Embeddings
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.figures import ViewsFigure
from ssl_zoo.callbacks.health import Health
from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.callbacks.normalization import NormalizationCheck
from ssl_zoo.callbacks.online_probe import OnlineProbe
from ssl_zoo.callbacks.own_classes import OwnClasses
from ssl_zoo.callbacks.pictures import MethodPictures
from ssl_zoo.callbacks.progress import StepLines, StepProgress
from ssl_zoo.callbacks.refits import Refits
from ssl_zoo.callbacks.texts import MethodTexts
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.data.sources.files import resolved
from ssl_zoo.data_settings import (
    check_length_and_devices,
    check_seed,
    forget_sizes,
    make_paths_absolute,
    measure_where_asked,
    refuse_other_sizes,
    remembered_statistics,
)
from ssl_zoo.distributed import CPUSyncBatchNorm, leave_group
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.labelled import check_choices, nothing_to_evaluate
from ssl_zoo.evaluation.probe import probe
from ssl_zoo.hardware import check_accelerator, fastest_precision
from ssl_zoo.lightning_inside import refusals_in_words
from ssl_zoo.own_code import own_errors, require_initialised
from ssl_zoo.parsing import STRICT, LinesKept, StrictParser, beginning_of_help, parse, resolve_paths
from ssl_zoo.runs.closing import number_lines
from ssl_zoo.runs.directory import RunDirectoryCLI, say
from ssl_zoo.runs.files import METRICS
from ssl_zoo.runs.log import RunLog
from ssl_zoo.save_config import SaveConfig
from ssl_zoo.tracking.loggers import prepare_loggers
from ssl_zoo.tracking.tensorboard import log_to_tensorboard
from ssl_zoo.tracking.wandb import discard_wandb, log_results

# What a method's parts, and parts of theirs, take from the data where they have such an argument; nobody types a number
# twice.
PARTS = ("encoder", "encoder.front_end", "decoder", "views", "views.global_views", "views.local_views")
SIZES = ("channels", "image_size", "sample_rate", "crop_seconds", "vocabulary", "spelling", "statistics", "palette")


def fit_settings(options: list[str]) -> dict[str, Any]:
    """The settings that options of `ssl-zoo fit` come to; nothing is built."""
    return SettingsOnly(["fit", *options]).config["fit"].as_dict()


class ZooCLI(RunDirectoryCLI):
    """LightningCLI with this project's defaults: what is always logged, where a run lives, how it ends.

    Args:
        args: the command line without the program's name.
    """

    def __init__(self, args: list[str]) -> None:
        args = self.find_run(args, fit_settings)
        try:
            super().__init__(
                L.LightningModule,
                L.LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                parser_class=StrictParser,
                trainer_defaults={"enable_model_summary": False},
                seed_everything_default=0,
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},  # SaveConfig does, in one go
                parser_kwargs={
                    "prog": "ssl-zoo",
                    "formatter_class": LinesKept,  # which jsonargparse gives to the parsers of all commands
                    **STRICT,
                    **{name: {**STRICT, **beginning_of_help(name)} for name in self.subcommands()},
                },
                args=args,
            )
        except BaseException:  # Ctrl-C too: whatever ends a start leaves no empty folder
            self.leave_nothing_empty()
            raise

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a run is called, its probes, and the sizes that a method's parts take from the data."""
        parser.add_argument("--experiment", default="experiment", help="Folder of the run under --runs_dir.")
        parser.add_argument("--runs_dir", default="runs", help="Where runs are kept.")
        parser.add_argument(
            "--resume",
            type=str | None,
            help="Run directory to go on in, with its settings; auto: the newest of --experiment, or a new one.",
        )
        parser.add_argument(
            "--root", type=str | None, help="Where the data lies now: short for --data.source.root, for runs too."
        )
        parser.add_argument(
            "--checkpoint_minutes", type=float, default=10.0, help="Minutes between two checkpoints of a run."
        )
        parser.add_argument(
            "--probe_after_fit", type=bool, default=True, help="Evaluate the run on test data at its end."
        )
        parser.add_argument(
            "--allow_other_split",
            type=bool,
            default=False,
            help="Take a checkpoint that was trained on another split of the data; it may have seen the test data.",
        )
        parser.add_argument(
            "--probe_data",
            type=Path | None,
            help="Folder with classes, of the modality of the data, to probe on in training and to evaluate on at its "
            "end in place of the data.",
        )
        parser.add_function_arguments(probe, "probe", skip={"run", "allow_other_split", "root", "probe_data"})
        parser.add_lightning_class_args(OnlineProbe, "online_probe")
        parser.link_arguments("probe_data", "online_probe.probe_data")
        parser.add_lightning_class_args(Health, "health")
        parser.add_lightning_class_args(Embeddings, "embeddings")
        for part, size in product(PARTS, SIZES):
            place = part.replace(".", ".init_args.")
            parser.link_arguments(f"data.{size}", f"model.init_args.{place}.init_args.{size}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the command line."""
        self.config = parse(parser, args, self.parsers.values())
        settings = self.config[self.config.subcommand]
        resolve_paths(settings)
        check_seed(settings.seed_everything)
        if settings.probe_data is not None:
            settings.probe_data = Path(resolved(settings.probe_data))
        self.say_what_changed()

    def before_instantiate_classes(self) -> None:
        """Chooses the precision unless the user has, and prepares W&B."""
        config = self.config[self.subcommand]
        check_accelerator(config.trainer.accelerator)
        check_length_and_devices(config.trainer)
        if config.trainer.precision is None:
            config.trainer.precision = fastest_precision(config.trainer.accelerator)
            chosen = f"Precision {config.trainer.precision}, convolutions in channels_last"
            say(f"{chosen}: the fastest on this machine (--trainer.precision overrides).")
        if self.subcommand == "fit" and config.probe_after_fit:
            check_choices(config.probe.labels_per_class, config.probe.draws)
            if config.probe.ceiling and not config.trainer.fast_dev_run:
                say(
                    "After training the run is evaluated on test data; where there are labels, the supervised ceiling "
                    "then trains for as many steps again (--probe.ceiling false leaves it out)."
                )
        measure_where_asked(config)
        self.find_checkpoint()
        make_paths_absolute(config.data)
        make_paths_absolute(config.model)
        prepare_loggers(config, self.directory, str(self.subcommand), self.steps_kept)

    def instantiate_classes(self) -> None:
        """Builds the method, the data and the Trainer."""
        settings = self.config[self.subcommand]
        saved = {} if self.checkpoint is None else self.checkpoint[1].get("hyper_parameters", {})
        with own_errors(), self.remembered_weights(), remembered_statistics(settings, saved):
            super().instantiate_classes()
            require_initialised(self.model)

    def complete_settings(self, settings: dict[str, Any]) -> None:
        """Makes room for the sizes of a part that this method lacks; `after_instantiate_classes` clears it away.

        Lightning skips links to what is not there but records them among the settings in the checkpoint all the same.
        """
        for part in PARTS:
            place = settings["model"]["init_args"]
            for name in part.split("."):
                place[name] = place.get(name) or {"init_args": {}}
                place = place[name].setdefault("init_args", {})

    def after_instantiate_classes(self) -> None:
        """Forgets the sizes that a part does not take; it could not be rebuilt from settings that have them."""
        # Embedding other data is what `predict` is for: nothing is evaluated, and a warning will do.
        allowed = self.config[self.subcommand].allow_other_split or self.subcommand == "predict"
        self.datamodule.allow_other_split = allowed
        refuse_other_sizes(self.config[self.subcommand].model, self.datamodule, PARTS, SIZES)
        forget_sizes(self.model, PARTS, SIZES)
        self.check_checkpoint()

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Adds the loggers, callbacks and plugins that every run has."""
        config, trainer = self.config[self.subcommand], self.config_init[self.subcommand].trainer
        callbacks: list[L.Callback] = [BeforeTraining(), Refits(), StepLines(), NormalizationCheck(), ExactResume()]
        callbacks += [Throughput(), ViewsFigure()]
        if trainer.enable_progress_bar is not False:
            callbacks.append(StepProgress())
        callbacks += [Alarms(), MethodPictures(), MethodTexts(), CodeFigures()]  # what a method says, shows and writes
        if trainer.enable_checkpointing is not False:
            callbacks.append(LastCheckpoint(config.checkpoint_minutes))
        given = trainer.callbacks or []
        # Own classes are tried before any other callback writes something.
        trainer.callbacks = [OwnClasses(), *(given if isinstance(given, list) else [given]), *callbacks]
        loggers: list[Logger] = [RunLog(self.directory, self.steps_kept)]
        if isinstance(trainer.logger, Logger):
            loggers.append(trainer.logger)
        elif isinstance(trainer.logger, list):
            loggers.extend(trainer.logger)
        # Batch-norm statistics are the global batch's by default: a run means the same on one device and on eight.
        if trainer.accelerator == "cpu" or not torch.cuda.is_available():
            trainer.plugins = [*(trainer.plugins or []), CPUSyncBatchNorm()]
        else:
            trainer.sync_batchnorm = True
        with refusals_in_words():
            return super().instantiate_trainer(logger=loggers, **kwargs)

    def run_subcommand(self, subcommand: str) -> None:
        """Runs it; what is refused before the first step leaves no run with W&B, either."""
        try:
            super().run_subcommand(subcommand)
        except InputError:
            if subcommand == "fit" and self.resumed is None and self.trainer.global_step == 0:
                discard_wandb(self.directory)
                self.leave_nothing_empty()
            raise

    def defaults_of(self, subcommand: str) -> dict[str, Any]:
        """Not the table of Lightning's: `after_validate` and `after_test` print the numbers."""
        return {"verbose": False} if subcommand in ("validate", "test") else {}

    def after_validate(self) -> None:
        """Says what was measured on validation data."""
        self._say_numbers()

    def after_test(self) -> None:
        """Says what was measured on test data."""
        self._say_numbers()

    def _say_numbers(self) -> None:
        if numbers := {name: float(value) for name, value in self.trainer.callback_metrics.items()}:
            say(number_lines(numbers, self.directory / METRICS))

    def after_fit(self) -> None:
        """Evaluates the run on test data on the first process, and hands trackers the results where they are used.

        The other processes end here. They could only wait, and a barrier gives up after half an hour.
        """
        config, directory = self.config["fit"], self.trainer.log_dir
        leave_group()
        if config.trainer.fast_dev_run or directory is None:
            return
        if config.probe_after_fit:
            self._probe(Path(directory), config)
        self._log_results(Path(directory))

    @rank_zero_only
    def _log_results(self, directory: Path) -> None:
        log_results(self.trainer, directory)
        log_to_tensorboard(self.trainer, directory)

    @rank_zero_only
    def _probe(self, directory: Path, config: Namespace) -> None:
        device = self.trainer.strategy.root_device
        if device.type == "cuda":  # where processes were spawned or forked, this one has not trained on any
            torch.cuda.set_device(device)
        self.datamodule.setup()  # nor has it read the data
        if len(self.datamodule.test_set) < 2 and self.config["fit"].probe_data is None:
            say(f"The run is not evaluated: {nothing_to_evaluate(self.datamodule)}.")
            return
        root = config.get("data.init_args.source.init_args.root") if self.resumed is not None else None
        # The checkpoint of a run that was only to be evaluated knows no other place of the data than its first.
        probe(directory, **config.probe.as_dict(), root=None if root is None else Path(root))


class SettingsOnly(ZooCLI):
    """The command line read and checked, and no more."""

    def set_seed(self) -> None:
        """Draws nothing."""

    def before_instantiate_classes(self) -> None:
        """Decides nothing."""

    def instantiate_classes(self) -> None:
        """Builds nothing."""

    def after_instantiate_classes(self) -> None:
        """Has built nothing."""

    def run_subcommand(self, subcommand: str) -> None:
        """Runs nothing."""
