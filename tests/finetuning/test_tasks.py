"""What becomes of records: every target looked up in the text again."""

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.answers import Answers
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.text.tokenizer import TextTokenizer, train_tokenizer
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.class_tasks import LabelledExamples, class_task, pair_task
from ssl_zoo.finetuning.records import Pair, Question, Records, TaggedSentence
from ssl_zoo.finetuning.tasks import draw_test
from ssl_zoo.finetuning.token_tasks import SpanTask, TagTask

CONTEXT = "The capital of France is Paris, and Rome is that of Italy"
TAGGED = TaggedSentence(["Paris", "lies", "in", "Northern", "France"], ["B-city", "O", "O", "B-land", "I-land"])


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "characters"])
def tokenizer(request) -> TextTokenizer:
    return train_tokenizer(request.param, [CONTEXT, " ".join(TAGGED.tokens)] * 5, 300)


def ask(answer: str) -> Question:
    start = CONTEXT.index(answer)
    return Question("Which?", CONTEXT, start, start + len(answer))


def test_tags_go_to_the_first_piece_of_each_word(tokenizer):
    task = TagTask(Records("x", [TAGGED], [TAGGED]), tokenizer, 128)
    ids, targets, places = task.train.examples[0]
    assert [task.tags[number] for number in targets[places]] == TAGGED.tags
    pieces = [tokenizer.decode([token]).strip().removeprefix("##") for token in ids[places].tolist()]
    for piece, word in zip(pieces, TAGGED.tokens, strict=True):
        assert piece and word.lower().startswith(piece.lower())
    assert not places[0] and not places[-1]


def test_words_that_are_cut_off_are_not_evaluated():
    tokenizer = train_tokenizer("characters", ["a b c"], 20)
    sentence = TaggedSentence(["ab", "c", "ca"], ["X", "O", "Y"])
    task = TagTask(Records("x", [sentence], [sentence]), tokenizer, 6)  # begin a b _ c end
    places = task.train.examples[0].places
    assert places.tolist() == [False, True, False, False, True, False]
    assert task.score([[task.tags.index("X"), task.tags.index("O")]]) == {"f1": 1.0, "accuracy": 1.0}


def test_spans_cover_the_answer_and_the_context_alone(tokenizer):
    answers = ["Paris", "The capital of France", "Rome is that of Italy"]
    task = SpanTask(Records("x", [ask("Rome")], [ask(answer) for answer in answers]), tokenizer, 128)
    assert task.left_out == (0, 0)
    for example, asked, answer in zip(task.test.examples, task.asked, answers, strict=True):
        assert asked.answer(*example.target.tolist()).strip() == answer
        question, context = (tokenizer.backend.encode(text, add_special_tokens=False) for text in ("Which?", CONTEXT))
        assert example.places.tolist() == [False] * (len(question.ids) + 2) + [True] * len(context.ids) + [False]
        assert example.ids[example.places].tolist() == context.ids
    right = [example.target.tolist() for example in task.test.examples]
    assert task.score(right) == {"f1": 1.0, "exact match": 1.0}
    first = task.test.examples[0].target.tolist()
    assert task.score([first] * 3)["exact match"] == pytest.approx(1 / 3)


def test_an_answer_that_is_cut_away_leaves_the_example_out():
    tokenizer = train_tokenizer("characters", [CONTEXT], 60)
    length = 3 + len("Which?") + len("The capital of France is Par")
    records = Records("x", [ask("France"), ask("Paris"), ask("Italy")], [ask("capital"), ask("Rome")])
    task = SpanTask(records, tokenizer, length)
    assert task.left_out == (2, 1) and len(task.train) == len(task.test) == len(task.asked) == 1
    assert len(SpanTask(records, tokenizer, length + 1).train) == 1
    assert len(SpanTask(records, tokenizer, length + 2).train) == 2  # now the whole of Paris is there
    with pytest.raises(InputError, match=r"20 tokens leave no test example an answer: raise data\.length"):
        SpanTask(Records("x", [ask("The")], [ask("Rome")]), tokenizer, 20)


def test_pairs_are_read_one_after_the_other(tokenizer):
    records = Records(
        "x", [Pair("Paris", "France", "yes"), Pair("Rome", "Paris", "no")], [Pair("Rome", "Italy", "yes")]
    )
    task = pair_task(records, tokenizer, 128)
    begin, end = tokenizer.special["begin"], tokenizer.special["end"]
    paris, france, rome = (
        tokenizer.backend.encode(t, add_special_tokens=False).ids for t in ("Paris", "France", "Rome")
    )
    batch = task.train.__getitems__([0])
    assert batch.inputs[0].tolist() == [begin, *paris, end, *france, end]
    assert task.train.__getitems__([1]).inputs[0].tolist() == [begin, *rome, end, *paris, end]
    assert task.train.__getitems__([0, 1]).targets.tolist() == [[1], [0]]
    assert task.classes == 2 and task.score([[1]]) == {"accuracy": 1.0} and task.score([[0]]) == {"accuracy": 0.0}
    task.test_labels = torch.tensor([0, 0, 0, 1])
    assert task.score([[0]] * 4) == {"accuracy": 0.75, "balanced accuracy": 0.5}


def test_draws_are_repeatable_distinct_and_nested(tokenizer):
    task = TagTask(Records("x", [TAGGED] * 20, [TAGGED]), tokenizer, 128)
    few, more, other = task.draw(5, 0), task.draw(9, 0), task.draw(9, 1)
    assert len(set(more.tolist())) == 9 and torch.equal(few, more[:5])
    assert torch.equal(task.draw(9, 0), more) and not torch.equal(more, other)
    assert sorted(task.draw(None, 0).tolist()) == list(range(20))
    with pytest.raises(InputError, match="examples is 21, but x has 20 to train on: take fewer"):
        task.draw(21, 0)


def test_pairs_are_drawn_class_by_class(tokenizer):
    train = [Pair("Paris", "France", "yes")] * 30 + [Pair("Rome", "France", "no")] * 10
    task = pair_task(Records("x", train, train), tokenizer, 128)
    drawn = task.draw(4, 0)
    assert task.train_labels[drawn].tolist() == [0] * 4 + [1] * 4


def test_test_examples_are_few_and_always_the_same():
    drawn = draw_test(100, 10)
    assert len(set(drawn.tolist())) == 10 and torch.equal(drawn, draw_test(100, 10))
    assert drawn.tolist() == sorted(drawn.tolist()) and drawn.max() > 50
    assert draw_test(5, 10).tolist() == [0, 1, 2, 3, 4]


class Numbers(Examples):
    """Example i is the number 10 * i of class i % 3."""

    def __init__(self) -> None:
        self.labels = torch.arange(12) % 3

    def __len__(self) -> int:
        return 12

    def __getitems__(self, positions: list[int]) -> Batch:
        index = torch.tensor(positions)
        return Batch(10 * index, None, self.labels[index], index)


def test_labelled_examples_of_any_data():
    chosen = torch.tensor([1, 5, 9])
    examples = LabelledExamples(Numbers(), chosen, chosen % 3)
    batch = examples.__getitems__([2, 0])
    assert len(examples) == 3 and batch.inputs.tolist() == [90, 10] and batch.targets.tolist() == [[0], [1]]
    assert batch.places is None and batch.mask is None


class SomeNumbers(Answers):
    """Data whose training part has these labels."""

    source_name, split_hash, classes = "Numbers", "0", ["0", "1", "2"]

    def __init__(self, labels: torch.Tensor | None) -> None:
        self.train_set, self.validation_set, self.test_set = Numbers(), Numbers(), Numbers()
        self.train_set.labels = labels


def test_data_without_labels_is_refused():
    labels = Numbers().labels
    found = class_task(SomeNumbers(labels), "classes", 5)
    assert len(found.test) == 5 and found.classes == 3
    with pytest.raises(InputError, match="Numbers has no labels to train and test with: choose another task"):
        class_task(SomeNumbers(None), "classes", 5)
    with pytest.raises(InputError, match="Numbers do not have two classes each"):
        class_task(SomeNumbers(torch.zeros_like(labels)), "classes", 5)
