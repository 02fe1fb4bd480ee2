"""Two views of every image of a batch: the recipes of the contrastive papers, and one for digits."""

from functools import partial

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError
from ssl_zoo.views.base import Start, Views, require_at_least, require_probability, two_views
from ssl_zoo.views.image_color import ColorJitter, GaussianNoise, RandomGain, RandomGrayscale, RandomSolarize
from ssl_zoo.views.image_crop import RandomResizedCrop
from ssl_zoo.views.image_geometry import GaussianBlur, RandomAffine
from ssl_zoo.views.image_transform import ImageTransform
from ssl_zoo.views.image_whole import cut_whole

# Of a batch, besides its inputs: all of every image, and another image that shows the same; see `ssl_zoo.batch.Batch`.
FIELDS = ("whole", "aspect", "partner", "partner_whole", "partner_aspect")


class ImageViews(Views):
    """Two views of every image, each made by a list of operators.

    Takes ``(B, C, H, W)`` uint8 in [0, 255] or float in [0, 1]; gives ``(2 B, C, H', W')`` in [0, 1], float32 for
    uint8 and else in the dtype of the input. The work is done in float32, under autocast too, and without gradients.

    A recipe that begins with a `RandomResizedCrop` cuts its boxes from `Batch.fields["whole"]` where the batch has
    that; every other one sees the middle of an image, which is `Batch.inputs`. Where the batch has `partner`, the
    second view is made of that image in place of the example's own.

    Args:
        first: operators that make the first view, in order.
        second: operators that make the second view; None for the same ones, with draws of their own.
    """

    views_per_example = 2
    takes_partners = True

    def __init__(self, first: list[ImageTransform], second: list[ImageTransform] | None = None) -> None:
        super().__init__()
        self.first = nn.ModuleList(first)
        self.second = nn.ModuleList(first if second is None else second)

    @torch.no_grad()
    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """See `Views`; raises `InputError` for inputs that are not a batch of images."""
        if inputs.dim() != 4 or not (inputs.dtype == torch.uint8 or inputs.is_floating_point()):
            raise InputError(
                f"Image views got a batch of {inputs.dtype} with shape {tuple(inputs.shape)}; give images of shape "
                "(B, C, H, W), uint8 in [0, 255] or float in [0, 1]."
            )
        self._check_colours(inputs.shape[1])
        with torch.autocast(inputs.device.type, enabled=False):
            known = {"inputs": inputs, **{name: each for name, each in (fields or {}).items() if name in FIELDS}}
            own = {name: _as_floats(each) for name, each in known.items()}
            starts = [_start(self.first, own), _start(self.second, _partner(own))]
            output = two_views(keys, self.first, self.second, starts)
        return output.to(inputs.dtype) if inputs.is_floating_point() else output

    def _check_colours(self, channels: int) -> None:
        """Refuses channels that are no colour where an operator changes colours: it would do nothing, in silence."""
        if channels not in (1, 3) and any(operator.needs_colour for operator in (*self.first, *self.second)):
            raise InputError(
                f"{type(self).__name__} changes colours, which only images of 1 or 3 channels have, and these have "
                f"{channels}: set model.views to MultichannelViews."
            )


def _partner(images: dict[str, Tensor]) -> dict[str, Tensor]:
    """The partners of a batch's images in their place, where it has some."""
    if "partner" not in images:
        return images
    others = {"inputs": images["partner"]}
    if "partner_whole" in images:
        others |= {"whole": images["partner_whole"], "aspect": images["partner_aspect"]}
    return others


def _start(operators: nn.ModuleList, images: dict[str, Tensor]) -> Start:
    """Where a recipe begins: with whole images if it crops them first, with their middle otherwise."""
    if "whole" not in images or not operators or not isinstance(operators[0], RandomResizedCrop):
        return Start(images["inputs"])
    cut = partial(cut_whole, operators[0], images["inputs"].shape[-1])
    return Start(images["whole"], cut, images["aspect"])


def _as_floats(images: Tensor) -> Tensor:
    """A copy in float32, in [0, 1]."""
    return images.float().mul_(1 / 255) if images.dtype == torch.uint8 else images.float()


class SimCLRViews(ImageViews):
    """The views of SimCLR (Chen et al., 2020, arXiv 2002.05709, appendix A).

    Args:
        strength: strength of the colour jitter; the paper has 1 for ImageNet and 0.5 for CIFAR-10.
        crop_scale: range of the crop's area, as a fraction of the image's.
        flip: probability of mirroring left and right.
        blur: probability of the blur; the paper has 0 for CIFAR-10.
        size: side of the views in pixels; None for that of the input.
    """

    def __init__(
        self,
        strength: float = 1.0,
        crop_scale: tuple[float, float] = (0.08, 1.0),
        flip: float = 0.5,
        blur: float = 0.5,
        size: int | None = None,
    ) -> None:
        require_at_least("SimCLRViews' strength", strength, 0)
        require_probability("SimCLRViews' blur", blur)
        operators = [
            RandomResizedCrop(size, crop_scale, flip=flip),
            ColorJitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength, probability=0.8),
            RandomGrayscale(0.2),
        ]
        super().__init__([*operators, GaussianBlur(probability=blur)] if blur else operators)


class MoCoV2Views(ImageViews):
    """The views of MoCo v2 (Chen et al., 2020, arXiv 2003.04297).

    Args:
        crop_scale: range of the crop's area, as a fraction of the image's.
        flip: probability of mirroring left and right.
        blur: probability of the blur.
        size: side of the views in pixels; None for that of the input.
    """

    def __init__(
        self,
        crop_scale: tuple[float, float] = (0.2, 1.0),
        flip: float = 0.5,
        blur: float = 0.5,
        size: int | None = None,
    ) -> None:
        require_probability("MoCoV2Views' blur", blur)
        operators = [
            RandomResizedCrop(size, crop_scale, flip=flip),
            ColorJitter(0.4, 0.4, 0.4, 0.1, probability=0.8),
            RandomGrayscale(0.2),
        ]
        super().__init__([*operators, GaussianBlur(probability=blur)] if blur else operators)


class BYOLViews(ImageViews):
    """The two different views of BYOL (Grill et al., 2020, arXiv 2006.07733, appendix B).

    Args:
        crop_scale: range of the crop's area, as a fraction of the image's.
        flip: probability of mirroring left and right.
        blur: probability of the blur in the first and the second view.
        solarize: probability of solarization in the first and the second view.
        size: side of the views in pixels; None for that of the input.
    """

    def __init__(
        self,
        crop_scale: tuple[float, float] = (0.08, 1.0),
        flip: float = 0.5,
        blur: tuple[float, float] = (1.0, 0.1),
        solarize: tuple[float, float] = (0.0, 0.2),
        size: int | None = None,
    ) -> None:
        same: list[ImageTransform] = [
            RandomResizedCrop(size, crop_scale, flip=flip),
            ColorJitter(0.4, 0.4, 0.2, 0.1, probability=0.8),
            RandomGrayscale(0.2),
        ]
        recipes: list[list[ImageTransform]] = []
        for blur_probability, solarize_probability in zip(blur, solarize, strict=True):
            require_probability("BYOLViews' blur", blur_probability)
            require_probability("BYOLViews' solarize", solarize_probability)
            operators = same.copy()
            if blur_probability:
                operators.append(GaussianBlur(probability=blur_probability))
            if solarize_probability:
                operators.append(RandomSolarize(probability=solarize_probability))
            recipes.append(operators)
        super().__init__(*recipes)


class MultichannelViews(ImageViews):
    """Views of images with any number of channels, of satellites and microscopes say: SimCLR's without its colours.

    Brightness and contrast change all channels of an image alike.

    Args:
        strength: strength of the changes of brightness and contrast; 1 changes either by up to 80 %.
        crop_scale: range of the crop's area, as a fraction of the image's.
        flip: probability of mirroring left and right.
        blur: probability of the blur.
        noise: standard deviation of the noise added to every value; 0 for none.
        size: side of the views in pixels; None for that of the input.
    """

    def __init__(
        self,
        strength: float = 0.5,
        crop_scale: tuple[float, float] = (0.2, 1.0),
        flip: float = 0.5,
        blur: float = 0.5,
        noise: float = 0.0,
        size: int | None = None,
    ) -> None:
        require_at_least("MultichannelViews' strength", strength, 0)
        require_probability("MultichannelViews' blur", blur)
        operators: list[ImageTransform] = [
            RandomResizedCrop(size, crop_scale, flip=flip),
            ColorJitter(0.8 * strength, 0.8 * strength, probability=0.8),
        ]
        if blur:
            operators.append(GaussianBlur(probability=blur))
        super().__init__([*operators, GaussianNoise(noise)] if noise else operators)


class DigitViews(ImageViews):
    """Views of small grey digits, whose class a crop or a flip would change.

    Args:
        degrees: largest rotation either way, in degrees.
        translate: largest shift either way, as a fraction of the side.
        scale: range of the magnification.
        shear: largest shear either way, in degrees.
        gain: largest change of the number that values are multiplied by, uniform in [1 - gain, 1 + gain].
        noise: standard deviation of the noise added to every value.
    """

    def __init__(
        self,
        degrees: float = 15.0,
        translate: float = 0.12,
        scale: tuple[float, float] = (0.8, 1.2),
        shear: float = 15.0,
        gain: float = 0.3,
        noise: float = 0.05,
    ) -> None:
        super().__init__([RandomAffine(degrees, translate, scale, shear), RandomGain(gain), GaussianNoise(noise)])
