"""Heads against plain loops over examples and tokens."""

import math

import pytest
import torch

from ssl_zoo.encoders.base import Encoded
from ssl_zoo.tasks.examples import TaskBatch
from ssl_zoo.tasks.heads import ClassHead, Head, PlaceHead, SpanHead, TagHead

EXAMPLES, LENGTH, DIM, LABELS = 5, 7, 6, 3


def nats(scores: list[float], target: int) -> float:
    """Cross entropy in plain Python."""
    return math.log(sum(math.exp(score) for score in scores)) - scores[target]


def random_case(head: type[Head], seed: int) -> tuple[Head, torch.Tensor, TaskBatch]:
    torch.manual_seed(seed)
    inputs = torch.zeros(EXAMPLES, LENGTH, dtype=torch.int64)
    if head is ClassHead:
        targets = torch.randint(LABELS, (EXAMPLES, 1))
        return ClassHead(DIM, LABELS), torch.randn(EXAMPLES, LABELS), TaskBatch(inputs, None, targets, None)
    if head is TagHead:
        places = torch.rand(EXAMPLES, LENGTH) < 0.5
        places[:, 0] = True
        batch = TaskBatch(inputs, None, torch.randint(LABELS, (EXAMPLES, LENGTH)), places)
        return TagHead(DIM, LABELS), torch.randn(EXAMPLES, LENGTH, LABELS), batch
    places = torch.zeros(EXAMPLES, LENGTH, dtype=torch.bool)
    targets = []
    for row in range(EXAMPLES):
        first, last = 1 + row % 3, 4 + row % 3
        places[row, first : last + 1] = True
        targets.append([first + row % 2, last - row % 2])
    return SpanHead(DIM, 2), torch.randn(EXAMPLES, LENGTH, 2), TaskBatch(inputs, None, torch.tensor(targets), places)


def test_scores_are_a_linear_map_of_the_pooled_vector_or_of_every_token():
    torch.manual_seed(0)
    encoded = Encoded(torch.randn(EXAMPLES, LENGTH, DIM), torch.randn(EXAMPLES, DIM), None)
    _, _, batch = random_case(ClassHead, 0)
    for head, vectors in ((ClassHead(DIM, 4), encoded.pooled), (TagHead(DIM, 4), encoded.sequence)):
        torch.testing.assert_close(head.eval()(encoded, batch), vectors @ head.linear.weight.T + head.linear.bias)
    assert SpanHead(DIM, 2).eval()(encoded, batch).shape == (EXAMPLES, LENGTH, 2)


def test_dropout_acts_in_training_alone():
    encoded = Encoded(torch.ones(1, LENGTH, DIM), torch.ones(200, DIM), None)
    head, (_, _, batch) = ClassHead(DIM, 1, dropout=0.5), random_case(ClassHead, 0)
    assert head.train()(encoded, batch).unique().numel() > 1 and head.eval()(encoded, batch).unique().numel() == 1


def test_class_loss():
    head, scores, batch = random_case(ClassHead, 0)
    wanted = [nats(row, int(target)) for row, target in zip(scores.tolist(), batch.targets, strict=True)]
    assert float(head.loss(scores, batch)) == pytest.approx(sum(wanted) / EXAMPLES, rel=1e-5)
    best = [[max(range(LABELS), key=row.__getitem__)] for row in scores.tolist()]
    assert head.predict(scores, batch) == best


def test_tag_loss_is_the_mean_over_places():
    head, scores, batch = random_case(TagHead, 1)
    wanted, answers = [], []
    for row in range(EXAMPLES):
        answers.append([])
        for token in range(LENGTH):
            if batch.places[row, token]:
                wanted.append(nats(scores[row, token].tolist(), int(batch.targets[row, token])))
                answers[-1].append(int(scores[row, token].argmax()))
    assert float(head.loss(scores, batch)) == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)
    assert head.predict(scores, batch) == answers


def test_tokens_that_are_no_places_get_no_gradient_and_no_tag():
    head, scores, batch = random_case(TagHead, 2)
    scores.requires_grad_()
    head.loss(scores, batch).backward()
    assert scores.grad is not None
    assert ((scores.grad.abs().sum(2) > 0) == batch.places).all()
    elsewhere = torch.where(batch.places, batch.targets, 999)  # a class that there is not
    assert head.loss(scores, batch._replace(targets=elsewhere)) == head.loss(scores, batch)
    assert [len(tags) for tags in head.predict(scores, batch)] == batch.places.sum(1).tolist()


def test_span_loss_is_a_softmax_over_the_context():
    head, scores, batch = random_case(SpanHead, 3)
    wanted = 0.0
    for row in range(EXAMPLES):
        inside = [token for token in range(LENGTH) if batch.places[row, token]]
        for end in (0, 1):
            choices = [float(scores[row, token, end]) for token in inside]
            wanted += nats(choices, inside.index(int(batch.targets[row, end]))) / 2 / EXAMPLES
    assert float(head.loss(scores, batch)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_predicted_spans_are_the_best_of_all_that_lie_in_the_context(seed):
    head, scores, batch = random_case(SpanHead, seed)
    scores = scores.masked_fill(~batch.places[..., None], 100.0)  # tempting, and outside
    for row, answer in enumerate(head.predict(scores, batch)):
        inside = [token for token in range(LENGTH) if batch.places[row, token]]
        spans = [(first, last) for first in inside for last in inside if first <= last]
        assert tuple(answer) == max(spans, key=lambda span: float(scores[row, span[0], 0] + scores[row, span[1], 1]))


def test_spans_outside_of_the_context_get_no_gradient():
    head, scores, batch = random_case(SpanHead, 4)
    scores.requires_grad_()
    head.loss(scores, batch).backward()
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert ((scores.grad.abs().sum(2) > 0) == batch.places).all()


def test_places_are_classified_by_the_nearest_real_vector():
    torch.manual_seed(0)
    head = PlaceHead(DIM, LABELS, offset=2, stride=4).eval()
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    encoded = Encoded(torch.randn(2, 5, DIM), torch.randn(2, DIM), mask)
    places = torch.tensor([[0, 9, 19], [1, 13, -1]])  # the last of them in the padding of the second example
    targets = torch.tensor([[0, 1, 2], [2, 1, -1]])
    batch = TaskBatch(torch.zeros(2, 20), None, targets, places)
    vectors = torch.stack([*encoded.sequence[0, [0, 2, 4]], *encoded.sequence[1, [0, 1]]])
    scores = head(encoded, batch)
    torch.testing.assert_close(scores, vectors @ head.linear.weight.T + head.linear.bias)
    wanted = [nats(row, target) for row, target in zip(scores.tolist(), [0, 1, 2, 2, 1], strict=True)]
    assert float(head.loss(scores, batch).detach()) == pytest.approx(sum(wanted) / 5, rel=1e-5)
    best = scores.argmax(1).tolist()
    assert head.predict(scores, batch) == [best[:3], best[3:]]
