"""What only runs on text have: the baseline of words in no order, prompts with examples, and samples."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from ssl_zoo.batch import Batch
from ssl_zoo.cli import run
from ssl_zoo.data.examples import Examples
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.bag_of_words import classify_words, count_words
from ssl_zoo.evaluation.in_context import in_context, score
from ssl_zoo.probes.cross_validation import FOLDS, PENALTIES, assign_folds
from ssl_zoo.runs.run import load_run, rebuild
from tests.made import write_texts

VOCABULARY = {"size": 40, "special": [0, 1, 2]}


class Sentences(Examples):
    """Rows of token ids of two classes, which prefer different tokens."""

    def __init__(self, seed: int, count: int) -> None:
        draw = random.Random(seed)
        self.labels = torch.arange(count) % 2
        self.rows = []
        for label in self.labels.tolist():
            words = [draw.randrange(3 + 12 * label, 28 + 12 * label) for _ in range(5)]
            self.rows.append([1, *words[: draw.randint(3, 5)], 2])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> Batch:
        chosen = [self.rows[position] for position in positions]
        width = max(map(len, chosen))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in chosen])
        mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in chosen])
        return Batch(ids, mask, self.labels[positions], torch.tensor(positions))

    def texts(self) -> list[str]:
        return [" ".join(f"w{token}" for token in row if token > 2) for row in self.rows]


def test_words_are_counted_without_special_tokens():
    sentences = Sentences(0, 30)
    counts = count_words(sentences, VOCABULARY).counts.toarray()
    for row, found in zip(sentences.rows, counts, strict=True):
        wanted = Counter(token for token in row if token > 2)
        assert {token: int(found[token]) for token in found.nonzero()[0]} == wanted


def test_the_baseline_is_scikit_learns_tf_idf_and_logistic_regression():
    train, validation, test = (Sentences(seed, count) for seed, count in ((1, 200), (2, 100), (3, 100)))
    predicted = classify_words(*(count_words(part, VOCABULARY) for part in (train, test, validation))).classes
    weigh = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit(train.texts())
    known, held, wanted = (weigh.transform(part.texts()) for part in (train, validation, test))
    candidates = [
        LogisticRegression(C=1 / (penalty * 200), max_iter=100).fit(known, train.labels)
        for penalty in (1e-1, 1e-2, 1e-3)
    ]
    best = max(candidates, key=lambda one: one.score(held, validation.labels))
    accuracy = float((predicted == test.labels).float().mean())
    assert accuracy > 0.6 and abs(accuracy - best.score(wanted, test.labels)) < 0.05


def test_few_texts_are_classified_as_by_a_fit_of_all_tokens():
    train, test = (Sentences(seed, 100) for seed in (1, 3))
    known, wanted = (count_words(part, VOCABULARY) for part in (train, test))
    predicted, chosen = classify_words(known.choose(torch.arange(12)), wanted)
    assert chosen == {"penalty": 0.01 / 12}
    words = [f"w{token}" for token in range(VOCABULARY["size"])]
    weigh = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+", vocabulary=words).fit(train.texts()[:12])
    fit = LogisticRegression(C=100, max_iter=10_000).fit(weigh.transform(train.texts()[:12]), train.labels[:12])
    expected = torch.from_numpy(fit.predict(weigh.transform(test.texts())))
    assert len(set(expected.tolist())) == 2 and (predicted == expected).float().mean() > 0.97


def test_ten_texts_per_class_choose_the_penalty_by_cross_validation():
    train, test = (count_words(Sentences(seed, 60), VOCABULARY) for seed in (1, 3))
    predicted, chosen = classify_words(train, test)
    weigh = TfidfTransformer(sublinear_tf=True).fit(train.counts)
    known, fold, labels = weigh.transform(train.counts), assign_folds(train.labels).numpy(), train.labels.numpy()

    def held_out(penalty: float) -> float:
        total = 0.0
        for one in range(FOLDS):
            kept = fold != one
            fit = LogisticRegression(C=1 / (penalty * kept.sum()), max_iter=10_000).fit(known[kept], labels[kept])
            chances = fit.predict_proba(known[~kept])[range(sum(~kept)), labels[~kept]]
            total -= float(np.log(chances).sum())
        return total

    assert chosen == {"penalty": min(PENALTIES, key=held_out)}
    assert (predicted == test.labels).float().mean() > 0.6


def test_a_class_of_one_text_lies_in_one_held_out_part_and_chooses_nothing():
    train, test = (count_words(Sentences(seed, 60), VOCABULARY) for seed in (1, 3))
    labels = torch.where(torch.arange(60) == 7, 2, train.labels)  # a third class, which classes between may not be
    for lonely in (labels, torch.where(labels == 2, 1, labels + (labels == 1))):
        _, chosen = classify_words(train._replace(labels=lonely), test)
        assert chosen["penalty"] in PENALTIES


def test_one_text_per_class_is_enough_and_no_cause_for_a_warning():
    train, test = (count_words(Sentences(seed, 100), VOCABULARY) for seed in (1, 3))
    predicted = classify_words(train.choose(torch.arange(2)), test).classes
    assert set(predicted.tolist()) == {0, 1} and (predicted == test.labels).float().mean() > 0.5


def test_a_large_vocabulary_in_a_checkpoint_is_not_checked_id_by_id():
    # Which would take hours: jsonargparse copies the list for every item of it.
    vocabulary = {
        "size": 60_000, "pad": 0, "begin": 1, "end": 2, "mask": None, "unknown": None, "special": [0, 1, 2],
        "continuations": list(range(3, 50_000)), "hash": "0" * 16,
    }  # fmt: skip
    encoder = {"dim": 8, "depth": 1, "heads": 1, "vocabulary": vocabulary}
    settings = {"class_path": "ssl_zoo.encoders.text.GPT2Encoder", "init_args": encoder}
    method = rebuild({"hyper_parameters": {"_class_path": "ssl_zoo.methods.gpt.GPT", "encoder": settings}})
    assert method.encoder.vocabulary == vocabulary


@pytest.fixture(scope="module")
def gpt_run(tmp_path_factory) -> Path:
    """GPT on sentences of two topics, with its end: probes, samples and figures."""
    folder = tmp_path_factory.mktemp("text")
    write_texts(folder / "texts.jsonl", 150, words=(5, 9))
    run(
        ["fit", "--model", "GPT", "--model.encoder", "GPT2Encoder", "--model.encoder.dim=16",
         "--model.encoder.depth=1", "--model.encoder.heads=2", "--model.encoder.max_length=64",
         "--model.max_new_tokens=8", "--model.prompt_tokens=4", "--data", "TextData",
         "--data.source", "TextFiles", f"--data.source.root={folder / 'texts.jsonl'}", "--data.vocab_size=100",
         "--data.length=32", "--data.batch_size=8", "--trainer.max_steps=6", "--trainer.check_val_every_n_epoch=1",
         "--probe.draws=2", "--probe.labels_per_class=[2]", f"--runs_dir={folder}", "--experiment=gpt"]
    )  # fmt: skip
    (directory,) = folder.glob("gpt/*")
    return directory


def test_a_run_on_text_ends_with_the_baseline_of_its_words(gpt_run):
    rows = json.loads((gpt_run / "results.json").read_text())["rows"]
    assert list(rows) == ["GPT", "untrained encoder", "tf-idf", "supervised"]
    assert list(rows["tf-idf"]) == ["linear"] and list(rows["tf-idf"]["linear"]) == ["2", "all"]
    assert rows["tf-idf"]["linear"]["all"]["mean"] > 0.9  # the topics share no distinctive word


def test_a_language_model_leaves_samples_and_predicts_texts(gpt_run):
    samples = (gpt_run / "samples.txt").read_text()
    first = load_run(gpt_run).data
    prompt = first.decode(first.validation_set.__getitems__([0]).inputs[0][:4])
    assert samples.startswith(f"{prompt}│") and samples.count("│") == 4
    last = str(gpt_run / "checkpoints" / "last.ckpt")
    run(["predict", "--config", str(gpt_run / "config.yaml"), "--ckpt_path", last])
    (written,) = gpt_run.rglob("generated.txt")
    assert written.read_text().count("│") == len(first.test_set)


def test_a_candidate_is_scored_by_the_mean_log_likelihood_of_its_tokens(gpt_run):
    model = load_run(gpt_run).method
    prompt, candidates = torch.tensor([2, 7, 9]), [torch.tensor([5, 6, 8]), torch.tensor([11])]
    for found, candidate in zip(score(model, prompt, candidates), candidates, strict=True):
        ids = torch.cat([prompt, candidate])[None]
        with torch.no_grad():
            likelihood = model.token_logits(model.encoder(ids).sequence)[0].log_softmax(-1)
        steps = [float(likelihood[len(prompt) - 1 + i, token]) for i, token in enumerate(candidate)]
        assert float(found) == pytest.approx(np.mean(steps), abs=1e-5)


def test_sorting_in_context_is_reported_beside_its_baselines(gpt_run, capsys):
    in_context(gpt_run, shots=[0, 2], draws=2, examples=1000)
    record = json.loads((gpt_run / "in_context.json").read_text())
    assert list(record["rows"]) == ["GPT", "untrained encoder"] and record["examples"] == 30
    assert [len(record["rows"]["GPT"][shots]["draws"]) for shots in ("0", "2")] == [1, 2]
    assert record["commonest_class"] == 0.5 and "commonest class" in capsys.readouterr().out
    assert record["remarks"] == []


def test_prompts_that_are_longer_than_the_network_reads_are_counted(gpt_run, capsys):
    data = load_run(gpt_run).data
    in_context(gpt_run, shots=[0, 60], draws=1, examples=6)
    record = json.loads((gpt_run / "in_context.json").read_text())
    assert record["rows"]["GPT"]["0"]["cut"] == 0 and record["rows"]["GPT"]["60"]["cut"] == 1
    (remark,) = record["remarks"]
    assert remark.startswith("With 60 solved examples 100 % of the prompts lost their beginning")
    assert remark in capsys.readouterr().out and len(data.train_set) >= 60


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"template": "{text} is"}, "must have {text} and after it {label}"),
        ({"label_names": ["one"]}, "1 label_names for 2 classes"),
        ({"draws": 0}, "draws and examples at least 1"),
        ({"examples": 1}, "with examples 1 the test texts of .* are not of two classes"),
        ({"shots": [1, 5000]}, "shots is 5000, but .* training texts: take fewer"),
        ({"label_names": ["one", " "]}, "a class has a blank name"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(gpt_run, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        in_context(gpt_run, **settings)
