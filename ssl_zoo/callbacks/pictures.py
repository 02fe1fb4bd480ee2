"""Pictures of what a method has learnt to make."""

from collections.abc import Callable
from pathlib import Path

import lightning as L
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.callbacks.shown_examples import show_examples
from ssl_zoo.data.base import data_of
from ssl_zoo.data.pictures import as_colours, save_grid
from ssl_zoo.methods.base import Method
from ssl_zoo.runs.files import FIGURES


class MethodPictures(L.Callback):
    """Saves figures/NAME.png for all `Method.pictures` of a few validation examples when training ends.

    Loggers that keep images get them too, as generation/NAME.
    """

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the pictures on the first rank."""
        assert isinstance(pl_module, Method)
        directory = trainer.log_dir
        if directory is None or not trainer.is_global_zero:
            return
        data = data_of(trainer)
        examples = data.as_validated(data.validation_set)
        pictures = show_examples(trainer, pl_module, examples, range(pl_module.pictured), pl_module.pictures)
        for name, picture in pictures.items():
            path = Path(directory) / FIGURES / f"{name}.png"
            save(picture, path)
            for logger in trainer.loggers:
                log_image: Callable[..., None] | None = getattr(logger, "log_image", None)
                if log_image is not None:
                    log_image(key=f"{metrics.GENERATION}/{name}", images=[str(path)])


def save(picture: tuple[Tensor, int] | tuple[Tensor, int, list[str]], path: Path) -> None:
    """Writes images ``(N, C, H, W)`` in [0, 1], so many to a row, with the rows' names if any; small ones enlarged."""
    images, row, *names = picture
    save_grid(as_colours(images.float().cpu()), row, names[0] if names else (), path, least=64)
