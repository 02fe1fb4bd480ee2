import math
import os
import signal
import warnings
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.trainer.states import TrainerFn

from ssl_zoo import whereabouts
from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.figures import ViewsFigure
from ssl_zoo.callbacks.health import Health
from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.callbacks.online_probe import OnlineProbe
from ssl_zoo.callbacks.progress import StepLines, StepProgress
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.image import MLP, ResNet
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm
from ssl_zoo.views.image import DigitViews

# Examples that probes are fitted on: enough to be right more often than not.
BANK = 200


def method(encoder: Encoder | None = None, **settings) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(
        encoder or ResNet(10, 8, channels=1), DigitViews(), projection_hidden=32, projection_dim=16, **settings
    )


def collapsed() -> SimCLR:
    """A method to whose encoder all images are the same, and stay so."""
    encoder = MLP([16], image_size=8, channels=1)
    for parameter in encoder.parameters():
        torch.nn.init.zeros_(parameter) if parameter.ndim > 1 else torch.nn.init.ones_(parameter)
    return method(encoder, optimizer=Optimizer(learning_rate=0.0))


def fit(model: SimCLR, folder: Path, *callbacks: L.Callback, steps: int = 60, every: int = 30, **settings) -> L.Trainer:
    """Trains, with a validation every so many steps."""
    torch.manual_seed(1)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        log_every_n_steps=min(every, 10),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        logger=CSVLogger(folder, "logs", "one"),
        callbacks=list(callbacks),
        **{"enable_progress_bar": False, "enable_checkpointing": False, **settings},
    )
    with warnings.catch_warnings():
        for message in (
            ".*does not have many workers",  # the data lies in memory
            ".*smaller than the logging interval",  # steps are counted over the whole run
        ):
            warnings.filterwarnings("ignore", message)  # it is not what is tested
        trainer.fit(model, datamodule=ImageData(image_size=8, batch_size=64))
    return trainer


def test_alarms_warn_of_a_collapsed_representation(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # they are asserted on, not hidden
        fit(collapsed(), tmp_path, Health(), Alarms())
    said = [str(warning.message) for warning in caught]
    assert sum("collapsed" in message for message in said) == 1
    assert any("sits at chance" in message for message in said)


def test_a_loss_at_chance_is_seen_through_accumulated_gradients(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # they are asserted on, not hidden
        fit(collapsed(), tmp_path, Alarms(), accumulate_grad_batches=2)
    # Both views of all 64 examples are alike: one of 127 candidates is right.
    (said,) = [str(warning.message) for warning in caught if "sits at chance" in str(warning.message)]
    assert f"{math.log(127):.3f}, where" in said


def test_alarms_keep_no_more_losses_than_it_needs_however_long_nothing_is_validated():
    alarms, trainer = Alarms(), SimpleNamespace(world_size=1, accumulate_grad_batches=1)
    batch = Batch(torch.zeros(2, 1), None, None, torch.arange(2))
    model = method()
    for _ in range(3000):
        alarms.on_train_batch_end(trainer, model, {"loss": torch.ones(())}, batch, 0)
    assert len(alarms._losses) <= 1000


def test_health_is_silent_while_a_method_learns_and_logs_its_figures(tmp_path):
    trainer = fit(method(), tmp_path, Health(), Alarms(), OnlineProbe(BANK), Throughput())  # warnings are errors here
    known = trainer.callback_metrics
    assert 0 < known["health/std"] <= 1 and known["health/rank"] > 2
    assert known["health/uniformity"] < 0 < known["health/alignment"]
    assert known["probe/knn"] > 0.5 and known["probe/linear"] > 0.5
    assert known["throughput/samples_per_second"] > 0 and 0 <= known["throughput/data_wait"] < 1


class Gloomy(SimCLR):
    """Has an alarm of its own."""

    def alarms(self, batch_size: int) -> list[Alarm]:
        return [Alarm("train/accuracy", "Of {train/loss:.2f} nothing comes, in batches of " + str(batch_size), below=2)]


def test_a_method_with_an_alarm_of_its_own_needs_no_callback(tmp_path):
    torch.manual_seed(0)
    model = Gloomy(ResNet(10, 8, channels=1), DigitViews(), projection_hidden=32, projection_dim=16)
    with pytest.warns(UserWarning, match=r"Of \d\.\d\d nothing comes, in batches of 64") as caught:
        fit(model, tmp_path, Alarms(), steps=90)
    said = [warning for warning in caught if "nothing comes" in str(warning.message)]
    assert len(said) == 1  # at step 60, and not again at 90


def test_a_validation_loss_that_rises_while_the_training_loss_falls_is_warned_of_once():
    alarms = Alarms()

    def validate(step: int, training: float, held_out: float) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # they are asserted on, not hidden
            alarms._look_for_overfitting({"train/loss": training, "val/loss": held_out}, step)
        return [str(warning.message) for warning in caught]

    assert validate(100, 3.0, 4.0) == []
    assert validate(200, 2.5, 3.5) == []
    assert validate(300, 3.0, 4.5) == []  # both rise: not overfitting, whatever it is
    assert validate(400, 2.0, 3.6) == []  # within a twentieth of the lowest
    (said,) = validate(500, 1.5, 3.9)
    assert "lowest after step 200, 3.500, and is 3.900 now" in said and "from 2.500 to 1.500" in said
    assert validate(600, 1.0, 5.0) == []
    resumed = Alarms()
    resumed.load_state_dict(alarms.state_dict())
    with pytest.warns(UserWarning, match="lowest after step 200"):
        resumed._look_for_overfitting({"train/loss": 1.0, "val/loss": 5.0}, 700)


def test_a_training_loss_that_rises_again_while_the_rank_falls_is_warned_of_once():
    alarms = Alarms()

    def validate(step: int, training: float, rank: float) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # they are asserted on, not hidden
            alarms._look_for_relapse({"train/loss": training, "health/rank": rank}, step)
        return [str(warning.message) for warning in caught]

    assert validate(100, 2.0, 20.0) == []
    assert validate(200, 3.0, 30.0) == []  # targets become richer
    assert validate(300, 1.0, 40.0) == []
    assert validate(400, 1.05, 20.0) == []  # within a tenth of the lowest
    assert validate(500, 1.5, 35.0) == []
    (said,) = validate(600, 1.2, 25.0)
    assert "lowest after step 300, 1.000, and has risen to 1.200" in said and "from 40.0 to 25.0" in said
    assert validate(700, 2.0, 10.0) == []
    resumed = Alarms()
    resumed.load_state_dict(alarms.state_dict())
    with pytest.warns(UserWarning, match="lowest after step 300"):
        resumed._look_for_relapse({"train/loss": 2.0, "health/rank": 10.0}, 800)
    Alarms().load_state_dict({"lowest": {}})  # of a checkpoint from before


def test_probes_change_neither_the_weights_nor_the_mode(tmp_path):
    plain, watched = method(), method()
    fit(plain, tmp_path / "plain", ExactResume(), steps=5, every=3)
    watch = OnlineProbe(BANK), Health(), Throughput(), ViewsFigure()
    fit(watched, tmp_path / "watched", ExactResume(), *watch, steps=5, every=3)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def test_throughput_counts_every_example(tmp_path):
    throughput = Throughput()
    fit(method(), tmp_path, throughput, steps=7)
    assert throughput.samples == 7 * 64 and throughput.seconds > 0
    other = Throughput()
    other.load_state_dict(throughput.state_dict())
    assert (other.samples, other.seconds) == (throughput.samples, throughput.seconds)
    assert other.peak_memory == throughput.peak_memory
    other.load_state_dict({"samples": 1, "seconds": 2.0})  # of an older checkpoint


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="compares with what Linux says of the process")
def test_the_peak_memory_of_a_run_is_that_of_its_process_and_never_forgotten():
    throughput = Throughput()
    throughput.load_state_dict({"samples": 0, "seconds": 0.0, "peak_memory": 2**50})
    assert throughput.state_dict()["peak_memory"] == 2**50  # of the process that was resumed
    found = Throughput().state_dict()["peak_memory"]
    (reported,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    assert found == pytest.approx(1024 * int(reported.split()[1]), rel=0.02)


def test_the_views_picture_shows_images_above_their_views(tmp_path):
    from PIL import Image

    fit(method(), tmp_path, ViewsFigure(), steps=1)
    with Image.open(tmp_path / "logs" / "one" / "figures" / "views.png") as picture:
        names = picture.width - (12 * (8 + 2) * 12 + 2 * 12)  # of the rows, beside them
        assert 0 < names < 150 and picture.height == 3 * (8 + 2) * 12 + 2 * 12


@pytest.mark.parametrize("bar", [True, False])
def test_progress_prints_a_line_a_validation_where_there_is_no_terminal(tmp_path, capsys, bar):
    fit(method(), tmp_path, StepLines(), OnlineProbe(BANK), steps=6, every=3, enable_progress_bar=bar)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split(":")[0] for line in lines] == ["step 3", "step 6"]
    assert all("loss" in line and "kNN" in line and "linear" in line for line in lines)


def test_a_validation_of_which_nothing_is_known_yet_is_a_line_without_an_end_that_promises_more(capsys):
    lines = StepLines()
    lines._has_bar = False
    state = SimpleNamespace(fn=TrainerFn.FITTING)
    lines.on_validation_end(
        SimpleNamespace(state=state, sanity_checking=False, global_step=5, callback_metrics={}), method()
    )
    assert capsys.readouterr().out.splitlines()[-1] == "step 5"


def test_exact_resume_seeds_dropout_by_step_and_not_by_history(tmp_path):
    class Draws(L.Callback):
        def __init__(self, waste: int):
            self.seen, self.waste = [], waste

        def on_train_batch_end(self, *_):
            self.seen.append(float(torch.rand(())))
            torch.rand(self.waste)

    one, other = Draws(0), Draws(5)
    fit(method(), tmp_path / "one", ExactResume(), one, steps=4)
    fit(method(), tmp_path / "other", ExactResume(), other, steps=4)
    assert one.seen == other.seen and len(set(one.seen)) == 4


class TenMinutesLater(L.Callback):
    """Lets the clock of checkpoints run out once."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 3:
            trainer.checkpoint_callback._last_time_checked -= 700


def test_the_last_checkpoint_is_that_of_the_end_in_a_run_that_saved_one_on_the_way(tmp_path):
    trainer = fit(method(), tmp_path, TenMinutesLater(), LastCheckpoint(), steps=7, enable_checkpointing=True)
    folder = Path(trainer.checkpoint_callback.dirpath)
    steps = {path.name: torch.load(path, weights_only=False)["global_step"] for path in folder.iterdir()}
    assert steps.pop("last.ckpt") == 7
    assert set(steps.values()) == {4}


class CtrlC(L.Callback):
    """Interrupts the fourth step, after its forward pass."""

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)


class Fourth(L.Callback):
    """What there is after the fourth step."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 4:
            self.state = {name: value.clone() for name, value in pl_module.state_dict().items()}


def test_an_interrupted_step_is_finished_before_the_run_is_saved(tmp_path):
    fourth, last = Fourth(), LastCheckpoint()
    handler = signal.getsignal(signal.SIGINT)
    fit(method(), tmp_path / "whole", ExactResume(), fourth, steps=7)
    with pytest.raises(SystemExit), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Detected KeyboardInterrupt")  # which is the point
        fit(method(), tmp_path / "cut", ExactResume(), CtrlC(), last, steps=7, enable_checkpointing=True)
    saved = torch.load(Path(last.dirpath) / "last.ckpt", weights_only=False)
    assert saved["global_step"] == 4
    assert all(torch.equal(saved["state_dict"][name], value) for name, value in fourth.state.items())
    assert signal.getsignal(signal.SIGINT) is handler


def test_without_a_terminal_predictions_say_how_far_they_are(capsys, monkeypatch):
    monkeypatch.setattr(whereabouts, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(whereabouts, "LOOK_SECONDS", 60.0)
    trainer = L.Trainer(
        accelerator="cpu", logger=False, callbacks=[StepProgress()], enable_checkpointing=False,
        enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.predict(method(), ImageData(image_size=8, batch_size=100))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("predict: ")]
    assert lines[-1] == "predict: 4 of 4 batches, 0 s left" and len(lines) == 4  # of 359 images
