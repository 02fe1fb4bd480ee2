from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.randomness import draw, example_keys, fold_in
from ssl_zoo.views.image import BYOLViews, DigitViews, ImageViews, MoCoV2Views, MultichannelViews, SimCLRViews
from ssl_zoo.views.image_color import ColorJitter, GaussianNoise
from ssl_zoo.views.image_crop import RandomResizedCrop
from ssl_zoo.views.image_geometry import GaussianBlur, RandomHorizontalFlip
from ssl_zoo.views.image_transform import ImageTransform
from tests.operations import Operations

UNLIKELY = 1e-3  # p value below which two samples count as differently distributed; the draws are seeded
ROUNDING = {"atol": 1e-5, "rtol": 0.0}

presets = pytest.mark.parametrize(
    "views",
    [SimCLRViews(), MoCoV2Views(), BYOLViews(), DigitViews(), MultichannelViews()],
    ids=lambda v: type(v).__name__,
)
colours = pytest.mark.parametrize("channels", [1, 3])


def keys(count: int, step: int = 0) -> Tensor:
    return example_keys(0, step, torch.arange(count))


def images(count: int, channels: int, height: int = 16, width: int = 16) -> Tensor:
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(channels))


@presets
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 16), (3, 12, 20), (1, 20, 12)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_shape_dtype_and_range(views: ImageViews, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    inputs = images(6, *shape)
    inputs = inputs if dtype == torch.uint8 else (inputs / 255).to(dtype)
    output = views(inputs, keys(6))
    assert output.shape == (12, *shape)
    assert output.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    assert output.min() >= 0 and output.max() <= 1


@pytest.mark.parametrize("views", [DigitViews(), MultichannelViews(noise=0.1)], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("channels", [2, 4, 5, 13])
def test_views_without_colours_take_any_number_of_channels(views: ImageViews, channels: int) -> None:
    output = views(images(6, channels), keys(6))
    assert output.shape == (12, channels, 16, 16) and output.min() >= 0 and output.max() <= 1
    assert (output.flatten(2).std(2) > 0).all()


@pytest.mark.parametrize("views", [SimCLRViews(), MoCoV2Views(), BYOLViews()], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_views_that_change_colours_name_those_that_take_other_channels(views: ImageViews, channels: int) -> None:
    name = type(views).__name__
    with pytest.raises(InputError, match=f"{name} changes colours, .* these have {channels}: .* MultichannelViews"):
        views(images(2, channels), keys(2))


@presets
@colours
def test_the_dtype_of_the_input_makes_no_difference(views: ImageViews, channels: int) -> None:
    inputs = images(6, channels)
    expected = views(inputs, keys(6))
    torch.testing.assert_close(views(inputs / 255, keys(6)), expected, **ROUNDING)
    coarse = (inputs / 255).bfloat16()
    assert torch.equal(views(coarse, keys(6)), views(coarse.float(), keys(6)).bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(views(inputs, keys(6)), expected)
    channels_last = inputs.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(views(channels_last, keys(6)), expected, **ROUNDING)


@presets
@colours
def test_an_example_depends_on_itself_and_its_key_alone(views: ImageViews, channels: int) -> None:
    inputs, names = images(8, channels), keys(8)
    expected = torch.stack(views(inputs, names).chunk(2), 1)

    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    shuffled = torch.stack(views(inputs[order], names[order]).chunk(2), 1)
    torch.testing.assert_close(shuffled, expected[order], **ROUNDING)

    alone = torch.stack(views(inputs[3:4], names[3:4]).chunk(2), 1)
    torch.testing.assert_close(alone, expected[3:4], **ROUNDING)

    other_image, other_key = inputs.clone(), names.clone()
    other_image[3] = 255 - other_image[3]
    other_key[3] = fold_in(names[3:4], 1)[0]
    for changed in (views(other_image, names), views(inputs, other_key)):
        difference = (torch.stack(changed.chunk(2), 1) - expected).abs().amax((2, 3, 4))
        assert (difference[3] > 0.01).all()
        difference[3] = 0
        assert difference.max() <= ROUNDING["atol"]


@presets
def test_the_same_keys_give_the_same_views_and_another_step_gives_others(views: ImageViews) -> None:
    inputs = images(16, 3)
    first = views(inputs, keys(16, step=1))
    assert torch.equal(views(inputs, keys(16, step=1)), first)
    assert ((views(inputs, keys(16, step=2)) - first).abs().amax((1, 2, 3)) > 0.01).all()


@presets
def test_views_leave_their_input_and_the_global_generator_alone(views: ImageViews) -> None:
    for inputs in (images(4, 3), images(4, 3) / 255):
        before, state = inputs.clone(), torch.get_rng_state()
        views(inputs.requires_grad_(inputs.is_floating_point()), keys(4))
        assert torch.equal(inputs, before)
        assert torch.equal(torch.get_rng_state(), state)


@presets
@colours
def test_the_two_views_of_an_example_differ_and_so_do_two_examples_with_the_same_image(
    views: ImageViews, channels: int
) -> None:
    output = views(images(1, channels).expand(16, -1, -1, -1), keys(16)).flatten(1)
    assert torch.pdist(output, p=float("inf")).min() > 0.01


def test_operators_draw_independently_of_each_other() -> None:
    flips = ImageViews([RandomHorizontalFlip(), RandomHorizontalFlip()])
    image = images(1, 1).expand(1000, -1, -1, -1)
    untouched = images(1, 1) / 255
    first, second = ((view - untouched).abs().amax((1, 2, 3)) < 1e-6 for view in flips(image, keys(1000)).chunk(2))
    # Were both flips the same draw, they would always undo each other.
    assert stats.binomtest(int(first.sum()), 1000, 0.5).pvalue > UNLIKELY
    assert stats.binomtest(int((first == second).sum()), 1000, 0.5).pvalue > UNLIKELY


def torchvision_recipe(
    area: tuple[float, float], jitter: tuple[float, float, float, float], blur: float, solarize: float
) -> Callable[[Tensor], Tensor]:
    return v2.Compose(
        [
            v2.RandomResizedCrop(16, area),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*jitter)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], blur),
            v2.RandomSolarize(0.5, solarize),
        ]
    )


@pytest.mark.parametrize(
    ("views", "number", "recipe"),
    [
        (SimCLRViews(), 0, ((0.08, 1.0), (0.8, 0.8, 0.8, 0.2), 0.5, 0.0)),
        (SimCLRViews(strength=0.5, blur=0.0), 1, ((0.08, 1.0), (0.4, 0.4, 0.4, 0.1), 0.0, 0.0)),
        (MoCoV2Views(), 1, ((0.2, 1.0), (0.4, 0.4, 0.4, 0.1), 0.5, 0.0)),
        (BYOLViews(), 0, ((0.08, 1.0), (0.4, 0.4, 0.2, 0.1), 1.0, 0.0)),
        (BYOLViews(), 1, ((0.08, 1.0), (0.4, 0.4, 0.2, 0.1), 0.1, 0.2)),
    ],
)
def test_presets_are_distributed_as_their_recipes_written_in_torchvision(
    views: ImageViews, number: int, recipe: tuple
) -> None:
    ramp = torch.linspace(0, 1, 16)
    texture = 0.3 * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    image = torch.stack([ramp.expand(16, 16), ramp[:, None].expand(16, 16), torch.full((16, 16), 0.2)]) * 0.7 + texture

    def statistics(batch: Tensor) -> Tensor:
        red, green, blue = batch.unbind(1)
        roughness = batch.diff(dim=3).abs().mean((1, 2, 3))
        slope = red[:, :, 8:].mean((1, 2)) - red[:, :, :8].mean((1, 2))
        return torch.stack(
            [
                batch.mean((1, 2, 3)),
                batch.std((1, 2, 3)),
                roughness,
                slope,
                (red - blue).mean((1, 2)),
                green.amax((1, 2)),
            ]
        )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = torchvision_recipe(*recipe)
        theirs = statistics(torch.stack([transform(image) for _ in range(800)]))
    ours = statistics(views(image.expand(2000, -1, -1, -1), keys(2000)).chunk(2)[number])
    for row, (ours_row, theirs_row) in enumerate(zip(ours, theirs, strict=True)):
        assert stats.ks_2samp(ours_row, theirs_row, method="asymp").pvalue > UNLIKELY, row


@pytest.mark.parametrize(
    ("views", "jitter"),
    [
        (SimCLRViews(), (0.8, 0.8, 0.8, 0.2)),
        (SimCLRViews(strength=0.5), (0.4, 0.4, 0.4, 0.1)),
        (MoCoV2Views(), (0.4, 0.4, 0.4, 0.1)),
        (BYOLViews(), (0.4, 0.4, 0.2, 0.1)),
    ],
)
def test_the_jitter_of_the_papers(views: ImageViews, jitter: tuple[float, float, float, float]) -> None:
    # a rank test of a few hundred images is too coarse to distinguish these numbers
    for operators in (views.first, views.second):
        (found,) = [operator for operator in operators if isinstance(operator, ColorJitter)]
        assert (*found.spans, found.hue) == pytest.approx(jitter)
        assert found.probability == 0.8


def test_byol_blurs_its_first_view_and_solarizes_only_its_second() -> None:
    white = torch.full((1500, 3, 8, 8), 255, dtype=torch.uint8)  # the jitter leaves it at 0.6 or brighter
    first, second = (view.mean((1, 2, 3)) for view in BYOLViews()(white, keys(1500)).chunk(2))
    assert (first > 0.5).all()
    assert stats.binomtest(int((second < 0.5).sum()), 1500, 0.2).pvalue > UNLIKELY
    first, second = (view.diff(dim=3).abs().mean() for view in BYOLViews()(images(300, 3), keys(300)).chunk(2))
    assert first < 0.8 * second


def test_size_sets_the_side_of_the_views() -> None:
    for views in (SimCLRViews(size=8), MoCoV2Views(size=8), BYOLViews(size=8)):
        assert views(images(2, 3, 20, 14), keys(2)).shape == (4, 3, 8, 8)


def test_digit_views_move_a_digit_a_little_and_never_mirror_it() -> None:
    stroke = torch.zeros(1000, 1, 28, 28)
    stroke[..., 6:22, 13:15] = 1
    centred = DigitViews(translate=0.0, shear=0.0, scale=(1.0, 1.0))(stroke, keys(1000))[:, 0].clamp(min=0.4) - 0.4
    columns = torch.arange(28.0)
    upper, lower = ((half.sum(1) @ columns) / half.sum((1, 2)) for half in (centred[:, 7:13], centred[:, 15:21]))
    lean = torch.atan2(upper - lower, torch.tensor(8.0)).rad2deg()
    assert 13 < lean.max() < 17 and -17 < lean.min() < -13  # it leans up to 15 degrees either way

    corner = torch.zeros(1000, 1, 28, 28)
    corner[..., 4:10, 18:24] = 1
    moved = DigitViews(noise=0.0)(corner, keys(1000))[:, 0]
    quarters = moved.unflatten(1, (2, 14)).unflatten(3, (2, 14)).sum((2, 4)).flatten(1)
    assert (quarters.argmax(1) == 1).float().mean() > 0.99  # what is at the upper right stays there


@pytest.mark.parametrize("inputs", [torch.zeros(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.int64)])
def test_inputs_that_are_no_images_are_refused(inputs: Tensor) -> None:
    with pytest.raises(InputError, match=r"give images of shape \(B, C, H, W\)"):
        SimCLRViews()(inputs, keys(len(inputs)))


@pytest.mark.parametrize(
    "make", [lambda: SimCLRViews(blur=2.0), lambda: SimCLRViews(strength=-1.0), lambda: BYOLViews(solarize=(0.0, -0.2))]
)
def test_a_setting_that_cannot_work_is_refused(make: Callable[[], ImageViews]) -> None:
    with pytest.raises(InputError):
        make()


@presets
@colours
def test_no_operator_reads_a_value_on_the_host_or_strays_from_the_device(views: ImageViews, channels: int) -> None:
    batch, names = torch.rand(4, channels, 16, 16, device="meta"), torch.zeros(4, dtype=torch.int64, device="meta")
    operator: ImageTransform
    for operator in [*views.first, *views.second, RandomHorizontalFlip()]:
        batch = operator(batch, names)  # meta tensors hold no values: a branch on one, or a nonzero, raises
    assert batch.device.type == "meta" and batch.shape == (4, channels, 16, 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@presets
@colours
def test_a_gpu_makes_the_same_views_without_waiting(views: ImageViews, channels: int) -> None:
    inputs, names = images(16, channels), keys(16)
    on_device = inputs.cuda(), names.cuda()
    views(*on_device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        output = views(*on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(output.cpu(), views(inputs, names), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("channels", "most"), [(1, 150), (3, 225)])
def test_both_views_of_a_batch_take_few_operations(channels: int, most: int) -> None:
    # One draw serves both views, and all operators that both recipes begin with change both views at once.
    method = SimCLR(ResNet(18, width=8, channels=channels), SimCLRViews())
    batch = Batch(images(8, channels, 32, 32), None, None, torch.arange(8))
    with Operations() as made:
        method.make_views(batch)
    assert sum(made.counted.values()) <= most
    with Operations() as hashed:
        draw(method.keys(batch), sum(operator.numbers for operator in method.views.first), blocks=2)
    assert sum(hashed.counted.values()) <= 35  # keys and numbers together


def test_a_recipe_of_ones_own() -> None:
    views = ImageViews(
        [RandomResizedCrop(10), ColorJitter(0.4)], [RandomResizedCrop(10), GaussianBlur(), GaussianNoise()]
    )
    first, second = views(images(5, 3), keys(5)).chunk(2)
    assert first.shape == second.shape == (5, 3, 10, 10)
