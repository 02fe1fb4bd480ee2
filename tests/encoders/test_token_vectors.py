"""A transformer's token vectors begin as those of a run of word2vec, which it needs no more once it has begun."""

import shutil
from pathlib import Path

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.cli import run
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.runs.run import load_run, rebuild
from tests.made import write_texts


@torch.no_grad()
def least_cosine(run: Path, other: Path) -> float:
    """Of the token vectors of two runs, those of special tokens left out."""
    tables = [load_run(each).method.encoder.token_embedding.weight for each in (run, other)]
    return float(torch.cosine_similarity(tables[0][5:], tables[1][5:]).min())


def fit(root: Path, runs: Path, *options: str) -> Path:
    """A short run on a file of texts; returns its folder."""
    before = set(runs.glob("*/*"))
    run(["fit", "--data=TextData", "--data.source=TextFiles", f"--data.source.root={root}", "--data.vocab_size=120",
         "--data.length=16", "--data.batch_size=8", "--trainer.max_steps=2", "--trainer.accelerator=cpu",
         "--trainer.enable_progress_bar=false", "--probe_after_fit=false", f"--runs_dir={runs}", *options])  # fmt: skip
    (created,) = set(runs.glob("*/*")) - before
    return created


WORD2VEC = ["--model=Word2Vec", "--model.encoder=BagOfTokens", "--model.encoder.dim=16", "--experiment=words"]
BERT = ["--model=BERT", "--model.encoder=BertEncoder", "--model.encoder.dim=16", "--model.encoder.depth=1",
        "--model.encoder.heads=2", "--model.optimizer.learning_rate=1e-12", "--experiment=bert"]  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.jsonl")


@pytest.fixture(scope="module")
def words(texts, tmp_path_factory) -> Path:
    """The run of word2vec."""
    return fit(texts, tmp_path_factory.mktemp("words"), *WORD2VEC)


def test_they_are_the_runs_at_the_size_of_drawn_ones(words):
    found = load_run(words).method.encoder
    vocabulary = found.vocabulary
    torch.manual_seed(1)
    drawn = BertEncoder(vocabulary, 16, 1, 2).token_embedding.weight
    torch.manual_seed(1)
    begun = BertEncoder(vocabulary, 16, 1, 2, token_vectors=str(words)).token_embedding.weight
    theirs = found.token_embedding.weight
    others = torch.arange(len(begun)) != vocabulary["pad"]  # the padding's vector stays zero
    assert not begun[vocabulary["pad"]].any()
    ratios = (begun / theirs)[others].detach()
    torch.testing.assert_close(ratios, torch.full_like(ratios, float(ratios[0, 0])), rtol=1e-4, atol=0)
    assert float((begun.norm() / drawn.norm()).detach()) == pytest.approx(1, abs=0.01)


def test_a_bag_has_them_as_they_are_and_is_the_encoder_of_the_run(words):
    found = load_run(words).method.encoder
    bag = BagOfTokens(found.vocabulary, 16, token_vectors=str(words))
    assert torch.equal(bag.token_embedding.weight, found.token_embedding.weight)
    inputs = torch.arange(5, 15)[None]
    assert torch.equal(bag(inputs).pooled, found(inputs).pooled)
    with pytest.raises(InputError, match="have 16 numbers and this encoder's 8"):
        BagOfTokens(found.vocabulary, 8, token_vectors=str(words))


def test_of_word2vec_with_both_vectors_they_are_the_sums_as_its_features_are(texts, tmp_path):
    directory = fit(texts, tmp_path / "runs", *WORD2VEC, "--model.add_outputs=true")
    method = load_run(directory).method
    bag = BagOfTokens(method.encoder.vocabulary, 16, token_vectors=str(directory))
    batch = Batch(torch.arange(5, 15)[None], None, None, torch.arange(1))
    torch.testing.assert_close(bag(batch.inputs).pooled, method.encode(batch).pooled)
    assert not torch.allclose(bag.token_embedding.weight, method.encoder.token_embedding.weight, atol=1e-4)


def test_a_run_begins_with_them_says_so_and_needs_them_no_more(words, texts, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(words, copy)
    directory = fit(texts, tmp_path / "runs", *BERT, f"--model.encoder.token_vectors={copy}", "--probe_after_fit=true",
                    "--probe.draws=1", "--probe.labels_per_class=[1]", "--probe.ceiling=false")  # fmt: skip
    shutil.rmtree(copy)
    assert least_cosine(directory, words) > 0.999
    # The untrained encoder that results stand beside has vectors of its own.
    loaded = load_run(directory)
    untrained, trained = (
        each.encoder.token_embedding.weight.detach() for each in (rebuild(loaded.checkpoint), loaded.method)
    )
    assert float(torch.cosine_similarity(untrained[5:], trained[5:]).abs().mean()) < 0.5
    assert f"those of the run {copy}" in (directory / "results.json").read_text()

    run(["fit", "--config", str(directory / "config.yaml"), f"--runs_dir={tmp_path / 'runs'}",
         f"--ckpt_path={directory / 'checkpoints' / 'last.ckpt'}", "--trainer.max_steps=3",
         "--probe_after_fit=false"])  # fmt: skip
    longer = max((tmp_path / "runs").glob("*/*"))
    assert load_run(longer).checkpoint["global_step"] == 3


def test_electras_discriminator_begins_with_them(words, texts, tmp_path):
    modern = ["--model=ELECTRA", "--model.encoder=ModernBertEncoder", "--model.encoder.dim=16", *BERT[3:]]
    directory = fit(texts, tmp_path / "runs", *modern, f"--model.encoder.token_vectors={words}")
    assert least_cosine(directory, words) > 0.999


def test_what_does_not_fit_is_refused_in_a_sentence(words, tmp_path):
    vocabulary = load_run(words).method.encoder.vocabulary
    BertEncoder(vocabulary, 16, 1, 2).model.save_pretrained(tmp_path / "published")
    for sentence, changes in {
        "which is no run; train one": {"token_vectors": str(tmp_path)},
        "have 16 numbers and this encoder's 32": {"dim": 32},
        "are not those of this run": {"vocabulary": {**vocabulary, "hash": "0" * 16}},
        "leave out token_vectors": {"pretrained": str(tmp_path / "published")},
    }.items():
        with pytest.raises(InputError, match=sentence):
            BertEncoder(**{"vocabulary": vocabulary, "dim": 16, "depth": 1, "heads": 2, "token_vectors": str(words),
                           **changes})  # fmt: skip


def test_a_run_without_tokens_is_refused_in_a_sentence(words, tmp_path):
    vocabulary = load_run(words).method.encoder.vocabulary
    run(["fit", "--model=SimCLR", "--model.encoder=ResNet", "--model.encoder.depth=10", "--model.encoder.width=4",
         "--model.views=DigitViews", "--data=ImageData", "--data.train_size=32", "--data.batch_size=16",
         "--trainer.max_steps=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
         "--probe_after_fit=false", f"--runs_dir={tmp_path}"])  # fmt: skip
    (directory,) = tmp_path.glob("*/*")
    with pytest.raises(InputError, match="ResNet has no table of tokens"):
        BertEncoder(vocabulary, 16, 1, 2, token_vectors=str(directory))
