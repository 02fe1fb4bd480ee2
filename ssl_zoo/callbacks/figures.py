"""Pictures of what a method is trained on."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional

from ssl_zoo.data.base import data_of
from ssl_zoo.data.pictures import Picture, save_grid
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.methods.base import Method
from ssl_zoo.runs.files import FIGURES, VIEWS


class ViewsFigure(L.Callback):
    """Saves `figures/views.png` when a run with views starts: some validation examples, and the views made of them.

    The data says what a person sees of them: images are shown whole, above their views, of more than three channels the
    first three as red, green and blue; waveforms as spectrograms, beside their views. Which examples is a random choice
    that is always the same.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the picture on the first rank."""
        assert isinstance(pl_module, Method)
        directory = trainer.log_dir  # the ranks agree on it: all of them have to ask
        if pl_module.views is None or directory is None or not trainer.is_global_zero:
            return
        data = data_of(trainer)
        examples: Any = data.val_dataloader().dataset
        batch = examples.__getitems__(fixed_order(len(examples))[: data.pictured].tolist())
        inputs = data.picture(batch.inputs, batch.fields)
        if inputs is None:
            return
        on_device = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
        with torch.no_grad():
            sizes = [data.picture(views.inputs.float().cpu()) for views in pl_module.make_crops(on_device)]
        views = [size for size in sizes if size is not None]
        assert len(views) == len(sizes), "what shows inputs shows views of them"
        path = Path(directory) / FIGURES / VIEWS
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_views(inputs, views, data.noun, path)


def draw_views(inputs: Picture, views: list[Picture], noun: str, path: Path) -> None:
    """Inputs and their views: in rows below each other, or, where edges mean something, in columns with axes.

    Args:
        inputs: B raw inputs.
        views: V * B of each size, the largest first, as `ssl_zoo.views.base.Views` orders them.
        noun: what several inputs are called.
        path: PNG file.
    """
    if inputs.extent is None:
        size = views[0].images.shape[2:]
        alike = torch.cat([functional.interpolate(each.images, size) for each in views])
        draw_images(inputs.images, alike, noun, path)
    else:
        draw_with_axes(inputs, views, noun, path)


def draw_images(images: Tensor, views: Tensor, noun: str, path: Path) -> None:
    """Images in a row, the rows of their views below, each with its name.

    Args:
        images: ``(B, 3, H, W)`` float in [0, 1].
        views: ``(V * B, 3, H', W')`` float in [0, 1].
        noun: what several images are called.
        path: PNG file.
    """
    images = functional.interpolate(images, views.shape[2:])
    names = [noun, *(f"view {number}" for number in range(1, len(views) // len(images) + 1))]
    save_grid(torch.cat([images, views]), len(images), names, path, least=96)


def draw_with_axes(inputs: Picture, views: list[Picture], noun: str, path: Path) -> None:
    """One input a row: its picture, then those of its views; arguments as for `draw_views`."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    count = len(inputs.images)
    columns = [(noun, inputs, inputs.images)]
    parts = [(each, part) for each in views for part in each.images.split(count)]
    columns += [(f"view {number}", each, part) for number, (each, part) in enumerate(parts, 1)]
    figure = Figure(figsize=(3 * len(columns), 1.6 * count), layout="constrained")
    axes = figure.subplots(count, len(columns), squeeze=False, sharex="col", sharey=True)
    for column, (title, picture, images) in enumerate(columns):
        for row, image in enumerate(images):
            axes[row, column].imshow(image.permute(1, 2, 0).numpy(), aspect="auto", extent=picture.extent)
        axes[0, column].set_title(title)
        axes[-1, column].set_xlabel(picture.axes[0])
        axes[-1, column].xaxis.set_major_locator(MaxNLocator(4))
    axes[0, 0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for row in axes[:, 0]:
        row.set_ylabel(inputs.axes[1])
    figure.savefig(path, dpi=100)
