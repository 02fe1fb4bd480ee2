"""Do the numbers that images are normalised by fit the images?"""

import lightning as L
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from ssl_zoo.data.base import data_of
from ssl_zoo.encoders.normalize import Normalize
from ssl_zoo.methods.base import Method

MEASURED = 256  # training images: enough to notice that numbers are those of other data, a fraction of a second
# Numbers of photographs fit those of other photographs by this measure, and those of drawings or scans do not.
FARTHEST_MEAN = 0.4  # in the given standard deviations
LARGEST_RATIO = 4 / 3  # of the deviations, either way


class NormalizationCheck(L.Callback):
    """Warns where an encoder normalises images by a mean and deviation that are not those of the data.

    Published weights expect the numbers that they were trained with, whatever the data; and a mean of one half says
    nothing of data: it takes [0, 1] to a range around zero.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures some training images on the first process."""
        assert isinstance(pl_module, Method)
        numbers = next((each for each in pl_module.encoder.modules() if isinstance(each, Normalize)), None)
        if numbers is None or pl_module.continues_from is not None or not trainer.is_global_zero:
            return
        mean, std = numbers.mean.flatten().cpu(), numbers.std.flatten().cpu()
        if (mean == 0.5).all():
            return
        data = data_of(trainer)
        measured = data.value_statistics(MEASURED)
        if measured is None:
            return
        own_mean, own_std = map(mean.new_tensor, measured)
        shift, ratio = (own_mean - mean).abs() / std, own_std / std
        if not ((shift > FARTHEST_MEAN) | (ratio > LARGEST_RATIO) | (1 / ratio > LARGEST_RATIO)).any():
            return
        rank_zero_warn(
            f"The encoder normalises images by mean {_shown(mean)} and std {_shown(std)}, but the training images of "
            f"{data.source_name} have mean {_shown(own_mean)} and std {_shown(own_std)}: set --model.encoder.mean data "
            "--model.encoder.std data, unless other numbers are wanted."
        )


def _shown(numbers: Tensor) -> str:
    rounded = [f"{number:.3g}" for number in numbers.tolist()]
    return rounded[0] if len(rounded) == 1 else f"[{', '.join(rounded)}]"
