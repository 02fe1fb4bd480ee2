"""Mean squared errors against plain loops, on one process and on two with different numbers of frames."""

import pytest
import torch
import torch.distributed as dist

from ssl_zoo.objectives.squared_error import squared_error
from tests.two_processes import in_group

SHAPE = (4, 6, 3)


def made(share: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    predicted, targets, draws = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    counted = (draws > 0) & (torch.tensor([6, 5, 1, 2])[:, None] > torch.arange(6))[..., None]
    return predicted[share].requires_grad_(), targets[share] + torch.tensor([5.0, 0.0, -3.0]), counted[share]


def test_error_and_part_explained_are_those_of_plain_loops():
    predicted, targets, counted = made()
    columns = [[], [], []]
    for row, place, entry in counted.nonzero().tolist():
        columns[entry].append((float(predicted.detach()[row, place, entry]), float(targets[row, place, entry])))
    count = sum(map(len, columns))
    error = sum((guess - true) ** 2 for column in columns for guess, true in column) / count
    variance = 0.0
    for column in columns:
        mean = sum(true for _, true in column) / len(column)
        variance += sum((true - mean) ** 2 for _, true in column) / count
    found, explained = squared_error(predicted, targets, counted)
    assert float(found.detach()) == pytest.approx(error, rel=1e-5) and not explained.requires_grad
    assert float(explained) == pytest.approx(1 - error / variance, abs=1e-5)
    found.backward()
    assert not predicted.grad[~counted].any() and torch.equal(predicted.grad[counted] != 0, counted[counted])


def test_the_mean_explains_nothing_and_the_truth_everything():
    _, targets, counted = made()
    means = (targets * counted).sum((0, 1)) / counted.sum((0, 1))
    assert float(squared_error(means.expand_as(targets), targets, counted)[1]) == pytest.approx(0, abs=1e-5)
    error, explained = squared_error(targets, targets, counted)
    assert float(error) == 0 and float(explained) == 1
    nothing, _ = squared_error(targets + 1, targets, torch.zeros_like(counted))
    assert float(nothing) == 0


def share_of_the_error() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    predicted, targets, counted = made(slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2))
    loss, explained = squared_error(predicted, targets, counted)
    loss.backward()
    return loss.detach(), explained, predicted.grad


def test_two_processes_compute_what_one_does_on_the_whole_batch(two_processes):
    predicted, targets, counted = made()
    loss, explained = squared_error(predicted, targets, counted)
    loss.backward()
    (loss_0, explained_0, gradient_0), (loss_1, explained_1, gradient_1) = two_processes(in_group, share_of_the_error)
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss.detach())
    torch.testing.assert_close(explained_0, explained)
    assert torch.equal(explained_0, explained_1)
    torch.testing.assert_close(torch.cat([gradient_0, gradient_1]) / 2, predicted.grad)
