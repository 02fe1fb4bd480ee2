"""Pictures of what a method is trained on."""

from pathlib import Path

import lightning as L
import torch

from ssl_zoo.data.base import data_of
from ssl_zoo.methods.base import Method

EXAMPLES = 12


class ViewsFigure(L.Callback):
    """Saves `figures/views.png` when an image run starts: some training images above the views made of them."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the picture on the first rank."""
        assert isinstance(pl_module, Method)
        directory = trainer.log_dir
        if pl_module.views is None or pl_module.encoder.modality != "image" or directory is None:
            return
        if not trainer.is_global_zero:
            return
        from torchvision.utils import make_grid, save_image

        data = data_of(trainer).train_set
        batch = data.__getitems__(list(range(min(EXAMPLES, len(data)))))
        batch = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
        with torch.no_grad():
            views = pl_module.make_views(batch).float().cpu()
        images = batch.inputs.cpu()
        images = images if images.is_floating_point() else images / 255
        images = torch.nn.functional.interpolate(images, views.shape[2:])
        grid = make_grid(torch.cat([images, views]), nrow=len(images), pad_value=1.0)
        scale = max(1, 96 // images.shape[-1])
        path = Path(directory) / "figures" / "views.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(grid.repeat_interleave(scale, 1).repeat_interleave(scale, 2), path)
