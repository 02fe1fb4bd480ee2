import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from ssl_zoo.probes.accuracy import (
    Prediction,
    Score,
    balanced_accuracy,
    draw_labelled,
    is_informative,
    is_uneven,
    over_draws,
    scores,
    summarize,
)


def test_balanced_accuracy_is_scikit_learns_where_a_class_is_missing_too():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 70 + [1] * 20 + [3] * 10)
    predicted = torch.where(torch.rand(100, generator=generator) < 0.7, labels, torch.zeros_like(labels))
    expected = balanced_accuracy_score(labels, predicted)
    assert balanced_accuracy(predicted, labels) == pytest.approx(expected) and expected < 0.9
    # Which always predicting the largest class brings down to chance.
    assert scores(torch.zeros(100, dtype=torch.int64), labels) == pytest.approx({"accuracy": 0.7, "balanced": 1 / 3})


def test_it_stands_beside_the_accuracy_only_where_classes_differ_in_size():
    even, nearly, uneven = ([0] * 50 + [1] * 50, [0] * 52 + [1] * 50, [0] * 60 + [1] * 40)
    assert [is_uneven(torch.tensor(labels)) for labels in (even, nearly, uneven)] == [False, False, True]
    assert not is_uneven(torch.tensor([2, 2, 4, 4]))  # classes that do not occur have no size
    wrong = {labels: scores(torch.ones(100, dtype=torch.int64), torch.tensor(given)) for labels, given in
             (("even", even), ("uneven", uneven))}  # fmt: skip
    assert "balanced" not in wrong["even"] and set(wrong["uneven"]) == {"accuracy", "balanced"}


@pytest.mark.parametrize(
    ("known", "wanted", "informative"),
    [([0, 1], [0, 1], True), ([0, 1, 2], [2, 3], True), ([0, 0], [0, 1], False), ([0, 1], [1, 1], False),
     ([0, 1], [1], False), ([0, 1], [2, 3], False)],
)  # fmt: skip
def test_an_accuracy_that_could_only_be_nothing_or_everything_says_nothing(known, wanted, informative):
    assert is_informative(torch.tensor(known), torch.tensor(wanted)) is informative


def test_scores_are_summarized_over_draws():
    found = summarize([{"accuracy": 0.5, "balanced": 0.25}, {"accuracy": 0.7, "balanced": 0.35}])
    assert found.mean == pytest.approx(0.6) and found.std == pytest.approx(0.02**0.5)
    assert found.balanced.mean == pytest.approx(0.3) and found.balanced.draws == [0.25, 0.35]
    assert summarize([{"accuracy": 0.5}]) == Score(0.5, 0.0, [0.5])


def test_validation_data_may_choose_with_all_labels_and_never_with_few():
    known = torch.arange(40) % 2
    asked: list[tuple[int, bool]] = []

    def predict(chosen: torch.Tensor, everything: bool) -> dict[str, Prediction]:
        asked.append((len(chosen), everything))
        return {"linear": Prediction(known, {"penalty": float(len(chosen))})}

    results = over_draws(predict, known, known, [5, 1, 5], draws=2)
    assert asked == [(2, False), (2, False), (10, False), (10, False), (40, True)]
    assert list(results["linear"]) == ["1", "5", "all"]
    assert results["linear"]["5"].chosen == [{"penalty": 10.0}] * 2


def test_labelled_examples_are_drawn_class_by_class_and_alike_for_every_row():
    labels = torch.arange(300) % 7
    drawn = draw_labelled(labels, 4, draw=3)
    assert torch.bincount(labels[drawn]).tolist() == [4] * 7 and len(drawn.unique()) == 28
    assert torch.equal(drawn, draw_labelled(labels, 4, draw=3))
    assert not torch.equal(drawn, draw_labelled(labels, 4, draw=4))
    assert torch.equal(draw_labelled(labels, None, draw=0), torch.arange(300))
