import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.cli import run
from ssl_zoo.data.answers import Answers
from ssl_zoo.data.examples import Examples
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.labelled import count_classes, nothing_to_evaluate, remarks_on
from ssl_zoo.runs.result_file import read_result
from tests.made import write_images


class Part(Examples):
    def __init__(self, labels: list[int] | None, count: int = 3) -> None:
        self.labels = None if labels is None else torch.tensor(labels, dtype=torch.int64)
        self.count = count if labels is None else len(labels)

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, positions: list[int]) -> Batch:
        raise NotImplementedError


class Data(Answers):
    def __init__(self, train: list[int] | None, validation: list[int] | None, test: list[int] | None) -> None:
        self.train_set, self.validation_set, self.test_set = Part(train), Part(validation), Part(test)
        self.classes = [str(number) for number in range(6)]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((None, None, None), "the data has no labels"),
        (([0, 1], [], [0, 1]), "the validation part is empty"),
        (([0] * 9, [0], [0, 0]), "all examples of the data are of one class"),
        (([0, 1] * 9, [0], [1]), "the test part has a single example"),
        (([0, 1] * 9, [0], [1, 1]), "all examples of the test part are of one class"),
        (([0, 1, 2], [3], [4, 5]), "no class of the test part has an example in the training part"),
        (([0, 0, 0], [1], [0, 1]), "all examples of the training part are of one class"),
    ],
)
def test_what_cannot_be_evaluated_is_a_sentence(parts, reason):
    assert nothing_to_evaluate(Data(*parts)).startswith(reason)
    with pytest.raises(InputError, match=f"nothing to evaluate on the data of the run x: {reason}"):
        count_classes(Data(*parts), "the run x")


def test_what_can_be_evaluated_is_counted_and_remarked_on():
    data = Data([0, 1, 2] * 10, [0, 1, 2], [0, 1, 2] * 10)
    assert nothing_to_evaluate(data) == "" and count_classes(data, "x") == 3 and remarks_on(data, [1, 10]) == []
    found = remarks_on(Data([0] * 9 + [1] * 4, [0], [0, 1, 1, 2]), [1, 5, 10])
    assert found[0].startswith("1 of 3 classes of the test part have no training example")
    assert found[1] == (
        "Some classes have fewer training examples than are asked for, 1 of 2 at 5 per class, 2 of 2 at 10 per class, "
        "and give all they have; the smallest has 4."
    )
    alone = remarks_on(Data([0] * 9 + [1], [0], [0, 1] * 10), [5])
    assert alone == [
        "Some classes have fewer training examples than are asked for, 1 of 2 at 5 per class, and give all they have; "
        "the smallest has 1."
    ]
    assert found[2] == "The test part has 4 examples: each is 25.0 points of accuracy."


@pytest.mark.parametrize(
    ("folders", "count", "reason"), [(1, 30, "all examples of the data are of one class"), (30, 1, "no class of the")]
)
def test_a_run_whose_classes_say_nothing_ends_with_a_sentence_and_health(tmp_path, capsys, folders, count, reason):
    write_images(tmp_path / "images", folders * count, folders, (8, 8, 3))
    run(
        ["fit", "--model", "VAE", "--model.encoder", "MLP", "--model.decoder", "MLPDecoder", "--data", "ImageData",
         "--data.source", "ImageFolder", f"--data.source.root={tmp_path / 'images'}", "--data.image_size=8",
         "--data.batch_size=8", "--trainer.max_steps=3", f"--runs_dir={tmp_path / 'runs'}",
         "--trainer.enable_progress_bar=false"]
    )  # fmt: skip
    sentence = f"There is no accuracy to measure: {reason}"
    assert sentence in capsys.readouterr().out
    (directory,) = (tmp_path / "runs").glob("*/*")
    assert read_result(directory).rows == {}
    logged = (directory / "metrics.csv").read_text()
    assert "health/rank" in logged and "probe/knn" not in logged  # which could only be 0 or 1
    run(["probe", "--run", str(directory)])
    assert sentence in capsys.readouterr().out
