"""Operators that change values and leave pixels in place: colour jitter, greyscale, solarization, gain and noise.

Only three channels are a colour; with any other number, saturation, hue and greyscale leave an image as it is, and of
more than one `ImageViews` refuses them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import Draws, normal
from ssl_zoo.views.base import between, require_at_least, require_probability
from ssl_zoo.views.image_transform import ImageTransform

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601 weights of red, green and blue, with torchvision's rounding
BRIGHTNESS, CONTRAST, SATURATION = 0, 1, 2


def _grey_weights(images: Tensor) -> Tensor:
    """``(C,)`` weights of the channels in an image's grey value, made on the device without a copy from the host."""
    channels = images.shape[1]
    if channels != 3:
        return images.new_full((channels,), 1 / channels)
    weights = images.new_full((3,), LUMA[0])
    weights[1].fill_(LUMA[1])
    weights[2].fill_(LUMA[2])
    return weights


def blend(images: Tensor, operations: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast or saturation, one after the other, for every image in an order of its own.

    As torchvision's `adjust_*`: all three move an image away from another one, which is black, its mean grey, or its
    grey version. Each is an affine map of the colour, so that one batched product does any mixture of the three.

    Args:
        images: ``(B, C, N)`` float32 in [0, 1], pixels flattened.
        operations: ``(B, S)`` int64, `BRIGHTNESS`, `CONTRAST` or `SATURATION`, done from the first column to the last.
        factors: ``(B, S)``, 1 for no change and 0 for only the other image.

    Returns:
        ``(B, C, N)`` in [0, 1].
    """
    weights = _grey_weights(images)
    # What every step multiplies and adds is worked out for all of them at once, a step being two small products.
    rest = 1 - factors
    towards_mean = (rest * (operations == CONTRAST))[..., None, None] * weights  # (B, S, 1, C)
    if images.shape[1] == 3:
        grey = (rest * (operations == SATURATION))[..., None, None] * weights
        mix = torch.addcmul(grey, factors[..., None, None], torch.eye(3, device=images.device))  # (B, S, C, C)
    else:
        gain = torch.where(operations == SATURATION, 1.0, factors)[..., None, None]
    for step in range(operations.shape[1]):
        offset = towards_mean[:, step] @ images.mean(2, keepdim=True)
        if images.shape[1] == 3:
            images = torch.baddbmm(offset, mix[:, step], images).clamp_(0, 1)
        else:
            images = torch.addcmul(offset, images, gain[:, step]).clamp_(0, 1)
    return images


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue in HSV space and leave saturation and value, as torchvision's `adjust_hue`.

    Args:
        images: ``(B, 3, N)`` float32 in [0, 1], pixels flattened.
        turns: ``(B,)``, by which part of a full turn.

    Returns:
        ``(B, 3, N)`` in [0, 1].
    """
    red, green, blue = images.unbind(1)
    low = images.amin(1)
    chroma = images.amax(1) - low
    # Hue in sixths of a turn, times chroma. Which channel is smallest picks the third of the circle:
    #   blue: chroma + green - red      red: 3 chroma + blue - green      green: 5 chroma + red - blue
    # A comparison and a `where` cost several passes of arithmetic on a CPU, hence signs: 0 for the smallest, else 1.
    total = (red + green).add_(blue).add_(chroma, alpha=2)
    sixths = torch.sub(total, blue, alpha=3).mul_((red - low).sign_())  # from the second third to the last
    sixths.add_(total).sub_(green, alpha=3).mul_((blue - low).sign_())  # from the first third to the second
    sixths.add_(chroma).add_(green).sub_(red)

    hue = torch.add(turns[:, None] + 1, sixths.div_(chroma.clamp(min=1e-12)), alpha=1 / 6).frac_()
    # A channel is at the top within a sixth of a turn of its own hue, at the bottom beyond a third, linear between;
    # half a turn minus the distance, which is what `near` holds, saves handling the wrap-around.
    centre = torch.arange(3, device=images.device)[:, None] / 3
    near = (hue[:, None] - centre).abs_().sub_(0.5).abs_().clamp_(1 / 6, 1 / 3)
    return torch.addcmul((low - chroma)[:, None], near, chroma[:, None], value=6).clamp_(0, 1)


class JitterDraws(NamedTuple):
    """Random parameters of `ColorJitter` for one batch.

    Attributes:
        operations: ``(B, S)`` int64, the operations of `blend` in the order they are done.
        factors: ``(B, S)``, the factor of each of them.
        turns: ``(B,)``, the change of hue in turns.
        hue_step: ``(B,)`` int64, how many of the operations come before the change of hue.
    """

    operations: Tensor
    factors: Tensor
    turns: Tensor
    hue_step: Tensor


class ColorJitter(ImageTransform):
    """Changes brightness, contrast, saturation and hue in random order, as torchvision's of the same name.

    Args:
        brightness: largest change of brightness, whose factor is uniform in [1 - brightness, 1 + brightness], never
            below 0.
        contrast: largest change of contrast, whose factor is uniform in [1 - contrast, 1 + contrast], never below 0.
        saturation: largest change of saturation, whose factor is uniform in [1 - saturation, 1 + saturation], never
            below 0.
        hue: largest change of hue either way, in turns; at most 0.5.
        probability: probability of changing an image at all.
    """

    numbers = 9

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        probability: float = 1.0,
    ) -> None:
        super().__init__()
        require_at_least("ColorJitter's brightness", brightness, 0)
        require_at_least("ColorJitter's contrast", contrast, 0)
        require_at_least("ColorJitter's saturation", saturation, 0)
        require_probability("ColorJitter's probability", probability)
        if not 0 <= hue <= 0.5:
            raise InputError(f"ColorJitter's hue is {hue}; give a part of a turn between 0 and 0.5.")
        self.spans = (brightness, contrast, saturation)
        self.needs_colour = saturation > 0 or hue > 0
        self.hue = hue
        self.probability = probability

    def parameters_for(self, draws: Draws, channels: int) -> JitterDraws:
        """The parameters of every image.

        Args:
            draws: ``(B, numbers)``.
            channels: number of channels of the images; saturation is left out unless there are 3.
        """
        steps = 3 if channels == 3 else 2
        chance, turn, place, factor, order = draws.uniform.split([1, 1, 1, 3, 3], 1)
        selected = chance < self.probability
        spread = [
            between(factor[:, operation], max(0.0, 1 - span), 1 + span)
            for operation, span in enumerate(self.spans[:steps])
        ]
        factors = torch.where(selected, torch.stack(spread, 1), 1.0)
        operations = order[:, :steps].argsort(1)
        turns = torch.where(selected, between(turn, -self.hue, self.hue), 0.0)[:, 0]
        hue_step = (place[:, 0] * (steps + 1)).long()
        return JitterDraws(operations, factors.gather(1, operations), turns, hue_step)

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        drawn = self.parameters_for(draws, images.shape[1])
        pixels = images.flatten(2)
        if self.hue == 0 or images.shape[1] != 3:
            return blend(pixels, drawn.operations, drawn.factors).view_as(images)
        # Hue is much the dearest: it is done once for all images, between two rounds of the other operations. Each
        # image sits out (factor 1) the steps that its own order puts in the other round.
        early = torch.arange(drawn.operations.shape[1], device=images.device) < drawn.hue_step[:, None]
        pixels = blend(pixels, drawn.operations, torch.where(early, drawn.factors, 1.0))
        pixels = shift_hue(pixels, drawn.turns)
        return blend(pixels, drawn.operations, torch.where(early, 1.0, drawn.factors)).view_as(images)


class RandomGrayscale(ImageTransform):
    """Takes the colour out of an image and keeps its three channels.

    Args:
        probability: probability of making an image grey.
    """

    numbers = 1

    def __init__(self, probability: float = 0.1) -> None:
        super().__init__()
        require_probability("RandomGrayscale's probability", probability)
        self.probability = probability
        self.needs_colour = probability > 0

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        if images.shape[1] != 3:
            return images
        selected = draws.uniform[..., None, None] < self.probability
        grey = _grey_weights(images).expand(len(images), 1, 3).bmm(images.flatten(2))
        return torch.where(selected, grey.view(-1, 1, *images.shape[2:]), images)


class RandomSolarize(ImageTransform):
    """Inverts the values at or above a threshold (used by Grill et al., 2020, arXiv 2006.07733).

    Args:
        threshold: brightness in [0, 1] from which on values are inverted.
        probability: probability of solarizing an image.
    """

    numbers = 1

    def __init__(self, threshold: float = 0.5, probability: float = 0.2) -> None:
        super().__init__()
        require_probability("RandomSolarize's probability", probability)
        if not 0 <= threshold <= 1:
            raise InputError(f"RandomSolarize's threshold is {threshold}; give a value between 0 and 1.")
        self.threshold, self.probability = threshold, probability

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        selected = draws.uniform[..., None, None] < self.probability
        return torch.where(selected & (images >= self.threshold), 1 - images, images)


class RandomGain(ImageTransform):
    """Multiplies an image by a random gain, a cheap change of exposure for grey images.

    Args:
        span: largest change of the gain, which is uniform in [1 - span, 1 + span]; at most 1.
    """

    numbers = 1

    def __init__(self, span: float = 0.3) -> None:
        super().__init__()
        if not 0 <= span <= 1:
            raise InputError(f"RandomGain's span is {span}; give a number between 0 and 1.")
        self.span = span

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        gain = between(draws.uniform[..., None, None], 1 - self.span, 1 + self.span)
        return (images * gain).clamp_(0, 1)


class GaussianNoise(ImageTransform):
    """Adds independent normal noise to every value.

    Args:
        std: standard deviation of the noise, for values in [0, 1].
    """

    numbers = 1

    def __init__(self, std: float = 0.05) -> None:
        super().__init__()
        require_at_least("GaussianNoise's std", std, 0)
        self.std = std

    def change(self, images: Tensor, draws: Draws) -> Tensor:
        """See `ImageTransform`."""
        return normal(draws.keys[:, 0], *images.shape[1:]).mul_(self.std).add_(images).clamp_(0, 1)
