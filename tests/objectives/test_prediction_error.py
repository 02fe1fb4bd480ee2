"""Mean squared and absolute errors against plain loops, on one process and on two with different numbers of frames."""

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist

from ssl_zoo.objectives.prediction_error import absolute_error, squared_error
from tests.two_processes import in_group

SHAPE = (4, 6, 3)
# With what each takes of a difference.
BOTH = pytest.mark.parametrize(("error_of", "size"), [(squared_error, lambda d: d**2), (absolute_error, abs)])


def made(share: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    predicted, targets, draws = (torch.randn(SHAPE, generator=generator) for _ in range(3))
    counted = (draws > 0) & (torch.tensor([6, 5, 1, 2])[:, None] > torch.arange(6))[..., None]
    return predicted[share].requires_grad_(), targets[share] + torch.tensor([5.0, 0.0, -3.0]), counted[share]


@BOTH
def test_error_and_part_explained_are_those_of_plain_loops(error_of, size):
    predicted, targets, counted = made()
    columns: list[list[tuple[float, float]]] = [[], [], []]
    for row, place, entry in counted.nonzero().tolist():
        columns[entry].append((predicted[row, place, entry].item(), targets[row, place, entry].item()))
    count = sum(map(len, columns))
    error = sum(size(guess - true) for column in columns for guess, true in column) / count
    deviation = 0.0
    for column in columns:
        mean = sum(true for _, true in column) / len(column)
        deviation += sum(size(true - mean) for _, true in column) / count
    found, explained = error_of(predicted, targets, counted)
    assert found.item() == pytest.approx(error, rel=1e-5) and not explained.requires_grad
    assert float(explained) == pytest.approx(1 - error / deviation, abs=1e-5)
    found.backward()
    assert torch.equal(predicted.grad != 0, counted)


@BOTH
def test_the_mean_explains_nothing_and_the_truth_everything(error_of, size):
    _, targets, counted = made()
    means = (targets * counted).sum((0, 1)) / counted.sum((0, 1))
    assert float(error_of(means.expand_as(targets), targets, counted)[1]) == pytest.approx(0, abs=1e-5)
    error, explained = error_of(targets, targets, counted)
    assert float(error) == 0 and float(explained) == 1
    nothing, _ = error_of(targets + 1, targets, torch.zeros_like(counted))
    assert float(nothing) == 0


def share_of_the_error(
    error_of: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    predicted, targets, counted = made(slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2))
    loss, explained = error_of(predicted, targets, counted)
    loss.backward()
    return loss.detach(), explained, predicted.grad


@BOTH
def test_two_processes_compute_what_one_does_on_the_whole_batch(two_processes, error_of, size):
    predicted, targets, counted = made()
    loss, explained = error_of(predicted, targets, counted)
    loss.backward()
    (loss_0, explained_0, gradient_0), (loss_1, explained_1, gradient_1) = two_processes(
        in_group, share_of_the_error, error_of
    )
    torch.testing.assert_close((loss_0 + loss_1) / 2, loss.detach())
    torch.testing.assert_close(explained_0, explained)
    assert torch.equal(explained_0, explained_1)
    torch.testing.assert_close(torch.cat([gradient_0, gradient_1]) / 2, predicted.grad)


@BOTH
def test_where_targets_are_all_alike_or_nothing_counts_there_is_nothing_to_explain(error_of, size):
    predicted, targets, counted = made()
    constant = torch.full_like(targets, 0.3)
    for given in ((predicted, constant, counted), (constant, constant, counted), (predicted, targets, counted & False)):
        assert float(error_of(*given)[1]) == 0
