"""Multi-crop: how many views of which size there are, and that small ones depend on their example and its key alone."""

import pytest
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.compiled_views import CompiledForward
from ssl_zoo.callbacks.figures import draw_views
from ssl_zoo.data.pictures import Picture
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from ssl_zoo.rebuilding import build, kinds_in
from ssl_zoo.views.audio import AudioViews
from ssl_zoo.views.base import Views
from ssl_zoo.views.image import BYOLViews, DigitViews, SimCLRViews
from ssl_zoo.views.multi_crop import MultiCrop
from ssl_zoo.views.text import TextViews
from tests.made import vocabulary

VOCABULARY = vocabulary(30, range(20, 30))


def keys(count: int, step: int = 0) -> Tensor:
    return example_keys(0, step, torch.arange(count))


def images(count: int, fields: dict[str, Tensor] | None = None) -> Batch:
    pixels = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(pixels, None, None, torch.arange(count), fields)


def multi_crop(local_crops: int = 6) -> MultiCrop:
    return MultiCrop(BYOLViews(crop_scale=(0.4, 1.0)), SimCLRViews(crop_scale=(0.05, 0.4), size=8), local_crops)


def each_crop(views: MultiCrop, batch: Batch, names: Tensor) -> Tensor:
    """``(local_crops, B, ...)``."""
    (crops,) = views.smaller(batch, names)
    return crops.inputs.unflatten(0, (-1, len(names)))


def test_the_global_views_are_those_of_their_recipe_and_the_local_ones_are_small() -> None:
    views, batch = multi_crop(), images(5)
    (whole, mask), (local,) = views.of(batch, keys(5)), views.smaller(batch, keys(5))
    assert mask is None and torch.equal(whole, views.global_views(batch.inputs, keys(5)))
    assert torch.equal(whole, views(batch.inputs, keys(5))) and views.views_per_example == 2
    assert local.inputs.shape == (6 * 5, 3, 8, 8) and local.mask is None


def test_plain_views_have_no_smaller_ones() -> None:
    assert BYOLViews().smaller(images(2), keys(2)) == []


def test_all_crops_of_an_example_differ_and_share_no_draws_with_the_global_views() -> None:
    same = MultiCrop(SimCLRViews(size=8), SimCLRViews(size=8), 6)
    batch = images(1)
    crops = torch.cat([same.of(batch, keys(1)).inputs, same.smaller(batch, keys(1))[0].inputs])
    assert torch.pdist(crops.flatten(1), p=float("inf")).min() > 0.01


def test_a_crop_depends_on_its_example_and_key_alone() -> None:
    views, batch, names = multi_crop(), images(6), keys(6)
    expected = each_crop(views, batch, names)
    order = torch.tensor([4, 1, 5, 0, 2, 3])
    shuffled = each_crop(views, batch._replace(inputs=batch.inputs[order], index=order), names[order])
    torch.testing.assert_close(shuffled, expected[:, order], atol=1e-5, rtol=0)
    alone = each_crop(views, batch._replace(inputs=batch.inputs[3:4], index=torch.tensor([3])), names[3:4])
    torch.testing.assert_close(alone, expected[:, 3:4], atol=1e-5, rtol=0)
    another = each_crop(views, batch, keys(6, step=1))
    assert ((another - expected).abs().amax((2, 3, 4)) > 0.01).all()


def test_local_crops_show_small_parts_and_are_cut_from_the_whole_of_a_photograph() -> None:
    ramp = torch.linspace(0, 1, 48).expand(400, 1, 48, 48)
    crop = SimCLRViews(strength=0.0, blur=0.0, flip=0.0, size=8)  # shows the ramp's slope, which is how wide a box is
    spread = {}
    for scale in ((0.05, 0.4), (0.4, 1.0)):
        local = SimCLRViews(strength=0.0, blur=0.0, flip=0.0, size=8, crop_scale=scale)
        batch = Batch(
            torch.zeros(400, 1, 16, 16), None, None, torch.arange(400), {"whole": ramp, "aspect": torch.ones(400)}
        )
        shown = each_crop(MultiCrop(crop, local, 2), batch, keys(400))[..., 0, :]
        spread[scale] = (shown[..., -1] - shown[..., 0]) / (7 / 8)
    assert 0.17 < spread[0.05, 0.4].min() and spread[0.05, 0.4].max() < 0.75  # sides are roots of areas
    assert spread[0.4, 1.0].min() > 0.5


def test_shorter_stretches_of_speech_and_of_texts_are_local_crops_too() -> None:
    speech = Batch(torch.rand(3, 8000) - 0.5, None, None, torch.arange(3))
    (local,) = MultiCrop(AudioViews(0.4), AudioViews(0.2), 4).smaller(speech, keys(3))
    assert local.inputs.shape == (12, 3200)
    tokens = torch.randint(10, 30, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(12) < torch.tensor([[12], [9], [5]])
    views = MultiCrop(TextViews(VOCABULARY, crop=0.8), TextViews(VOCABULARY, crop=0.2, deletion=0.5), 4)
    batch = Batch(tokens, mask, None, torch.arange(3))
    whole, (local,) = views.of(batch, keys(3)), views.smaller(batch, keys(3))
    assert local.mask is not None and whole.mask is not None and len(local.mask) == 12
    assert local.mask.any(0).all()  # no longer than the longest
    assert local.mask.sum() / 12 < whole.mask.sum() / 6


def test_a_number_of_crops_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match=r"local_crops is 5, and SimCLRViews makes 2 at once: give a multiple of 2\."):
        multi_crop(5)
    with pytest.raises(InputError, match="local_crops is 0"):
        multi_crop(0)


def test_it_is_rebuilt_from_its_settings() -> None:
    again = build(kinds_in(multi_crop().settings))
    assert again.settings == multi_crop().settings
    assert torch.equal(each_crop(again, images(2), keys(2)), each_crop(multi_crop(), images(2), keys(2)))


def test_its_recipes_are_compiled_one_by_one() -> None:
    views, batch = MultiCrop(DigitViews(), DigitViews(), 4), images(3)
    expected = [views.of(batch, keys(3)).inputs, views.smaller(batch, keys(3))[0].inputs]
    recipes: list[Views] = views.recipes()
    assert recipes == [views.global_views, views.local_views]
    calls = []
    for recipe in recipes:
        forward = CompiledForward(recipe, backend="eager")
        recipe.forward = lambda *given, forward=forward: calls.append(1) or forward(*given)
    torch.testing.assert_close([views.of(batch, keys(3)).inputs, views.smaller(batch, keys(3))[0].inputs], expected)
    assert len(calls) == 2


def test_crops_of_all_sizes_are_in_the_picture_of_views(tmp_path) -> None:
    def shown(count: int, side: int) -> Picture:
        return Picture(torch.rand(count, 3, side, side), None)

    draw_views(shown(2, 16), [shown(4, 16), shown(12, 8)], "images", tmp_path / "views.png")
    assert (tmp_path / "views.png").stat().st_size > 0
