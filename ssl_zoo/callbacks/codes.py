"""Codes that a method predicts, beside the labels of the same moments: how much they say, and what they look like."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.shown_examples import show_examples
from ssl_zoo.data.base import DataModule, data_of
from ssl_zoo.distributed import alone
from ssl_zoo.methods.base import Method
from ssl_zoo.parts.codebooks import Coding
from ssl_zoo.probes.clusters import code_figures
from ssl_zoo.runs.files import FIGURES
from ssl_zoo.tasks.labels import PlaceLabels, Places
from ssl_zoo.tasks.places import nearest_frames

EXAMPLES = 32  # of the validation part that figures are of
PICTURED = 3


class Found(NamedTuple):
    """What one example's places have.

    Attributes:
        inputs: ``(S,)``, the raw input of the example, without padding.
        codes: ``(N,)`` int64, of every place.
        moments: ``(P,)`` int64, raw inputs at which labels are known.
        labels: ``(P,)`` int64, the labels there.
        at_labels: ``(P,)`` int64, the codes there.
    """

    inputs: Tensor
    codes: Tensor
    moments: Tensor
    labels: Tensor
    at_labels: Tensor


class CodeFigures(L.Callback):
    """Logs at every validation what codes say about phones, and draws both at the end of the run as figures/codes.png.

    Of methods that give every place a code, on data whose main task has labels of places within examples, and where
    places lie in a line, as labels do.
    """

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Logs the figures of `ssl_zoo.probes.clusters`, as codes/pnmi and so on."""
        if trainer.sanity_checking:
            return
        found = look(trainer, pl_module, EXAMPLES)
        if found:
            codes, labels = (torch.cat(column) for column in ([f.at_labels for f in found], [f.labels for f in found]))
            figures = code_figures(codes, labels)
            pl_module.log_dict(
                {f"{metrics.CODES}/{name}": value for name, value in figures.items()}, rank_zero_only=True
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the picture on the first rank."""
        directory = trainer.log_dir  # the ranks agree on it: all of them have to ask
        if directory is None or not trainer.is_global_zero:
            return
        found = look(trainer, pl_module, PICTURED)
        if found:
            assert isinstance(pl_module, Method)
            path = Path(directory) / FIGURES / "codes.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(found, data_of(trainer), pl_module.encoder.offset, pl_module.encoder.stride, path)


def look(trainer: L.Trainer, method: L.LightningModule, most: int) -> list[Found]:
    """Codes and labels of the first validation examples that have labels, of which other sources' examples have none.

    Nothing where a method has no codes, or the data no such labels.

    Args:
        trainer: Trainer of the run.
        method: method that is trained.
        most: examples at most.
    """
    data = data_of(trainer)
    task = data.tasks().get(data.main_task)
    if not isinstance(method, Coding) or not isinstance(task, PlaceLabels):
        return []
    assert isinstance(method, Method), "ssl_zoo trains methods"
    places, found = task.parts["validation"], method.encoder
    rows = places.examples.unique()[:most].tolist()
    if not rows:
        return []

    def show(batch: Batch) -> list[Found]:
        grid = found.grid(batch.inputs)
        if grid is not None and grid[1] > 1:
            return []  # a moment has several codes
        codes = method.codes(batch)
        if codes.ndim == 3:  # of several groups: every combination is a code
            codes = codes.flatten(0, 1).unique(dim=0, return_inverse=True)[1].view(codes.shape[:2])
        return _at_labels(batch, codes.cpu(), rows, places, found.offset, found.stride)

    with alone():
        return show_examples(trainer, method, data.parts()["validation"], rows, show)


def _at_labels(batch: Batch, codes: Tensor, rows: list[int], places: Places, offset: int, stride: int) -> list[Found]:
    """Of every example of a batch; `rows` says which of their part these are."""
    found = []
    lengths = [batch.inputs.shape[1]] * len(codes) if batch.mask is None else batch.mask.sum(1).tolist()
    for row, length in enumerate(lengths):
        here, _ = places.of(torch.tensor(rows[row : row + 1]))
        moments = places.inputs[here]
        count = max(1, min(codes.shape[1], (int(length) - 2 * offset) // stride + 1))
        nearest = nearest_frames(moments, torch.full_like(moments, count), offset, stride)
        inputs = batch.inputs[row, : int(length)].cpu()
        found.append(Found(inputs, codes[row, :count], moments, places.labels[here], codes[row][nearest]))
    return found


def draw(found: list[Found], data: DataModule, offset: int, stride: int, path: Path) -> None:
    """Every example's picture, its labels below it, and its codes below these.

    Args:
        found: what there is to draw.
        data: says what inputs look like and what labels are called.
        offset: raw input at the centre of place 0.
        stride: raw inputs from one place to the next.
        path: PNG file.
    """
    from matplotlib.figure import Figure

    task = data.tasks()[data.main_task]
    figure = Figure(figsize=(12, 3.2 * len(found)), layout="constrained")
    axes = figure.subplots(3 * len(found), 1, squeeze=False, height_ratios=[5, 1, 1] * len(found))[:, 0]
    for number, each in enumerate(found):
        shown, named, coded = axes[3 * number : 3 * number + 3]
        picture, length = data.picture(each.inputs[None]), len(each.inputs)
        if picture is not None:
            image = picture.images[0].permute(1, 2, 0).numpy()
            shown.imshow(image, aspect="auto", extent=(0, length, 0, 1))
        shown.set_axis_off()
        step = int(each.moments.diff().min()) if len(each.moments) > 1 else stride
        _strip(named, each.moments.tolist(), each.labels.tolist(), step, length, task.classes)
        centres = (offset + stride * torch.arange(len(each.codes))).tolist()
        _strip(coded, centres, each.codes.tolist(), stride, length, None)
        named.set_ylabel(data.main_task, rotation=0, ha="right", va="center")
        coded.set_ylabel("codes", rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=100)


def _strip(axes: Any, centres: list[int], values: list[int], width: int, length: int, names: list[str] | None) -> None:
    """Values over time as colours, each run of equal ones with its name, or number, where there is room for it."""
    from matplotlib import colormaps

    first = 0
    for place in range(1, len(values) + 1):
        if place < len(values) and values[place] == values[first] and centres[place] - centres[place - 1] == width:
            continue
        left, right = centres[first] - width / 2, centres[place - 1] + width / 2
        colour = colormaps["tab20"](values[first] % 20)
        axes.axvspan(left, right, color=colour)
        if right - left > length / 60:
            name = str(values[first]) if names is None else names[values[first]]
            axes.text((left + right) / 2, 0.5, name, ha="center", va="center", fontsize=7)
        first = place
    axes.set(xlim=(0, length), ylim=(0, 1), xticks=[], yticks=[])
