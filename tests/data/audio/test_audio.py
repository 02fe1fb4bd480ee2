"""The audio data module on recordings whose samples say where they come from."""

from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import Subset

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.segments import frame_labels
from ssl_zoo.errors import InputError
from ssl_zoo.probes.features import extract
from tests.made import RATE, Ramps

LENGTHS = np.random.default_rng(0).integers(100, 3000, 120).tolist()
CROP = 500
BUCKETS = {"crop_seconds": None, "seconds_per_batch": 16.0, "max_seconds": 2.0}


def data(source: Ramps | None = None, order: int = 7, **settings: Any) -> AudioData:
    torch.manual_seed(order)
    source = source or Ramps(LENGTHS, [position % 3 for position in range(len(LENGTHS))])
    settings = {"sample_rate": RATE, "crop_seconds": CROP / RATE, "batch_size": 8, **settings}
    module = AudioData(source, **settings)
    module.setup()
    return module


def samples(waveforms: Tensor) -> np.ndarray:
    """The ramps' numbers."""
    return (waveforms.double().numpy() * 32768).round().astype(int)


def seen(module: AudioData, count: int) -> list[Batch]:
    loader, found = module.train_dataloader(), []
    while len(found) < count:
        for batch in loader:
            found.append(batch)
            if len(found) == count:
                break
    return found


def test_parts_hold_every_recording_once_with_classes_in_proportion() -> None:
    module = data()
    parts = (module.train_set, module.validation_set, module.test_set)
    assert sorted(chain(*(part.chosen.tolist() for part in parts))) == list(range(120))
    assert [len(part) for part in parts] == [86, 10, 24]
    for part in parts:
        assert torch.equal(part.labels, part.chosen % 3)
        assert part.labels.bincount().max() - part.labels.bincount().min() <= 2
        expected = torch.where(part.chosen % 3 == 0, -1, part.chosen % 2)
        assert torch.equal(part.tasks["parity"], expected)
    assert module.classes == ["0", "1", "2"] and module.task_classes == {"parity": ["even", "odd"]}


def test_recordings_without_a_label_are_for_pretraining_and_official_tests_are_kept() -> None:
    with pytest.warns(UserWarning, match="left out 10 recordings .* no label"):
        module = data(Ramps(LENGTHS, [-1 if n < 30 else n % 2 for n in range(120)], tests=list(range(20, 50))))
    assert module.test_set.chosen.tolist() == list(range(30, 50))
    assert set(module.pretrain_set.chosen.tolist()) - set(module.train_set.chosen.tolist()) == set(range(20))
    assert module.pretrain_set.labels is None and module.train_set.labels is not None


def test_split_and_hash_depend_on_the_data_alone() -> None:
    first, second = data(order=1), data(order=2)
    assert torch.equal(first.train_set.chosen, second.train_set.chosen) and first.split_hash == second.split_hash
    other = data(Ramps([*LENGTHS[:-1], LENGTHS[-1] + 1], [n % 3 for n in range(120)]))
    assert other.split_hash != first.split_hash


def test_whole_recordings_come_in_order_with_a_mask_and_are_cut_at_the_most() -> None:
    module = data(max_seconds=1.5)
    positions = [4, 0, 7]
    batch = module.train_set.__getitems__(positions)
    sizes = [LENGTHS[index] for index in module.train_set.chosen[positions].tolist()]
    assert batch.inputs.dtype == torch.float32 and batch.index.tolist() == module.train_set.chosen[positions].tolist()
    for row, size, real in zip(samples(batch.inputs), sizes, batch.mask, strict=True):
        kept = min(size, 1500)
        assert row[:kept].tolist() == list(range(1, kept + 1)) and not row[kept:].any()
        assert real.tolist() == [True] * kept + [False] * (len(row) - kept)
    assert module.train_set.__getitems__([3]).mask is None


def test_crops_are_stretches_and_short_recordings_are_repeated() -> None:
    module = data()
    short = 0
    for batch in seen(module, 10):
        assert batch.inputs.shape == (8, CROP) and batch.mask is None
        for row, index in zip(samples(batch.inputs), batch.index.tolist(), strict=True):
            size = LENGTHS[index]
            if size >= CROP:
                assert (np.diff(row) == 1).all() and row[0] >= 1 and row[-1] <= size
            else:
                short += 1
                assert row.tolist() == [place % size + 1 for place in range(CROP)]
    assert short > 3


@pytest.mark.filterwarnings("ignore:.*exact copies:UserWarning")  # made to be alike
def test_crops_begin_anywhere_alike() -> None:
    module = data(Ramps([1499] * 40), train_size=24)
    starts = np.concatenate([samples(batch.inputs)[:, 0] for batch in seen(module, 90)]) - 1
    assert starts.min() >= 0 and starts.max() <= 999
    counts = np.histogram(starts, bins=10, range=(0, 1000))[0]
    # Chi-square with 9 degrees of freedom: 27.9 has probability 0.001.
    assert ((counts - 72) ** 2 / 72).sum() < 27.9


def test_order_and_crops_are_a_function_of_the_seed_and_change_every_pass() -> None:
    one, again, other = (seen(data(order=order), 20) for order in (1, 1, 2))
    for first, second in zip(one, again, strict=True):
        assert torch.equal(first.index, second.index) and torch.equal(first.inputs, second.inputs)
    assert not torch.equal(one[0].index, other[0].index)
    first, second = ({int(i): row for batch in part for i, row in zip(batch.index, samples(batch.inputs), strict=True)}
                     for part in (one[:10], one[10:]))  # fmt: skip
    moved = [i for i in first.keys() & second.keys() if LENGTHS[i] > CROP + 200]
    assert len(moved) > 30 and np.mean([first[i][0] != second[i][0] for i in moved]) > 0.95


@pytest.mark.parametrize("settings", [{}, BUCKETS, {"alpha": 0.0}])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_goes_on_where_it_was_saved(settings: dict[str, Any], num_workers: int) -> None:
    whole = seen(data(**settings), 16)
    loader = data(**settings, num_workers=num_workers).train_dataloader()
    loader.load_state_dict({"position": 9})
    for batch, expected in zip(loader, whole[9:], strict=False):
        assert torch.equal(batch.index, expected.index) and torch.equal(batch.inputs, expected.inputs)


class FakeTrainer:
    def __init__(self, rank: int, world_size: int) -> None:
        self.global_rank, self.world_size, self.training = rank, world_size, False


@pytest.mark.parametrize("settings", [{}, BUCKETS, {"alpha": 0.3}, {**BUCKETS, "alpha": 0.3}])
@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_the_batches_of_all_ranks_are_those_of_one_process(settings: dict[str, Any], world_size: int) -> None:
    module = data(**settings)
    whole = list(module.train_dataloader())
    ranks: list[Any] = []
    for rank in range(world_size):
        module.trainer = FakeTrainer(rank, world_size)
        ranks.append(list(module.train_dataloader()))
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert torch.equal(torch.cat([share.index for share in shares]), batch.index)
        rows = [row[row > 0] for share in shares for row in samples(share.inputs)]
        assert all((mine == row[row > 0]).all() for mine, row in zip(rows, samples(batch.inputs), strict=True))


def test_batches_by_seconds_hold_whole_recordings_with_little_padding() -> None:
    module = data(**BUCKETS)
    loader = module.train_dataloader()
    found = list(loader)
    assert len(found) == len(loader)
    real = total = 0
    for batch in found:
        assert batch.inputs.numel() <= 16 * RATE
        mask = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask
        assert (mask.sum(1) == torch.tensor([min(LENGTHS[i], 2000) for i in batch.index])).all()
        real, total = real + int(mask.sum()), total + mask.numel()
        for row, kept in zip(samples(batch.inputs), mask.numpy(), strict=True):
            assert (np.diff(row[kept]) == 1).all() and not row[~kept].any()
    indices = torch.cat([batch.index for batch in found])
    assert len(indices.unique()) == len(indices) > len(module.train_set) - 8
    assert module.padding == pytest.approx(1 - real / total) and module.padding < 0.15
    long = [row[0] for batch in found for row, i in zip(samples(batch.inputs), batch.index, strict=True)
            if LENGTHS[i] > 2500]  # fmt: skip
    assert len(set(long)) > len(long) / 2  # cut at random places
    assert data().padding == 0


def test_validation_and_test_have_the_middle_of_each_recording_when_training_has_crops() -> None:
    module = data()
    for loader, part in (
        (module.val_dataloader(), module.validation_set),
        (module.test_dataloader(), module.test_set),
    ):
        batches = list(loader)
        rows, index = torch.cat([batch.inputs for batch in batches]), torch.cat([batch.index for batch in batches])
        assert rows.shape == (len(part), CROP) and torch.equal(index.sort().values, part.chosen)
        sizes = dict(zip(part.chosen.tolist(), part.sizes.tolist(), strict=True))
        for row, position in zip(samples(rows), index.tolist(), strict=True):
            assert row[0] == 1 + max(0, sizes[position] - CROP) // 2
    assert any(batch.mask is not None for batch in module.predict_dataloader())
    whole = data(**BUCKETS)
    rows = [row for batch in whole.val_dataloader() for row in samples(batch.inputs)]
    assert sorted(row.max() for row in rows) == sorted(whole.validation_set.sizes.clip(max=2000).tolist())


def test_probes_see_whole_recordings_a_few_at_a_time() -> None:
    module = data()
    shapes = []

    def represent(batch: Batch) -> Tensor:
        shapes.append(batch.inputs.shape)
        mask = torch.ones_like(batch.inputs) if batch.mask is None else batch.mask
        return mask.float().sum(1, keepdim=True)

    found = extract(represent, Subset(module.train_set, [5, 2, *range(30)]), torch.device("cpu"))
    expected = module.train_set.sizes[[5, 2, *range(30)]]
    assert found.vectors[:, 0].tolist() == expected.tolist() and max(shape[0] for shape in shapes) == 16
    assert torch.equal(found.labels, module.train_set.labels[[5, 2, *range(30)]])


def test_frames_are_labelled_as_a_search_through_the_segments_says() -> None:
    module = data()
    examples, centers = module.train_set, torch.arange(0, 100, 3) + 0.5
    for position in range(6):
        ends, phones = [0.01, 0.04], [1, 0]
        expected = []
        for center in centers.tolist():
            inside = [phone for end, phone in zip(ends, phones, strict=True) if center / RATE < end]
            known = examples.chosen[position] % 2 == 1 and inside
            expected.append(inside[0] if known else -1)
        assert frame_labels(examples, position, centers).tolist() == expected
    assert module.phones == ["a", "b"]
    odd = int((examples.chosen % 2 == 1).nonzero()[0])
    assert frame_labels(examples, odd, torch.tensor([9, 10, 11, 40])).tolist() == [1, 0, 0, -1]


@pytest.mark.filterwarnings("ignore:.*exact copies:UserWarning")  # made to be alike
def test_balancing_fills_crops_with_the_rare_class() -> None:
    source = Ramps([700] * 200, [int(position >= 180) for position in range(200)])
    natural, balanced = (
        torch.cat([batch.labels for batch in seen(data(source, alpha=alpha), 60)]).float().mean()
        for alpha in (None, 0.0)
    )
    assert natural == pytest.approx(0.1, abs=0.02) and balanced == pytest.approx(0.5, abs=0.02)
    crops = [
        (int(index), int(row[0]))
        for batch in list(data(source, alpha=0.0).train_dataloader())
        for index, row in zip(batch.index, samples(batch.inputs), strict=True)
    ]
    assert len(set(crops)) > 0.95 * len(crops)  # drawn twice in a pass, a recording is cut elsewhere


class Recorder(L.LightningModule):
    """Remembers the examples of every step that it finished."""

    def __init__(self, fail_at: int = -1) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[list[int], float]] = []
        self.fail_at = fail_at

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.global_step == self.fail_at:
            raise RuntimeError("power cut")
        self.seen.append((batch.index.tolist(), float(batch.inputs.sum())))
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")  # both runs share a folder
@pytest.mark.parametrize("settings", [{}, {**BUCKETS, "seconds_per_batch": 48.0}])
def test_a_run_cut_and_resumed_sees_what_the_uninterrupted_one_sees(settings: dict[str, Any], tmp_path: Path) -> None:
    def fit(module: Recorder, checkpoint: Path | None = None, order: int = 7) -> list[tuple[list[int], float]]:
        trainer = L.Trainer(
            accelerator="cpu",
            default_root_dir=tmp_path,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_steps=25,
            callbacks=[ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)],
        )
        trainer.fit(module, datamodule=data(order=order, **settings), ckpt_path=checkpoint)
        return module.seen

    whole = fit(Recorder())
    per_pass = len(data(**settings).train_dataloader())
    assert len(whole) == 25 > 2 * per_pass and len({tuple(index) for index, _ in whole}) == 25
    cut = Recorder(fail_at=per_pass + 2)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(cut)
    # With another seed: the checkpoint's counts.
    resumed = fit(Recorder(), tmp_path / f"step={per_pass + 2}.ckpt", order=99)
    assert cut.seen + resumed == whole


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_seconds": None}, "give one of them"),
        ({"seconds_per_batch": 60.0}, "give one of them"),
        ({**BUCKETS, "seconds_per_batch": 1.0}, "shorter than max_seconds"),
        ({"crop_seconds": 0.0}, "at least one sample"),
        ({"alpha": -1.0}, "between 0 and 1"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"batch_size": 500}, "larger than the training set of 86 recordings"),
        ({"train_size": 500}, "lower it"),
    ],
)
def test_mistakes_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        data(**settings).train_dataloader()


def test_balancing_without_classes_is_refused() -> None:
    with pytest.raises(InputError, match="alpha balances classes"):
        data(Ramps(LENGTHS), alpha=0.5).train_dataloader()
