"""Toy tasks that a working fine-tuning learns in seconds and a broken one cannot."""

import pytest
import torch
from torch import Tensor

from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.finetuning.class_tasks import ClassTask
from ssl_zoo.finetuning.tasks import Task
from ssl_zoo.finetuning.token_tasks import Asked, SpanTask, TagTask
from ssl_zoo.finetuning.tokens import Tokenized, TokenizedExamples
from ssl_zoo.finetuning.train import FineTuner, Settings, draw_order, fine_tune, group_by_length
from ssl_zoo.tasks.heads import ClassHead
from ssl_zoo.tasks.scores import accuracy
from tests.made import BEGIN, END, PAD, vocabulary

VOCABULARY = vocabulary(30)
MARK = 5
SETTINGS = Settings(steps=120, batch_size=16, learning_rate=3e-3)


def encoder(kind: type = BertEncoder, **settings) -> BertEncoder:
    torch.manual_seed(0)
    return kind(VOCABULARY, dim=32, depth=1, heads=2, max_length=16, **settings)


class Blind(BertEncoder):
    """An encoder whose vectors do not depend on its input."""

    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        return torch.zeros_like(embedded.vectors).detach()


def sentences(count: int, seed: int) -> list[list[int]]:
    """Random tokens of 4 to 10, among them one mark in every second sentence."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for number in range(count):
        length = int(torch.randint(4, 11, (), generator=generator))
        row = torch.randint(MARK + 1, 30, (length,), generator=generator)
        if number % 2:
            row[int(torch.randint(length, (), generator=generator))] = MARK
        rows.append([BEGIN, *row.tolist(), END])
    return rows


def class_toy() -> ClassTask:
    """Is there a mark?"""
    parts, labels = [], []
    for count, seed in ((400, 1), (200, 2)):
        rows = sentences(count, seed)
        targets = torch.arange(count) % 2
        nowhere = [torch.zeros(len(row), dtype=torch.bool) for row in rows]
        parts.append([Tokenized(torch.tensor(r), t[None], n) for r, t, n in zip(rows, targets, nowhere, strict=True)])
        labels.append(targets)
    train, test = (TokenizedExamples(part, PAD) for part in parts)
    return ClassTask("toy", "0", train, test, (labels[0], labels[1]))


def tag_toy() -> TagTask:
    """Does the token before have an even number? Every second token is asked for."""
    task = TagTask.__new__(TagTask)
    task.tags, task.data = ["O", "B-x"], "toy"
    parts = []
    for count, seed in ((400, 1), (200, 2)):
        part = []
        for row in sentences(count, seed):
            ids = torch.tensor(row)
            places = (torch.arange(len(row)) % 2 == 0) & (ids > END)
            part.append(Tokenized(ids, 1 - ids.roll(1) % 2, places))
        parts.append(TokenizedExamples(part, PAD))
    task.train, task.test = parts
    return task


def span_toy() -> SpanTask:
    """Which token is the mark? Nothing before the third token may be the answer."""
    task = SpanTask.__new__(SpanTask)
    task.data, parts = "toy", []
    for count, seed in ((800, 1), (400, 2)):
        part = []
        for row in sentences(count, seed)[1::2]:
            place = row.index(MARK)
            if place > 2:
                places = torch.zeros(len(row), dtype=torch.bool)
                places[3:-1] = True
                part.append(Tokenized(torch.tensor(row), torch.tensor([place, place]), places))
        parts.append(TokenizedExamples(part, PAD))
    task.train, task.test = parts
    task.asked = [Asked("abcdefghijk", [(i, i + 1) for i in range(11)], 1, "abcdefghijk"[int(e.target[0]) - 1])
                  for e in task.test.examples]  # fmt: skip
    return task


TOYS = {"class": (class_toy, "accuracy"), "tag": (tag_toy, "accuracy"), "span": (span_toy, "exact match")}


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_is_learnt_and_a_blind_encoder_learns_nothing(name):
    make, figure = TOYS[name]
    task: Task = make()
    figures = {}
    for kind in (BertEncoder, Blind):
        answers = fine_tune(encoder(kind, dropout=0.0), task, task.draw(None, 0), 0, SETTINGS)
        figures[kind] = task.score(answers)[figure]
    assert figures[BertEncoder] > 0.9 and figures[Blind] < 0.65


def test_a_causal_encoder_takes_part():
    task = tag_toy()  # what is asked for lies before the token
    assert task.score(fine_tune(encoder(GPT2Encoder), task, task.draw(None, 0), 0, SETTINGS))["accuracy"] > 0.8


def test_few_examples_are_all_that_is_learnt_from():
    task = class_toy()
    chosen = torch.tensor([0, 2, 4])  # all of one class
    answers = fine_tune(encoder(), task, chosen, 0, SETTINGS)
    assert accuracy(answers, [[0]] * 200) > 0.95


def test_the_same_seed_gives_the_same_answers():
    task, short = tag_toy(), SETTINGS._replace(steps=20)
    first, second, other = (fine_tune(encoder(), task, task.draw(None, 0), seed, short) for seed in (3, 3, 4))
    assert first == second != other


def test_random_numbers_outside_are_left_alone():
    task, net = tag_toy(), encoder()
    before = torch.get_rng_state()
    fine_tune(net, task, task.draw(None, 0), 3, SETTINGS._replace(steps=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_everything_is_trained_with_dropout_whatever_state_the_encoder_comes_in():
    task, net = class_toy(), encoder(dropout=0.3).eval().requires_grad_(False)
    modes = []
    net.register_forward_hook(lambda module, *_: modes.append(module.training))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fine_tune(net, task, task.draw(None, 0), 0, SETTINGS._replace(steps=4))
    assert modes == [True] * 4 + [False] * 2  # 200 test examples are two batches
    # Unused: the vectors of positions and segments that no example has, and of tokens not drawn.
    same = {name for name, value in net.state_dict().items() if torch.equal(value, before[name])}
    assert not {name for name, _ in net.named_parameters()} & same


def test_gradients_are_clipped_together():
    module = FineTuner(encoder(), ClassHead(32, 2), SETTINGS)
    for size, norm in ((5.0, 1.0), (0.001, None)):
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, size)
        count = sum(parameter.numel() for parameter in module.parameters())
        module.on_before_optimizer_step(torch.optim.SGD(module.parameters()))
        squares = sum(float(parameter.grad.square().sum()) for parameter in module.parameters())
        assert squares**0.5 == pytest.approx(norm or size * count**0.5, rel=1e-3)


def test_the_order_goes_through_all_before_any_comes_again():
    chosen = torch.tensor([3, 1, 4, 15, 9])
    order = draw_order(chosen, 13, seed=0)
    assert len(order) == 13
    for start in (0, 5):
        assert sorted(order[start : start + 5]) == sorted(chosen.tolist())
    assert order[:5] != order[5:10] and len(set(order[10:])) == 3
    assert order == draw_order(chosen, 13, seed=0) != draw_order(chosen, 13, seed=1)


def padded_share(order: list[int], lengths: Tensor, size: int) -> float:
    batches = lengths[torch.tensor(order)].view(-1, size)
    return 1 - float(batches.sum() / (batches.max(1).values * size).sum())


def test_batches_of_many_examples_have_little_padding_and_stay_random():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.poisson(torch.full((20_000,), 20.0).exponential_(1 / 20, generator=generator) + 3).long()
    order = draw_order(torch.arange(20_000), 40_000, seed=0)
    grouped = group_by_length(order, lengths, 32, 20_000, seed=0)
    assert padded_share(order, lengths, 32) > 0.6 and padded_share(grouped, lengths, 32) < 0.1
    assert sorted(grouped) == sorted(order)
    # Nothing comes much later or earlier than it would have: a pass is still a pass.
    moved = torch.tensor(grouped).view(-1, 1600).sort(1).values
    assert torch.equal(moved, torch.tensor(order).view(-1, 1600).sort(1).values)
    # Training does not go from short to long, and batches are others in the next pass.
    means = lengths[torch.tensor(grouped)].view(-1, 32).float().mean(1)
    assert abs(float(torch.corrcoef(torch.stack([means, torch.arange(len(means)).float()]))[0, 1])) < 0.1
    first, second = (set(map(frozenset, torch.tensor(part).view(-1, 32).tolist()))
                     for part in (grouped[:20_000], grouped[20_000:]))  # fmt: skip
    assert not first & second


def test_few_examples_meet_others_in_every_pass():
    lengths = torch.arange(128)
    order = draw_order(torch.arange(128), 1280, seed=0)  # passes of 8 batches: grouped whole, all would be alike
    assert group_by_length(order, lengths, 16, 128, seed=0) != order  # each batch by itself is sorted
    batches = [frozenset(batch) for batch in torch.tensor(order).view(-1, 16).tolist()]
    assert [
        frozenset(batch) for batch in torch.tensor(group_by_length(order, lengths, 16, 128, 0)).view(-1, 16).tolist()
    ] == batches


def test_training_batches_are_grouped_and_answers_come_in_the_order_of_the_test_examples(monkeypatch):
    task, seen = class_toy(), []
    fetch = TokenizedExamples.__getitems__

    def note(self, positions):
        seen.append((self is task.train, self.lengths[positions].tolist()))
        return fetch(self, positions)

    monkeypatch.setattr(TokenizedExamples, "__getitems__", note)
    answers = fine_tune(encoder(dropout=0.0), task, task.draw(None, 0), 0, SETTINGS)
    trained, tested = ([lengths for train, lengths in seen if train is part] for part in (True, False))
    spread = sum(max(lengths) - min(lengths) for lengths in trained) / SETTINGS.steps
    assert len(trained) == SETTINGS.steps and spread < 3  # of lengths from 6 to 12
    assert [length for batch in tested for length in batch] == sorted(task.test.lengths.tolist(), reverse=True)
    assert task.score(answers)["accuracy"] > 0.9
