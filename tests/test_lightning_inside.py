"""After an upgrade of Lightning these say which of its private parts is not there any more or means something else."""

import ast
import inspect
import warnings
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.core.mixins import HyperparametersMixin
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader, TensorDataset

import ssl_zoo
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import (
    begun_batches,
    children_of,
    finished_batches,
    finished_epochs,
    leave_signals_alone,
    logs_now,
    loops_in_validation,
    loops_within_epoch,
    pass_no_signals_on,
    put_loops,
    refusals_in_words,
    trainer_of,
)

PACKAGE = Path(ssl_zoo.__file__).parent
# What `lightning_inside` overrides or calls.
METHODS = [
    (LightningCLI, "_parse_ckpt_path"),
    (LightningCLI, "_dump_config"),
    (LightningCLI, "_run_subcommand"),
    (LightningCLI, "_set_seed"),
    (ModelCheckpoint, "_save_checkpoint"),
    (ExperimentWriter, "_check_log_dir_exists"),
    (ExperimentWriter, "_rewrite_with_new_header"),
    (HyperparametersMixin, "_to_hparams_dict"),
    (_TrainingEpochLoop, "_broadcast_sigterm_tensor"),
    (_SignalConnector, "_sigterm_notifier_fn"),
]


class Line(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    validation_step = training_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Look(L.Callback):
    """What is seen at the end of every training batch and at the beginning of a validation."""

    def __init__(self) -> None:
        self.logs, self.finished, self.begun = [], [], []
        self.within, self.validation = {}, {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        leave_signals_alone(trainer)
        self.trainer_of_module = trainer_of(pl_module)

    def on_train_batch_start(self, trainer: L.Trainer, *_) -> None:
        self.begun.append(begun_batches(trainer))
        self.finished.append(finished_batches(trainer))

    def on_train_batch_end(self, trainer: L.Trainer, *_) -> None:
        self.logs.append(logs_now(trainer))
        self.within = loops_within_epoch(trainer)

    def on_validation_start(self, trainer: L.Trainer, *_) -> None:
        self.validation = loops_in_validation(trainer)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Look, dict]:
    look, folder = Look(), tmp_path_factory.mktemp("run")
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, log_every_n_steps=2, callbacks=[look], logger=CSVLogger(folder),
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    batches = DataLoader(TensorDataset(torch.ones(3, 1)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.fit(Line(), batches, batches)
    trainer.save_checkpoint(folder / "a.ckpt")
    assert look.trainer_of_module is trainer
    return look, torch.load(folder / "a.ckpt")


@pytest.mark.parametrize(("owner", "name"), METHODS, ids=lambda each: getattr(each, "__name__", each))
def test_lightning_still_has_the_private_methods_that_are_overridden_or_called(owner: type, name: str) -> None:
    assert callable(getattr(owner, name, None)), f"Lightning's {owner.__name__} has no {name} any more"


def test_lightning_still_keeps_what_is_read_and_set(tmp_path: Path) -> None:
    assert CSVLogger(tmp_path)._experiment is None, "CSVLogger keeps its writer elsewhere"
    callback = ModelCheckpoint()
    assert callback._last_global_step_saved == 0, "ModelCheckpoint keeps the step of its last checkpoint elsewhere"
    assert callback._last_time_checked is None, "ModelCheckpoint keeps the time of its last checkpoint elsewhere"
    assert trainer_of(Line()) is None, "a LightningModule keeps its trainer elsewhere"
    module = Line()
    module.save_hyperparameters({"a": 1})
    assert dict(module._hparams_initial) == {"a": 1}, "a LightningModule keeps its first hyperparameters elsewhere"


def test_lightning_passes_no_sigterm_on(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    handlers = []
    monkeypatch.setattr(
        _SignalConnector, "_register_signal", staticmethod(lambda number, handler: handlers.append(handler))
    )
    pass_no_signals_on(trainer)
    trainer._signal_connector.register_signal_handlers()
    (handler,) = handlers
    assert trainer._signal_connector._sigterm_notifier_fn in handler.signal_handlers
    assert trainer._signal_connector._sigterm_notifier_fn(15, None) is None and not trainer.received_sigterm


def test_children_are_in_the_list_that_lightning_watches() -> None:
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
        enable_progress_bar=False,
    )  # fmt: skip
    launcher = trainer.strategy.launcher
    assert isinstance(launcher, _SubprocessScriptLauncher) and children_of(trainer) is launcher.procs
    assert "_launch_process_observer(self.procs)" in inspect.getsource(type(launcher).launch)


def test_steps_are_logged_when_logs_now_says_so(seen: tuple[Look, dict]) -> None:
    assert seen[0].logs == [False, True] * 3


def test_batches_are_counted_over_epochs(seen: tuple[Look, dict]) -> None:
    assert seen[0].begun == seen[0].finished == list(range(6))


def test_loops_within_an_epoch_have_begun_it_and_not_ended_it(seen: tuple[Look, dict]) -> None:
    progress = seen[0].within["epoch_progress"]
    assert progress["current"] == {"ready": 2, "started": 2, "processed": 1, "completed": 1}
    assert progress["total"] == progress["current"]


def test_loops_in_a_validation_have_just_begun_it(seen: tuple[Look, dict]) -> None:
    progress = seen[0].validation["epoch_loop.val_loop.batch_progress"]
    begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    assert progress == {"total": begun, "current": begun, "is_last_batch": False}


def test_a_checkpoint_says_how_many_epochs_are_finished_and_takes_loops(seen: tuple[Look, dict]) -> None:
    look, checkpoint = seen
    assert finished_epochs(checkpoint) == 2
    assert checkpoint["loops"]["fit_loop"].keys() == look.within.keys(), "loops are kept in another form"
    put_loops(checkpoint, look.within)
    assert finished_epochs(checkpoint) == 1


def private_names(tree: ast.Module) -> set[str]:
    """Names with an underscore in front that a file asks of an object, and that it does not give one itself."""
    asked, own = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            (asked if isinstance(node.ctx, ast.Load) else own).add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
    return {name for name in asked - own if name.startswith("_") and not name.startswith("__")}


def overridden(tree: ast.Module) -> set[str]:
    """Names of the methods of a file's classes."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name for each in classes for node in each.body if isinstance(node, ast.FunctionDef)}


def test_no_other_module_uses_lightnings_private_parts() -> None:
    objects = [L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), Line()]
    objects += [objects[0].fit_loop, objects[0].fit_loop.epoch_loop, ModelCheckpoint(), L.LightningDataModule()]
    classes = [LightningCLI, CSVLogger, ExperimentWriter, HyperparametersMixin]
    # Line is a torch module too, whose private parts are PyTorch's.
    private = {name for each in [*objects, *classes] for name in dir(each)} - set(dir(torch.nn.Module()))
    private = {name for name in private if name.startswith("_") and not name.startswith("__")}
    assert {"_logger_connector", "_trainer", "_run_subcommand"} <= private
    others = [path for path in PACKAGE.rglob("*.py") if path.name != "lightning_inside.py"]
    trees = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in others}
    found = {path: sorted(private & (private_names(tree) | overridden(tree))) for path, tree in trees.items()}
    assert len(found) > 100 and not {path: names for path, names in found.items() if names}


def test_what_lightning_refuses_becomes_a_sentence_and_what_fails_below_it_does_not():
    @rank_zero_only
    def fails() -> None:
        raise ValueError("nobody expects this")

    with pytest.raises(InputError, match=r"^trainer: You selected an invalid strategy name: .*; change these settings"):
        with refusals_in_words():
            L.Trainer(strategy="quickly")
    with pytest.raises(ValueError, match=r"^nobody expects this$"), refusals_in_words():
        fails()
