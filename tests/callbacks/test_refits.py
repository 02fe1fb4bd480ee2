"""The hook that sees the data between steps: when, what, on how many ranks, and when a run is interrupted."""

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.callbacks.refits import Refits
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.refit import Count, Refit, some_places
from ssl_zoo.signals import Stopped, requests
from tests.two_processes import TwoProcesses

STEPS = 6
AT = (0.0, 0.5)


class Fits(Method):
    """Regresses the mean vector of the training data, which is taken anew twice."""

    mean: Tensor

    def __init__(self, encoder: MLP, optimizer: Optimizer = Optimizer(learning_rate=0.1)) -> None:
        super().__init__(encoder, optimizer)
        self.dropout, self.done = nn.Dropout(0.5), Count()
        self.register_buffer("mean", torch.zeros(encoder.dim))
        self.seen: list[dict[str, Any]] = []
        self.examples: int | None = None

    def refits(self) -> list[Refit]:
        first = tuple(self.encoder.parameters())[:1]  # of which Adam has summed up something when it is due again
        return [
            Refit(at, "means", self.collect, self.fit_mean, self.take, self.examples, first)
            for at in AT[self.done.value :]
        ]

    def collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.labels is None and not torch.is_grad_enabled() and not self.dropout.training
        vectors = self.encoder(batch.inputs).pooled[:, None]
        return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool)

    def fit_mean(self, vectors: Tensor) -> Tensor:
        self.seen.append({"step": self.global_step, "vectors": vectors})
        return vectors.mean(0)

    def take(self, mean: Tensor) -> None:
        self.mean.copy_(mean)
        self.done.value += 1

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        vectors = self.dropout(self.encoder(batch.inputs).pooled)
        return {"loss": (vectors - self.mean - 1).square().mean()}


def method() -> Fits:
    torch.manual_seed(0)
    return Fits(MLP(image_size=8, channels=1, hidden=[16, 4]))


def digits(batch_size: int = 12, train_size: int = 50) -> ImageData:
    torch.manual_seed(1)
    return ImageData(image_size=8, batch_size=batch_size, train_size=train_size)


def fit(model: Fits, folder: Path, *callbacks: L.Callback, path: Path | None = None, **settings: Any) -> L.Trainer:
    batch, Examples.fetched_at_once = Examples.fetched_at_once, 8  # seven batches, the last of two
    trainer = L.Trainer(
        accelerator="cpu", max_steps=STEPS, limit_val_batches=0, default_root_dir=folder, logger=False,
        callbacks=[ExactResume(), Refits(), LastCheckpoint(), *callbacks], enable_progress_bar=False,
        enable_model_summary=False, **settings,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # data lies in memory
        warnings.filterwarnings("ignore", ".*`limit_val_batches=0`")  # nothing is validated, as the test asks for
        try:
            trainer.fit(model, digits(), ckpt_path=path, weights_only=False)
        finally:
            Examples.fetched_at_once = batch
    return trainer


def last(folder: Path) -> Path:
    (path,) = folder.rglob("last.ckpt")
    return path


def test_it_reads_every_training_example_once_and_in_order_when_it_is_due(tmp_path):
    model = method()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, tmp_path)
    assert [each["step"] for each in model.seen] == [0, 3] and model.done.value == 2
    data = digits()
    data.setup()
    untrained = method()
    untrained.load_state_dict(start)
    everything = data.pretrain_set.__getitems__(list(range(50)))
    with torch.no_grad():
        expected = untrained.encoder(everything.inputs).pooled
    torch.testing.assert_close(model.seen[0]["vectors"], expected)
    assert model.training and model.dropout.training


def test_so_many_examples_are_the_same_choice_every_time(tmp_path):
    found = []
    for number in range(2):
        model = method()
        model.examples = 20
        fit(model, tmp_path / str(number))
        found.append(model.seen[0]["vectors"])
    assert torch.equal(*found) and len(found[0]) == 20


def test_a_run_that_goes_on_from_any_step_equals_the_whole_one_bit_for_bit(tmp_path):
    class SavesAlways(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    whole = method()
    fit(whole, tmp_path / "whole", SavesAlways())
    for step in (1, 3, 4):
        resumed = method()
        fit(resumed, tmp_path / f"from{step}", path=tmp_path / f"{step}.ckpt")
        assert [each["step"] for each in resumed.seen] == ([3] if step < 3 else [])
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), (step, name)


class Interrupted(Fits):
    """Is asked to stop while the data is read for the second time."""

    def collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.done.value == 1 and requests.received is None:
            requests.received = 15
        return super().collect(batch)


def test_a_run_that_is_asked_to_stop_meanwhile_stops_at_once_and_nothing_is_lost(tmp_path):
    whole = method()
    fit(whole, tmp_path / "whole")
    torch.manual_seed(0)
    stopped = Interrupted(MLP(image_size=8, channels=1, hidden=[16, 4]))
    with pytest.raises(Stopped):
        fit(stopped, tmp_path / "stopped")
    assert stopped.done.value == 1 and len(stopped.seen) == 1
    resumed = method()
    fit(resumed, tmp_path / "stopped", path=last(tmp_path / "stopped"))
    assert [each["step"] for each in resumed.seen] == [3]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def as_rank(folder: Path) -> list[Tensor]:
    model = method()
    model.dropout.p = 0.0  # which every rank draws for itself
    fit(model, folder, strategy="ddp", devices=2)
    return [each["vectors"] for each in model.seen]


def test_two_ranks_read_what_one_does_bit_for_bit(tmp_path, two_processes: TwoProcesses):
    model = method()
    model.dropout.p = 0.0
    fit(model, tmp_path / "one")
    first, second = two_processes(as_rank, tmp_path / "two")
    assert torch.equal(model.seen[0]["vectors"], first[0])
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(model.seen[1]["vectors"], first[1], atol=1e-4, rtol=1e-3)


def test_places_are_drawn_among_those_that_are_real():
    vectors = torch.arange(12.0).view(2, 6, 1)
    real = torch.arange(6) < torch.tensor([[6], [2]])
    draws = torch.tensor([[0.5, 0.1, 0.9, 0.2, 0.3, 0.8], [0.9, 0.8, 0.1, 0.1, 0.1, 0.1]])
    found, counted = some_places(vectors, real, draws, 3)
    assert found[0, :, 0].tolist() == [1, 3, 4] and counted[0].all()
    assert found[1, :2, 0].tolist() == [7, 6] and counted[1].tolist() == [True, True, False]


def test_a_method_that_asks_again_for_what_it_got_is_refused(tmp_path):
    class Forgets(Fits):
        def take(self, mean: Tensor) -> None:
            self.mean.copy_(mean)

    torch.manual_seed(0)
    with pytest.raises(InputError, match=r"Forgets\.refits asks again for means"):
        fit(Forgets(MLP(image_size=8, channels=1, hidden=[16, 4])), tmp_path)
