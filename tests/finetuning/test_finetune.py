"""The command, on short runs on text and on images."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from ssl_zoo import whereabouts
from ssl_zoo.cli import run
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning import finetune as finetune_module
from ssl_zoo.finetuning import train as train_module
from ssl_zoo.finetuning.finetune import finetune
from ssl_zoo.finetuning.records import read_records
from ssl_zoo.finetuning.train import draw_order
from ssl_zoo.runs.fine_tuned import read_fine_tuned, write_fine_tuned
from ssl_zoo.runs.run import load_run
from tests.made import write_texts

ROOT = Path(__file__).parents[2]
QUICK = {"draws": 2, "steps": 3, "epochs": 1, "batch_size": 8}
ONCE = {"draws": 1, "epochs": 1, "batch_size": 128}  # of some 1,300 images


@pytest.fixture(scope="module")
def text_run(tmp_path_factory) -> Path:
    """BERT on sentences of two topics."""
    folder = tmp_path_factory.mktemp("text")
    write_texts(folder / "texts.jsonl")
    run(
        ["fit", "--model", "BERT", "--model.encoder", "BertEncoder", "--model.encoder.dim=16",
         "--model.encoder.depth=1", "--model.encoder.heads=2", "--model.encoder.max_length=64", "--data", "TextData",
         "--data.source", "TextFiles", f"--data.source.root={folder / 'texts.jsonl'}", "--data.vocab_size=200",
         "--data.length=40", "--data.batch_size=4", "--trainer.max_steps=3", "--probe_after_fit=false",
         f"--runs_dir={folder}", "--experiment=bert"]
    )  # fmt: skip
    (directory,) = folder.glob("bert/*")
    return directory


@pytest.fixture(scope="module")
def image_run(tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    run(
        ["fit", "--config", str(ROOT / "experiments" / "quickstart.yaml"), "--runs_dir", str(runs),
         "--trainer.max_steps=2", "--data.batch_size=32", "--data.image_size=8", "--model.encoder.width=8",
         "--probe_after_fit=false"]
    )  # fmt: skip
    (directory,) = runs.glob("quickstart/*")
    return directory


@pytest.fixture
def folder(tmp_path) -> Path:
    """Small tasks of every kind."""
    entries = {
        "tags": {"tokens": "the cat sees bread".split(), "tags": ["O", "B-animal", "O", "B-food"]},
        "pairs": {"text": "a cat", "second": "a dog", "label": "alike"},
        "spans": {"question": "animal", "context": "bread and a cat and jam", "start": 12, "end": 15},
    }
    for task, entry in entries.items():
        (tmp_path / task).mkdir()
        for name in ("train", "test"):
            other = {**entry, "second": "rice", "label": "unlike"} if task == "pairs" else entry
            lines = "\n".join(json.dumps(line) for line in [entry, other] * 6)
            (tmp_path / task / f"{name}.jsonl").write_text(lines)
    return tmp_path


def check(record: dict, rows: list[str], figures: list[str], numbers: list[str], draws: int) -> None:
    assert list(record["rows"]) == rows
    for row in record["rows"].values():
        # Which there is of classes that differ in size among the few test examples drawn.
        assert [figure for figure in row if figure != "balanced accuracy"] == figures
        for by_number in row.values():
            assert list(by_number) == numbers
            for found in by_number.values():
                assert len(found["draws"]) == draws and all(0 <= value <= 1 for value in found["draws"])
                assert found["mean"] == pytest.approx(sum(found["draws"]) / draws)


def test_classes_of_the_run_s_own_texts(text_run, capsys):
    finetune(text_run, labels_per_class=[4, 2], **QUICK)
    record = json.loads((text_run / "finetune-classes.json").read_text())
    check(record, ["BERT", "untrained encoder"], ["accuracy"], ["2", "4", "all"], draws=2)
    assert record["data"]["test"] == 24 and record["seeds"] == [0, 1] and record["protocol"] == 2
    assert record["budget"]["steps"] == 3 and record["budget"]["epochs"] == 1
    assert record["budget"]["steps_by_number"] == {"2": 3, "4": 3, "all": 11}  # 86 examples
    assert record["pretraining"]["steps"] == 3
    printed = capsys.readouterr().out
    assert "untrained encoder" in printed and "labels per class" in printed and "finetune-classes.json" in printed


def test_the_same_numbers_again(text_run):
    finetune(text_run, labels_per_class=[2], **QUICK)
    first = (text_run / "finetune-classes.json").read_text()
    finetune(text_run, labels_per_class=[2], **QUICK)
    assert (text_run / "finetune-classes.json").read_text() == first


def test_rows_differ_in_the_weights_they_begin_with_and_in_nothing_else(text_run, monkeypatch):
    calls = []

    def note(encoder, task, chosen, seed, settings, on_step):
        weights = {name: value.clone() for name, value in encoder.state_dict().items()}
        calls.append((weights, chosen.tolist(), seed, settings))
        for parameter in encoder.parameters():
            parameter.data.zero_()  # as far as training can go
        return [[0]] * len(task.test)

    monkeypatch.setattr(finetune_module, "fine_tune", note)
    finetune(text_run, labels_per_class=[3], draws=2, steps=5)
    assert len(calls) == 2 * 2 * 2
    pretrained = load_run(text_run).method.encoder.state_dict()
    fresh = []
    for first, second in zip(calls[::2], calls[1::2], strict=True):
        assert first[1:] == second[1:]
        assert all(torch.equal(value, pretrained[name]) for name, value in first[0].items())
        fresh.append(second[0]["model.embeddings.word_embeddings.weight"])
        assert not torch.equal(fresh[-1], pretrained["model.embeddings.word_embeddings.weight"])
    assert torch.equal(fresh[0], fresh[2]) and not torch.equal(fresh[0], fresh[1])  # every draw begins anew
    assert [call[2] for call in calls[::2]] == [0, 1, 0, 1]


def test_where_a_teacher_is_evaluated_it_is_the_teacher_that_is_trained_further(tmp_path, monkeypatch):
    run(
        ["fit", "--model=IJEPA", "--model.encoder=ViT", "--model.encoder.dim=16", "--model.encoder.depth=1",
         "--model.encoder.heads=2", "--model.encoder.patch_size=2", "--model.encoder.pooling=mean",
         "--model.encoder.freeze_patches=true", "--model.predictor_dim=8", "--model.predictor_depth=1",
         "--model.predictor_heads=1", "--model.optimizer.warmup=0", "--data=ImageData", "--data.batch_size=8",
         "--trainer.max_steps=2", "--probe_after_fit=false", f"--runs_dir={tmp_path}", "--experiment=ijepa"]
    )  # fmt: skip
    (directory,) = tmp_path.glob("ijepa/*")
    method, begun = load_run(directory).method, []
    monkeypatch.setattr(
        finetune_module, "fine_tune", lambda encoder, task, *_: begun.append(encoder) or [[0]] * len(task.test)
    )
    finetune(directory, labels_per_class=[2], draws=1, steps=1)
    student, teacher, trained = (part.state_dict() for part in (method.encoder, method.teacher.module, begun[0]))
    assert all(torch.equal(value, teacher[name]) for name, value in trained.items())
    assert not all(torch.equal(value, student[name]) for name, value in trained.items())
    both = zip(begun[0].parameters(), method.encoder.parameters(), strict=True)
    learns = [own.requires_grad == its.requires_grad for own, its in both]  # and a teacher's parameters never
    assert all(learns) and any(own.requires_grad for own in begun[0].parameters())


def test_all_labels_are_seen_by_both_rows_as_often_as_asked_for(text_run, monkeypatch):
    """300 steps of 16 once saw 4,800 of 58,650 labels."""
    seen: list[tuple[int, list[int]]] = []

    def order_of(chosen, count, seed):
        seen.append((len(chosen), draw_order(chosen, count, seed)))
        return seen[-1][1]

    monkeypatch.setattr(train_module, "draw_order", order_of)
    finetune(text_run, labels_per_class=[2], draws=1, steps=2, epochs=3, batch_size=8)
    few, many = seen[:2], seen[2:]
    for both in (few, many):
        assert len(both) == 2 and both[0] == both[1]
    assert few[0][0] == 4 and many[0][0] == 86
    for examples, order in (few[0], many[0]):
        times = Counter(order)
        assert len(times) == examples and min(times.values()) >= 3
    assert len(many[0][1]) == math.ceil(3 * 86 / 8) * 8


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(text_run, capsys, monkeypatch):
    monkeypatch.setattr(whereabouts, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(whereabouts, "LOOK_SECONDS", 60.0)
    finetune(text_run, labels_per_class=[2], **QUICK)
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed if line.startswith("fine-tuning: ")]
    steps = 2 * 2 * (3 + 11)  # draws, rows, and steps as in `test_classes_of_the_run_s_own_texts`
    before = printed[: printed.index(lines[0])]  # what it costs is said first
    assert sum(f"from scratch: 8 trainings of {steps} steps in all" in line for line in before) == 1
    assert len(lines) == steps
    assert re.fullmatch(
        rf"fine-tuning: 1 of {steps} steps, \d+ s left \(BERT, 2 labels per class, draw 1, loss \d\.\d+\)", lines[0]
    )
    assert "(untrained encoder, all labels per class, draw 2, loss " in lines[-1] and f"{steps} of {steps}" in lines[-1]


def test_both_rows_learn(text_run):
    finetune(text_run, labels_per_class=[], draws=1, steps=60, epochs=1, batch_size=16, learning_rate=3e-3)
    rows = json.loads((text_run / "finetune-classes.json").read_text())["rows"]
    # The topics are predicted from single words: a minute's pretraining is not needed for them.
    assert min(row["accuracy"]["all"]["mean"] for row in rows.values()) > 0.8


@pytest.mark.parametrize(
    ("task", "figures", "numbers"),
    [
        ("tags", ["f1", "accuracy"], {"examples": [3]}),
        ("pairs", ["accuracy"], {"labels_per_class": [3]}),
        ("spans", ["f1", "exact match"], {"examples": [3]}),
    ],
)
def test_a_user_s_own_task(text_run, folder, task, figures, numbers):
    finetune(text_run, task, data=folder / task, test_examples=7, **numbers, **QUICK)
    record = json.loads((text_run / f"finetune-{task}.json").read_text())
    check(record, ["BERT", "untrained encoder"], figures, ["3", "all"], draws=2)
    assert record["data"] == {**record["data"], "source": task, "train": 12, "test": 7, "left_out": [0, 0]}


def test_without_a_folder_the_task_is_made_of_wordnet(text_run, folder, monkeypatch, capsys):
    made = read_records(folder / "spans", "spans")
    far = made.train[0]._replace(context="bread " * 99 + made.train[0].context, start=99 * 6 + 12, end=99 * 6 + 15)
    records = made._replace(name="WordNet spans", train=[*made.train, far])
    monkeypatch.setattr(finetune_module, "find_or_fetch", lambda: folder)
    monkeypatch.setattr(finetune_module, "wordnet_records", lambda task, path: {("spans", folder): records}[task, path])
    finetune(text_run, "spans", examples=[], **QUICK)
    data = json.loads((text_run / "finetune-spans.json").read_text())["data"]
    assert data["source"] == "WordNet spans" and data["train"] == 12 and data["left_out"] == [1, 0]
    assert "1 training and 0 test examples" in " ".join(capsys.readouterr().out.split())


def test_images_are_fine_tuned_as_they_are(image_run):
    finetune(image_run, labels_per_class=[1], steps=2, test_examples=50, **ONCE)
    record = json.loads((image_run / "finetune-classes.json").read_text())
    check(record, ["SimCLR", "untrained encoder"], ["accuracy"], ["1", "all"], draws=1)
    assert record["data"]["test"] == 50 and record["remarks"] == []


def test_the_probe_of_the_frozen_encoder_stands_beside_them(image_run, capsys):
    run(["probe", f"--run={image_run}", "--draws=2", "--labels_per_class=[1]", "--ceiling=false", "--layers=false"])
    probed = json.loads((image_run / "results.json").read_text())["rows"]["SimCLR"]["linear"]
    capsys.readouterr()
    finetune(image_run, labels_per_class=[1, 2], steps=1, test_examples=50, **ONCE)
    record = json.loads((image_run / "finetune-classes.json").read_text())
    assert list(record["rows"]) == ["SimCLR", "before", "untrained encoder"]
    before = record["rows"]["before"]["accuracy"]
    assert list(before) == ["1", "all"]  # two labels per class were not probed
    assert before["1"]["mean"] == probed["1"]["mean"] and before["all"]["mean"] == probed["all"]["mean"]
    assert any("the frozen encoder, which was evaluated on 359 test labels" in each for each in record["remarks"])
    assert "before" in capsys.readouterr().out
    (image_run / "results.json").unlink()


def test_what_is_written_is_read_and_so_are_files_of_before(text_run):
    finetune(text_run, labels_per_class=[2], layer_decay=0.5, **QUICK)
    path = text_run / "finetune-classes.json"
    found = read_fine_tuned(path)
    assert found.budget.layer_decay == 0.5 and found.rows["BERT"]["accuracy"]["2"].draws
    first = path.read_text()
    assert write_fine_tuned(text_run, found) == path and path.read_text() == first
    old = json.loads(first)
    for name in ("remarks", "seeds", "parameters", "pretraining"):
        del old[name]
    del old["budget"]["layer_decay"], old["budget"]["epochs"], old["data"]["left_out"]
    path.write_text(json.dumps(old))
    again = read_fine_tuned(path)
    assert (again.budget.layer_decay, again.budget.epochs, again.data.left_out) == (1, 0, (0, 0))
    assert again.rows == found.rows and again.remarks == []
    path.write_text(json.dumps({**old, "rows": {"BERT": {"accuracy": {"all": {"mean": 1.5}}}}}))
    with pytest.raises(ValueError, match=r"1\.5 is no accuracy"):
        read_fine_tuned(path)


def test_what_the_figures_do_not_say_stands_beside_them(image_run, capsys):
    finetune(image_run, labels_per_class=[500], steps=1, test_examples=10, **ONCE)
    record = json.loads((image_run / "finetune-classes.json").read_text())
    few, small = record["remarks"]
    assert "asked for, 10 of 10 at 500 per class, and give all they have; the smallest has " in few
    assert small == "The test part has 10 examples: each is 10.0 points of accuracy."
    assert few in (out := capsys.readouterr().out) and small in out


def test_mistakes_end_in_a_sentence(text_run, image_run, folder):
    cases = [
        (image_run, {"task": "tags"}, "tags are a task on text, but .* was trained on .*: choose classes"),
        (text_run, {"task": "classes", "data": folder}, "classes are those of the run's own data"),
        (text_run, {"task": "pairs", "examples": [3]}, "of pairs are numbered by labels_per_class: give that"),
        (text_run, {"task": "tags", "labels_per_class": [3]}, "of tags are numbered by examples: give that"),
        (text_run, {"task": "tags", "examples": [0]}, "examples must be at least 1, not 0"),
        (image_run, {"test_examples": 1}, "with test_examples 1 the test examples of Digits are not of two classes"),
        (text_run, {"epochs": 0}, "epochs must be at least 1, not 0"),
        (text_run, {"draws": 0}, "draws must be at least 1, not 0"),
        (text_run, {"learning_rate": 0.0}, "learning_rate must be above 0"),
        (text_run, {"task": "tags", "data": folder / "nowhere"}, r"There is no .*train\.jsonl"),
        (text_run, {"task": "tags", "data": folder / "tags", "examples": [13]}, "examples is 13, but tags has 12"),
        (folder / "nowhere", {}, "There is no run at"),
    ]
    for directory, arguments, message in cases:
        with pytest.raises(InputError, match=message) as error:
            finetune(directory, **{"steps": 1, **arguments})
        assert "\n" not in str(error.value)
