"""Pictures of what a method is trained on."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.base import data_of
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.methods.base import Method
from ssl_zoo.runs.files import FIGURES, VIEWS

EXAMPLES = {"image": 12, "audio": 4}
WINDOW_SECONDS = 0.025
# Added to amplitudes before the logarithm, so that silence is dark and not minus infinity.
FLOOR = 1e-3


class ViewsFigure(L.Callback):
    """Saves `figures/views.png` when a run with views starts: some examples, and the views made of them.

    Images are training images, whole, above their views; of more than three channels the first three are shown as red,
    green and blue. Waveforms are shown as spectrograms: the middles of some validation
    recordings, beside their views. Which ones is a random choice that is always the same.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the picture on the first rank."""
        assert isinstance(pl_module, Method)
        directory, modality = trainer.log_dir, pl_module.encoder.modality
        if pl_module.views is None or modality not in EXAMPLES or directory is None:
            return
        if not trainer.is_global_zero:
            return
        data = data_of(trainer)
        examples: Any = (data.val_dataloader() if modality == "audio" else data.train_dataloader()).dataset
        batch = examples.__getitems__(fixed_order(len(examples))[: EXAMPLES[modality]].tolist())
        batch = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
        with torch.no_grad():
            views = pl_module.make_views(batch).float().cpu()
        path = Path(directory) / FIGURES / VIEWS
        path.parent.mkdir(parents=True, exist_ok=True)
        if modality == "audio":
            assert isinstance(data, AudioData)
            draw_spectrograms(batch.inputs.cpu(), views, data.sample_rate, path)
        else:
            draw_images(shown(batch, views.shape[-1]).cpu(), views, path)


def shown(batch: Batch, side: int) -> Tensor:
    """Images ``(B, C, H, W)`` as a person sees them, in [0, 1]: whole photographs in their proportions, on white.

    Args:
        batch: of images.
        side: of the square that a whole photograph is fitted into, in pixels.
    """
    if batch.fields is None or "whole" not in batch.fields:
        return batch.inputs if batch.inputs.is_floating_point() else batch.inputs / 255
    whole = batch.fields["whole"]
    whole = whole if whole.is_floating_point() else whole / 255
    canvas = whole.new_ones(*whole.shape[:2], side, side)
    for square, image, aspect in zip(canvas, whole, batch.fields["aspect"].tolist(), strict=True):
        height, width = (max(1, round(side * part)) for part in (min(1, 1 / aspect), min(1, aspect)))
        top, left = (side - height) // 2, (side - width) // 2
        fitted = functional.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
        square[:, top : top + height, left : left + width] = fitted
    return canvas


def as_colours(images: Tensor) -> Tensor:
    """``(N, 1 or 3, H, W)`` of ``(N, C, H, W)``: two channels as their mean, of more than three the first three."""
    return images.mean(1, keepdim=True) if images.shape[1] == 2 else images[:, :3]


def draw_images(images: Tensor, views: Tensor, path: Path) -> None:
    """Images in a row, the rows of their views below.

    Args:
        images: ``(B, C, H, W)`` float in [0, 1].
        views: ``(V * B, C, H', W')`` float in [0, 1].
        path: PNG file.
    """
    from torchvision.utils import make_grid, save_image

    images = functional.interpolate(images, views.shape[2:])
    grid = make_grid(as_colours(torch.cat([images, views])), nrow=len(images), pad_value=1.0)
    scale = max(1, 96 // images.shape[-1])
    save_image(grid.repeat_interleave(scale, 1).repeat_interleave(scale, 2), path)


def draw_spectrograms(waveforms: Tensor, views: Tensor, sample_rate: int, path: Path) -> None:
    """One recording a row: its spectrogram, then those of its views.

    Args:
        waveforms: ``(B, S)``.
        views: ``(V * B, S')``.
        sample_rate: of both.
        path: PNG file.
    """
    from matplotlib.figure import Figure

    columns = [waveforms, *views.chunk(len(views) // len(waveforms))]
    figure = Figure(figsize=(3 * len(columns), 1.6 * len(waveforms)), layout="constrained")
    axes = figure.subplots(len(waveforms), len(columns), squeeze=False, sharey=True)
    window = min(round(WINDOW_SECONDS * sample_rate), views.shape[1])
    for column, part in enumerate(columns):
        for row, waveform in enumerate(part):
            framed = waveform.unfold(0, window, window // 4) * torch.hann_window(window)
            decibels = 20 * torch.log10(torch.fft.rfft(framed).abs() + FLOOR)
            extent = (0.0, waveform.shape[0] / sample_rate, 0.0, sample_rate / 2000)
            axes[row, column].imshow(decibels.T.numpy(), origin="lower", aspect="auto", extent=extent, cmap="magma")
        axes[0, column].set_title("recording" if column == 0 else f"view {column}")
        axes[-1, column].set_xlabel("seconds")
    axes[0, 0].set_ylabel("kHz")
    figure.savefig(path, dpi=100)
