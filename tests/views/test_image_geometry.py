import pytest
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as reference

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys, uniform
from ssl_zoo.views.image_crop import ATTEMPTS, RandomResizedCrop, crop_boxes, resize_weights
from ssl_zoo.views.image_geometry import (
    GaussianBlur,
    RandomAffine,
    RandomHorizontalFlip,
    affine,
    apply_separable,
    blur_weights,
)

UNLIKELY = 1e-3  # p value below which two samples count as differently distributed; the draws are seeded


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return example_keys(seed, 0, torch.arange(count))


def box_draws(count: int) -> torch.Tensor:
    return uniform(keys(count), 2 * ATTEMPTS + 2)


def same_distribution(ours: ArrayLike, theirs: ArrayLike) -> bool:
    # the exact p value takes seconds for samples of this size
    return stats.ks_2samp(ours, theirs, method="asymp").pvalue > UNLIKELY


def images(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(height))


@pytest.mark.parametrize(("channels", "height", "width", "size"), [(1, 28, 28, 28), (3, 32, 20, 24), (3, 96, 96, 64)])
def test_a_box_is_resized_as_torchvision_does(channels: int, height: int, width: int, size: int) -> None:
    batch = images(24, channels, height, width)
    boxes = crop_boxes(box_draws(24), height, width, (0.08, 1.0), (3 / 4, 4 / 3))
    top, left, box_height, box_width = boxes
    flip = torch.arange(24) % 2 == 1
    output = apply_separable(
        batch, resize_weights(top, box_height, height, size), resize_weights(left, box_width, width, size, flip)
    )
    for image, result, flipped, *box in zip(
        batch, output, flip, *(values.int().tolist() for values in boxes), strict=True
    ):
        expected = reference.resized_crop(image, *box, size=[size, size], antialias=True)
        expected = reference.horizontal_flip(expected) if flipped else expected
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width", "scale"), [(32, 32, (0.08, 1.0)), (20, 64, (0.5, 1.0))])
def test_boxes_are_distributed_as_torchvision_draws_them(height: int, width: int, scale: tuple[float, float]) -> None:
    count = 3000
    ours = torch.stack(crop_boxes(box_draws(count), height, width, scale, (3 / 4, 4 / 3)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        crop = v2.RandomResizedCrop(32, scale)
        drawn = [crop.make_params([torch.empty(3, height, width)]) for _ in range(count)]
    theirs = torch.tensor([[float(box[side]) for box in drawn] for side in ("top", "left", "height", "width")])
    for ours_row, theirs_row in zip(ours, theirs, strict=True):
        assert same_distribution(ours_row, theirs_row)
    assert same_distribution(ours[2] * ours[3], theirs[2] * theirs[3])
    assert same_distribution(ours[3] / ours[2], theirs[3] / theirs[2])


def test_boxes_lie_inside_the_image() -> None:
    top, left, height, width = crop_boxes(box_draws(2000), 9, 31, (0.01, 1.0), (0.2, 5.0))
    assert (top >= 0).all() and (left >= 0).all() and (height >= 1).all() and (width >= 1).all()
    assert (top + height <= 9).all() and (left + width <= 31).all()


def test_a_box_that_cannot_fit_is_the_largest_central_one() -> None:
    top, left, height, width = crop_boxes(box_draws(4), 10, 100, (1.0, 1.0), (3 / 4, 4 / 3))
    assert height.tolist() == [10] * 4 and width.tolist() == [13] * 4
    assert top.tolist() == [0] * 4 and left.tolist() == [43] * 4


def test_crop_and_flip_use_the_boxes_and_the_size_asked_for() -> None:
    assert RandomResizedCrop(12)(images(2, 3, 20, 30), keys(2)).shape == (2, 3, 12, 12)
    assert RandomResizedCrop()(images(2, 1, 20, 30), keys(2)).shape == (2, 1, 20, 30)
    ramp = torch.linspace(0, 1, 16).expand(2000, 1, 16, 16)
    output = RandomResizedCrop(flip=0.3)(ramp, keys(2000))
    flipped = (output[:, 0, 0, 0] > output[:, 0, 0, -1]).sum().item()
    assert stats.binomtest(flipped, 2000, 0.3).pvalue > UNLIKELY


def test_flip_mirrors_whole_images_with_its_probability() -> None:
    batch = images(1, 3, 4, 5).expand(2000, -1, -1, -1)
    output = RandomHorizontalFlip(0.3)(batch, keys(2000))
    flipped = (output == reference.horizontal_flip(batch[0])).flatten(1).all(1)
    untouched = (output == batch).flatten(1).all(1)
    assert (flipped ^ untouched).all()
    assert stats.binomtest(int(flipped.sum()), 2000, 0.3).pvalue > UNLIKELY


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 36)])
def test_affine_equals_torchvision(height: int, width: int) -> None:
    draw = torch.Generator().manual_seed(1)
    batch = images(12, 3, height, width)
    angle = 120 * torch.rand(12, generator=draw) - 60
    pixels = torch.randint(-5, 6, (12, 2), generator=draw)
    scale = 0.5 + torch.rand(12, generator=draw)
    shear = 60 * torch.rand(12, generator=draw) - 30
    output = affine(batch, angle, pixels / torch.tensor([width, height]), scale, shear)
    for row in range(12):
        expected = reference.affine(
            batch[row],
            angle=angle[row].item(),
            translate=pixels[row].tolist(),
            scale=scale[row].item(),
            shear=[shear[row].item(), 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(output[row], expected, atol=2e-5, rtol=0)


def moments(batch: torch.Tensor) -> torch.Tensor:
    """Mass, centre of mass (2) and second central moments (2) of each grey image, one row per statistic."""
    rows, columns = torch.meshgrid(torch.arange(batch.shape[2]), torch.arange(batch.shape[3]), indexing="ij")
    mass = batch.sum((1, 2, 3))
    weights = (batch[:, 0] / mass[:, None, None]).flatten(1)
    x, y = columns.flatten().float(), rows.flatten().float()
    left, top = weights @ x, weights @ y
    return torch.stack([mass, left, top, weights @ (x * y) - left * top, weights @ (x * x) - left**2])


@pytest.mark.parametrize(
    ("settings", "compared"),
    [
        # what a setting leaves alone varies by interpolation only, and ours shifts by parts of a pixel
        ({"degrees": 40.0}, [1, 2, 3, 4]),
        ({"degrees": 0.0, "translate": 0.2}, [1, 2]),
        ({"degrees": 10.0, "scale": (0.7, 1.3), "shear": 25.0}, [0, 1, 2, 3, 4]),
    ],
)
def test_random_affine_is_distributed_as_torchvisions(settings: dict, compared: list[int]) -> None:
    blob = torch.zeros(1, 48, 48)
    blob[:, 18:26, 16:34] = 1
    ours = moments(RandomAffine(**settings)(blob.expand(700, -1, -1, -1), keys(700)))
    if "translate" in settings:
        settings = settings | {"translate": (settings["translate"], settings["translate"])}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = v2.RandomAffine(**settings, interpolation=InterpolationMode.BILINEAR)
        theirs = moments(torch.stack([transform(blob) for _ in range(700)]))
    for row in compared:
        assert same_distribution(ours[row], theirs[row]), row


@pytest.mark.parametrize(("kernel", "height", "width"), [(3, 28, 28), (9, 32, 20), (23, 224, 24)])
def test_blur_equals_torchvision(kernel: int, height: int, width: int) -> None:
    batch = images(6, 3, height, width)
    sigma = torch.linspace(0.1, 2.0, 6)
    output = apply_separable(batch, blur_weights(sigma, kernel, height), blur_weights(sigma, kernel, width))
    for row in range(6):
        expected = reference.gaussian_blur(batch[row], [kernel, kernel], [sigma[row].item()] * 2)
        torch.testing.assert_close(output[row], expected, atol=1e-5, rtol=0)


def test_blur_leaves_unselected_images_exactly_and_the_others_are_distributed_as_torchvisions() -> None:
    impulse = torch.zeros(1, 9, 9)
    impulse[:, 4, 4] = 1
    output = GaussianBlur(probability=0.4)(impulse.expand(2000, -1, -1, -1), keys(2000))
    blurred = (output != impulse).flatten(1).any(1)
    sharpest = v2.functional.gaussian_blur(impulse, [3, 3], [0.26])[0, 4, 4]  # below this width a blur shows no more
    visible = 0.4 * (2.0 - 0.26) / (2.0 - 0.1)
    assert stats.binomtest(int((output[:, 0, 4, 4] < sharpest).sum()), 2000, visible).pvalue > UNLIKELY
    assert 0 < blurred.sum() < 0.5 * 2000
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = v2.GaussianBlur(3, (0.1, 2.0))
        theirs = torch.stack([transform(impulse)[0, 4, 4] for _ in range(1000)])
    always = GaussianBlur(probability=1.0)(impulse.expand(1000, -1, -1, -1), keys(1000))[:, 0, 4, 4]
    assert same_distribution(always, theirs)


@pytest.mark.parametrize(("size", "kernel"), [(8, 3), (32, 3), (96, 9), (224, 23)])
def test_blur_kernel_is_a_tenth_of_the_side_and_odd(size: int, kernel: int) -> None:
    stripe = torch.zeros(1, 1, size, size)
    stripe[..., size // 2] = 1
    output = GaussianBlur(sigma=(50.0, 50.0), probability=1.0)(stripe, keys(1))
    assert (output[0, 0, 0] > 0).sum() == kernel


@pytest.mark.parametrize(
    "operator",
    [RandomResizedCrop(flip=0.5), RandomResizedCrop(40), RandomHorizontalFlip(), GaussianBlur(probability=1.0)],
)
def test_a_solid_image_stays_solid(operator: torch.nn.Module) -> None:
    colours = torch.linspace(0, 1, 30).view(10, 3, 1, 1)
    output = operator(colours.expand(-1, -1, 25, 32), keys(10))
    torch.testing.assert_close(output, colours.expand_as(output), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("operator", "settings"),
    [
        (RandomResizedCrop, {"scale": (0.0, 1.0)}),
        (RandomResizedCrop, {"scale": (0.5, 1.5)}),
        (RandomResizedCrop, {"ratio": (2.0, 1.0)}),
        (RandomResizedCrop, {"flip": 1.5}),
        (RandomResizedCrop, {"size": 0}),
        (RandomHorizontalFlip, {"probability": -0.1}),
        (RandomAffine, {"degrees": -1.0}),
        (RandomAffine, {"shear": 90.0}),
        (RandomAffine, {"scale": (0.0, 1.0)}),
        (GaussianBlur, {"sigma": (0.0, 2.0)}),
        (GaussianBlur, {"probability": float("nan")}),
    ],
)
def test_a_setting_that_cannot_work_is_named(operator: type, settings: dict) -> None:
    with pytest.raises(InputError, match=f"{operator.__name__}'s {next(iter(settings))}"):
        operator(**settings)
