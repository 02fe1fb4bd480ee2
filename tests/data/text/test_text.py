import pickle
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonargparse
import lightning as L
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Subset

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.loader import ShuffledSampler
from ssl_zoo.data.text import corpus as corpus_module
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.base import Document, TextSource
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.errors import InputError

RANDOM = random.Random(0)
WORDS = ["".join(RANDOM.choices("abcdefghij", k=RANDOM.randint(1, 7))) for _ in range(100)]
END, BEGIN, PAD = 3, 2, 0


class Made(TextSource):
    """Documents of random words; every third has no label if `mixed`, and the last `test` are the official test set."""

    licence = "none"

    def __init__(self, count: int = 100, labels: int = 0, mixed: bool = False, test: int = 0, seed: int = 0) -> None:
        self.count, self.labels, self.mixed, self.test, self.seed = count, labels, mixed, test, seed
        self.name = f"Made {count}"

    @property
    def classes(self) -> list[str]:
        return [f"class {label}" for label in range(self.labels)]

    def fingerprint(self) -> str:
        return repr(sorted(vars(self).items()))

    def documents(self) -> Iterator[Document]:
        draw = random.Random(self.seed)
        for number in range(self.count):
            text = " ".join(draw.choices(WORDS, k=draw.randint(3, 30)))  # three are enough for no two to be the same
            label = -1 if self.labels == 0 or (self.mixed and number % 3 == 0) else number % self.labels
            yield Document(text, label, "test" if number >= self.count - self.test else "train")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(corpus_module, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def ready(source: TextSource, **settings: Any) -> TextData:
    data = TextData(source, **{"tokenizer": "bpe", "vocab_size": 300, "length": 16, "batch_size": 4, **settings})
    data.setup()
    return data


def everything(examples: Examples) -> Batch:
    return examples.__getitems__(list(range(len(examples))))


def tokens_of(data: TextData) -> list[list[int]]:
    """The tokens of every document, one tokenization at a time."""
    backend = data.corpus.tokenizer.backend
    encoded = [backend.encode(document.text, add_special_tokens=False).ids for document in data.source.documents()]
    return [[BEGIN, *ids, END] for ids in encoded]


def positions_of(data: TextData) -> tuple[list[int], list[int], list[int]]:
    """The documents of the three parts, from single documents."""
    single = ready(data.source, packing=False, train_size=data.train_size)
    train, validation, test = (everything(p).index.tolist() for p in (single.train_set, single.validation_set,
                                                                      single.test_set))  # fmt: skip
    return train, validation, test


def rows_of(tokens: list[list[int]], chosen: list[int], length: int) -> list[list[int]]:
    joined = [token for number in chosen for token in tokens[number]]
    return [joined[start : start + length] for start in range(0, len(joined) - length + 1, length)]


# The split --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [0, 4])
def test_every_document_is_in_one_part_and_every_class_in_proportion(labels: int) -> None:
    train, validation, test = positions_of(ready(Made(200, labels)))
    assert sorted(train + validation + test) == list(range(200))
    assert (len(test), len(validation)) == (40, 16)
    for part in (train, validation, test):
        counts = np.bincount([position % 4 for position in part])
        assert labels == 0 or (np.abs(counts - len(part) / 4) <= 2).all()


@pytest.mark.filterwarnings("ignore:Made 120. left out 10 documents:UserWarning")  # as it is made to
def test_the_official_test_set_and_documents_without_labels() -> None:
    data = ready(Made(120, labels=3, mixed=True, test=30))
    train, validation, test = positions_of(data)
    labelled = [number for number in range(120) if number % 3]
    assert test == [number for number in labelled if number >= 90]
    assert sorted(train + validation) == [number for number in labelled if number < 90]
    pretrain = everything(ready(data.source, packing=False).pretrain_set).index.tolist()
    assert pretrain == sorted(train + [number for number in range(90) if number % 3 == 0])
    assert data.classes == ["class 0", "class 1", "class 2"] and data.source_name == "Made 120"
    for part, chosen in zip((data.train_set, data.validation_set, data.test_set), (train, validation, test),
                            strict=True):  # fmt: skip
        assert part.labels is not None and part.labels.tolist() == [number % 3 for number in chosen]
    assert data.pretrain_set.labels is None
    unlabelled = ready(Made(100, test=20))
    assert positions_of(unlabelled)[2] == list(range(80, 100)) and unlabelled.classes == []


def test_the_split_is_the_same_for_every_seed_and_tokenizer() -> None:
    torch.manual_seed(1)
    first = ready(Made(labels=2))
    torch.manual_seed(2)
    second = ready(Made(labels=2), tokenizer="characters", length=8)
    assert first.split_hash == second.split_hash and first.order_seed != second.order_seed
    others = [ready(Made(labels=2, seed=1))]
    others += [ready(Made(labels=2), **setting) for setting in ({"train_size": 10}, {"test_fraction": 0.3})]
    assert len({data.split_hash for data in [first, *others]}) == 4


def test_train_size_limits_what_is_trained_on_and_what_the_tokenizer_sees() -> None:
    whole, some = ready(Made(labels=2)), ready(Made(labels=2), train_size=20)
    assert set(positions_of(some)[0]) < set(positions_of(whole)[0]) and len(some.train_set) == 20
    assert positions_of(some)[1:] == positions_of(whole)[1:]
    assert some.train_set.labels is not None and torch.bincount(some.train_set.labels).tolist() == [10, 10]
    assert some.vocabulary["hash"] != whole.vocabulary["hash"]


def test_a_tokenizer_learns_from_training_documents_alone() -> None:
    data = ready(Made(), tokenizer="characters")
    held_out = positions_of(data)[2][0]

    class Odd(Made):
        def documents(self) -> Iterator[Document]:
            for number, document in enumerate(super().documents()):
                yield Document("\u2603" * 9) if number == held_out else document

    assert data.vocabulary["hash"] == ready(Odd(), tokenizer="characters").vocabulary["hash"]


def test_exact_copies_of_training_texts_among_those_held_out_are_counted() -> None:
    plain = ready(Made())
    train, validation, test = positions_of(plain)
    copied = {validation[0]: train[0], test[0]: train[1], test[1]: train[1], test[2]: validation[1], train[3]: train[4]}

    class Copied(Made):
        def documents(self) -> Iterator[Document]:
            documents = list(super().documents())
            yield from (documents[copied.get(number, number)] for number in range(len(documents)))

    for packing in (True, False):
        with pytest.warns(UserWarning, match="Made 100: 4 of 28 texts for validation and testing are exact copies"):
            ready(Copied(), packing=packing)


# Packed rows ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Made 100. left out .* documents:UserWarning")  # as it is made to
@pytest.mark.parametrize("source", [Made(), Made(labels=3), Made(labels=3, mixed=True, test=20)])
@pytest.mark.parametrize("length", [3, 16, 50])
def test_packed_rows_are_the_training_documents_in_order_and_nothing_else(source: Made, length: int) -> None:
    data = ready(source, length=length)
    pretrain = everything(ready(source, packing=False).pretrain_set).index.tolist()
    rows = everything(data.pretrain_set)
    assert rows.inputs.tolist() == rows_of(tokens_of(data), pretrain, length)
    assert rows.inputs.dtype == torch.int64 and rows.labels is None
    assert rows.index.tolist() == list(range(len(data.pretrain_set)))
    held_out = set(range(source.count)) - set(pretrain)
    assert len(held_out) >= 20 and len(pretrain) + len(held_out) == source.count
    assert data.train_dataloader().dataset is data.pretrain_set


def test_rows_of_small_classes_come_more_often_where_balance_says_so() -> None:
    class Uneven(Made):
        """Class by class: 300 documents of the first and 30 of the second."""

        def documents(self) -> Iterator[Document]:
            for number, document in enumerate(super().documents()):
                yield document._replace(label=int(number >= 300))

    data = ready(Uneven(330, labels=2), length=16, batch_size=4, balance=0.5)
    loader = data.train_dataloader()
    rows = data.pretrain_set
    pretrained = data.train_set.positions
    assert pretrained is not None
    of_tokens = np.repeat(data.corpus.labels[pretrained], np.diff(data.corpus.offsets)[pretrained])
    label_of_row = of_tokens[: len(rows) * 16 : 16]
    counts = np.bincount(label_of_row)
    assert isinstance(loader.sampler, ShuffledSampler)
    epoch = loader.sampler.order_of(0)
    drawn = np.bincount(label_of_row[epoch.numpy()])
    assert counts[0] > 8 * counts[1] and drawn.sum() == counts.sum()
    assert abs(drawn[0] / drawn[1] - (counts[0] / counts[1]) ** 0.5) < 0.1
    plain = ready(Uneven(330, labels=2), length=16, batch_size=4).train_dataloader().sampler
    assert isinstance(plain, ShuffledSampler) and sorted(plain.order_of(0).tolist()) == list(range(len(rows)))


def test_without_labels_every_part_is_packed() -> None:
    data = ready(Made())
    tokens = tokens_of(data)
    assert data.train_set is data.pretrain_set
    for part, chosen in zip((data.train_set, data.validation_set, data.test_set), positions_of(data), strict=True):
        assert everything(part).inputs.tolist() == rows_of(tokens, chosen, 16) and part.labels is None


def test_the_mask_numbers_the_documents_of_a_row() -> None:
    data = ready(Made(), length=32)
    batch = everything(data.pretrain_set)
    assert batch.mask is not None and batch.mask.dtype == torch.int64 and batch.mask.max() >= 3
    for row, numbers in zip(batch.inputs.tolist(), batch.mask.tolist(), strict=True):
        number = 1
        for token, found in zip(row, numbers, strict=True):
            assert found == number
            number += token == END


def test_there_is_no_mask_where_every_row_has_one_document() -> None:
    data = ready(Made(), length=4)
    rows = everything(data.pretrain_set).inputs
    inside = (rows[:, :-1] == END).any(1)
    one, several = (~inside).nonzero()[:, 0].tolist(), inside.nonzero()[:, 0].tolist()
    assert data.pretrain_set.__getitems__(one).mask is None and (rows[one] == END).any()  # an end may be the last
    assert data.pretrain_set.__getitems__([several[0], *one]).mask is not None


# Single documents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [3, 20, 1000])
def test_single_documents_are_padded_to_the_longest_and_cut_to_the_length(length: int) -> None:
    data = ready(Made(labels=2), length=length)
    tokens = tokens_of(data)
    chosen = [3, 0, 7, 20, 30, 31]
    batch = data.train_set.__getitems__(chosen)
    cut = [tokens[i][:length] for i in batch.index]  # what is cut has no end
    longest = max(map(len, cut))
    assert batch.inputs.tolist() == [ids + [PAD] * (longest - len(ids)) for ids in cut]
    assert batch.inputs.dtype == torch.int64 and batch.index.tolist() == [positions_of(data)[0][i] for i in chosen]
    if length == 3:
        assert batch.mask is None and longest == 3
    else:
        assert batch.mask is not None and batch.mask.dtype == torch.bool
        assert batch.mask.tolist() == [[place < len(ids) for place in range(longest)] for ids in cut]
    assert batch.labels is not None and batch.labels.tolist() == [number % 2 for number in batch.index.tolist()]
    assert Subset(data.train_set, chosen).__getitems__([1, 0]).index.tolist() == batch.index[[1, 0]].tolist()


# The tokenizer ----------------------------------------------------------------------------------------------------


def test_vocabulary_is_known_after_construction() -> None:
    data = TextData(Made(), "bpe", 300, length=16)
    vocabulary = data.vocabulary
    assert (vocabulary["size"], vocabulary["begin"], vocabulary["end"]) == (300, BEGIN, END)
    tokens, documents = tokens_of(data), list(data.source.documents())
    train = positions_of(data)[0]
    data.setup()
    assert data.decode(torch.tensor(tokens[train[0]])) == documents[train[0]].text


def test_a_ready_made_tokenizer_without_begin(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(dict.fromkeys(["</s>", "<unk>", *WORDS]))}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(tmp_path / "tokenizer.json"))
    data = ready(Made(), tokenizer=str(tmp_path / "tokenizer.json"))
    assert (data.vocabulary["begin"], data.vocabulary["end"], data.vocabulary["pad"]) == (None, 0, 0)
    documents = [document.text for document in data.source.documents()]
    train = positions_of(data)[0]
    tokens = sum(len(documents[i].split()) + 1 for i in train)
    assert len(data.pretrain_set) == tokens // 16


def test_a_checkpoint_of_another_tokenizer_is_refused() -> None:
    data = ready(Made())
    state = data.state_dict()
    again = ready(Made())
    again.order_seed = 5
    again.load_state_dict(state)
    assert again.order_seed == data.order_seed and state["tokenizer"] == data.vocabulary["hash"]
    for other in (ready(Made(seed=1)), ready(Made(), vocab_size=299), ready(Made(), tokenizer="characters")):
        with pytest.raises(InputError, match=rf"made with another tokenizer \({state['tokenizer']}\) than"):
            other.load_state_dict(state)


def test_a_second_data_module_tokenizes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ready(Made())

    def forbidden(*args: Any) -> None:
        raise AssertionError("tokenized again")

    monkeypatch.setattr(TextTokenizer, "encode_with_bytes", forbidden)
    monkeypatch.setattr(Made, "documents", forbidden)
    second = ready(Made(), length=8)
    assert second.vocabulary == first.vocabulary
    assert everything(second.test_set).inputs.flatten()[:160].equal(everything(first.test_set).inputs.flatten()[:160])


# Loaders and runs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [0, 3])
def test_worker_processes_fetch_the_same(labels: int) -> None:
    torch.manual_seed(3)
    alone = ready(Made(labels=labels))
    torch.manual_seed(3)
    helped = ready(Made(labels=labels), num_workers=2)
    for loader in ("train_dataloader", "val_dataloader"):
        for a, b in zip(getattr(alone, loader)(), getattr(helped, loader)(), strict=True):
            assert all(x is y or torch.equal(x, y) for x, y in zip(a[:4], b[:4], strict=True))
            assert torch.equal(a.fields["bytes"], b.fields["bytes"])


def test_parts_pickle_by_path() -> None:
    data = ready(Made(1000))
    assert data.pretrain_set.tokens.values.nbytes > 20_000 > 10 * len(pickle.dumps(data.pretrain_set))
    assert everything(pickle.loads(pickle.dumps(data.pretrain_set))).inputs.equal(everything(data.pretrain_set).inputs)


class Recorder(L.LightningModule):
    """Remembers the rows of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen.append(batch.index.tolist())
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(folder: Path, steps: int, seed: int, checkpoint: Path | None = None) -> tuple[Recorder, L.Trainer]:
    torch.manual_seed(seed)
    data = TextData(Made(), "bpe", 300, length=64, batch_size=8)
    trainer = L.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_steps=steps,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Recorder()
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return module, trainer


def test_a_resumed_run_sees_what_the_uninterrupted_one_sees(tmp_path: Path) -> None:
    whole, trainer = run(tmp_path, 20, seed=7)
    assert 20 > 2 * (len(trainer.datamodule.pretrain_set) // 8) > 0  # several passes
    first, cut = run(tmp_path, 9, seed=7)
    cut.save_checkpoint(tmp_path / "cut.ckpt")
    second, _ = run(tmp_path, 20, seed=8, checkpoint=tmp_path / "cut.ckpt")
    assert first.seen + second.seen == whole.seen
    torch.load(tmp_path / "cut.ckpt", weights_only=True)
    rebuilt = TextData.load_from_checkpoint(tmp_path / "cut.ckpt")
    assert rebuilt.order_seed == 7 and rebuilt.vocabulary == trainer.datamodule.vocabulary


# Limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"length": 2}, "length is 2: it must be at least 3"),
        ({"vocab_size": 260}, "vocab_size is 260: a tokenizer of the kind bpe needs at least 261"),
        ({"train_size": 0}, "train_size is 0: it must be at least 1"),
        ({"train_size": 73}, "train_size is 73, but Made 100 has 72: lower it"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0: it must lie between 0 and 1"),
        ({"test_fraction": 0.0}, "test_fraction is 0.0: it must lie between 0 and 1"),
        ({"balance": 1.1}, "balance is 1.1: it must lie between 0 and 1"),
        ({"balance": 0.7}, "balance is 0.7, but Made 100 has no classes: leave it out"),
        ({"num_workers": -1}, "num_workers is -1: it must be at least 0"),
        ({"batch_size": 1000}, "batch_size 1000 is larger than the training set"),
        ({"length": 10_000}, r"Made 100 has \d+ tokens to train on, less than one row of 10000: lower the data's len"),
        ({"length": 600}, r"Made 100 has \d+ tokens to validate on, less than one row of 600"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ready(Made(), **settings).train_dataloader()


def test_too_little_data() -> None:
    with pytest.raises(InputError, match=r"Made 2 has too few documents to train, validate and test \(2\)"):
        ready(Made(2))
    with pytest.raises(InputError, match="Made 3 has too few documents with labels"):
        ready(Made(3, labels=2, mixed=True))


def test_a_batch_takes_far_less_than_a_millisecond() -> None:
    data = ready(Made(2000, labels=2), length=128)
    for examples, count in ((data.pretrain_set, 32), (data.train_set, 32)):
        positions = torch.randperm(len(examples))[:count].tolist()
        times = []
        for _ in range(50):
            start = time.perf_counter()
            examples.__getitems__(positions)
            times.append(time.perf_counter() - start)
        assert sorted(times)[25] < 0.5e-3


def test_a_configuration_names_source_and_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in "abcdefgh":
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name} is a letter")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TextData, "data")
    arguments = ["--data.source=TextFiles", f"--data.source.root={tmp_path / 'texts'}", "--data.tokenizer=characters"]
    data = parser.instantiate(parser.parse_args([*arguments, "--data.length=4"])).data
    assert isinstance(data.source, TextFiles) and data.vocabulary["size"] < 30
    assert parser.instantiate(parser.parse_args([])).data.source_name == "PythonDocs"
