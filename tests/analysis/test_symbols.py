import pytest
import torch

from ssl_zoo.analysis.symbols import Reader, read_by, tune
from ssl_zoo.data.text.sources import dna
from ssl_zoo.data.text.sources.dna import SpliceJunctions
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.train import Settings
from ssl_zoo.runs.run import read_run
from tests.small_runs import small_run


@pytest.fixture
def run(tmp_path):
    return read_run(small_run("text", tmp_path).directory)


def test_bases_are_read_as_words_of_the_run_and_what_is_planted_is_learnt(run, tmp_path, monkeypatch):
    draw = torch.Generator().manual_seed(0)
    stretches = [(torch.randint(4, (12,), generator=draw), number % 2) for number in range(90)]
    planted = [(torch.where(torch.arange(12) < 4, label, bases).numpy(), label) for bases, label in stretches]
    path = tmp_path / "DNA.rda"
    path.touch()
    monkeypatch.setattr(dna, "read_splice", lambda _: iter(planted))
    monkeypatch.setattr(dna, "_file", lambda *_: path)
    monkeypatch.setattr("ssl_zoo.data.text.corpus.CACHE", tmp_path / "cache")
    data = read_by(run, SpliceJunctions(["cat", "dog", "bread", "milk"]), length=16)
    tokenizer = run.data.tokens().tokenizer
    numbers = [tokenizer.splitter.encode(f" {word}").ids for word in ("cat", "dog", "bread", "milk")]
    first = data.test_set.__getitems__([0])
    assert first.inputs.shape[1] == 14 and set(first.inputs[0, 1:-1].tolist()) <= {token for (token,) in numbers}

    readers = {"pretrained": Reader(run, data), "from scratch": Reader(run, data, untrained=True)}
    before = {name: value.clone() for name, value in run.encoder.state_dict().items()}
    found = tune(readers, [5], 2, Settings(40, 16, 1e-2), passes=1)
    assert all(torch.equal(value, before[name]) for name, value in run.encoder.state_dict().items())
    assert {row: {number: len(draws) for number, draws in each.items()} for row, each in found.items()} == {
        row: {"5": 2, "all": 2} for row in readers
    }
    assert min(found["pretrained"]["all"]) > 0.8
    again = tune(readers, [5], 1, Settings(40, 16, 1e-2), passes=1)
    assert again["from scratch"]["5"] == found["from scratch"]["5"][:1]


def test_a_word_of_several_tokens_is_refused(run):
    with pytest.raises(InputError, match=r"words has incomprehensible, which is \d+ tokens"):
        read_by(run, SpliceJunctions(["cat", "dog", "bread", "incomprehensible"]))
