"""Scores against cases small enough to count by hand."""

import pytest

from ssl_zoo.tasks.scores import accuracy, entities, entity_f1, exact_match, overlap_f1


def test_accuracy_counts_answers_and_not_examples():
    assert accuracy([[1, 2, 3], [0]], [[1, 2, 0], [1]]) == 2 / 4


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-x I-x O B-x", {("x", 0, 1), ("x", 3, 3)}),
        ("B-x B-x I-x", {("x", 0, 0), ("x", 1, 2)}),
        ("O I-x I-x", {("x", 1, 2)}),  # an entity that nothing begins
        ("B-x I-y I-y", {("x", 0, 0), ("y", 1, 2)}),
        ("B-x O I-x", {("x", 0, 0), ("x", 2, 2)}),
        ("NOUN VERB NOUN O", {("NOUN", 0, 0), ("VERB", 1, 1), ("NOUN", 2, 2)}),
        ("B-a-b I-a-b", {("a-b", 0, 1)}),
        ("B I O B", {("", 0, 1), ("", 3, 3)}),
        ("O O", set()),
    ],
)
def test_entities(tags, found):
    assert entities(tags.split()) == found


def test_entity_f1_wants_kind_beginning_and_end():
    wanted = ["B-x I-x O B-y".split(), "B-x O".split()]
    predicted = ["B-x O O B-y".split(), "B-y B-x".split()]
    # Found: x too short, y right, y of the wrong kind, x where none is: 1 of 4. Of 3 true entities one is found.
    precision, recall = 1 / 4, 1 / 3
    assert entity_f1(predicted, wanted) == pytest.approx(2 * precision * recall / (precision + recall))
    assert entity_f1(wanted, wanted) == 1.0
    assert entity_f1([["O"] * 4, ["O"] * 2], wanted) == 0.0 and entity_f1([["O"]], [["O"]]) == 0.0


def test_equal_entities_of_two_sentences_are_two():
    assert entity_f1([["B-x"], ["O"]], [["B-x"], ["B-x"]]) == pytest.approx(2 / 3)


def test_answers_match_whatever_their_case_articles_and_punctuation():
    assert exact_match(["The Cat,", "a cat", "dogs"], ["cat", "cats", "dogs"]) == 2 / 3


def test_overlap_f1_counts_shared_words():
    # Predicted "black cat sat", wanted "black cat cat" without its article: 2 shared, precision 2/3, recall 2/3.
    assert overlap_f1(["black cat sat"], ["The black cat cat."]) == pytest.approx(2 / 3)
    # 1 shared of 1 predicted and of 3 wanted: precision 1, recall 1/3.
    assert overlap_f1(["red"], ["red green blue"]) == pytest.approx(2 * 1 * (1 / 3) / (1 + 1 / 3))
    assert overlap_f1(["the", "the", "x"], ["a", "y", "the"]) == pytest.approx(1 / 3)  # nothing but articles
