"""Views of two images that show the same: the first of the one, the second of the other."""

import pytest
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from ssl_zoo.templates.my_views import MyViews
from ssl_zoo.views.image import BYOLViews, ImageViews, MoCoV2Views, SimCLRViews
from ssl_zoo.views.image_color import GaussianNoise
from ssl_zoo.views.image_crop import RandomResizedCrop
from ssl_zoo.views.multi_crop import MultiCrop

COUNT = 16
KEYS = example_keys(0, 0, torch.arange(COUNT))
ZOOM = (0.1, 0.2)


def batch(partners: bool = True, whole: bool = True, aspect: tuple[float, float] = (1.0, 1.0)) -> Batch:
    """Random images, and random others as their partners."""
    generator = torch.Generator().manual_seed(0)

    def images(size: int) -> Tensor:
        return torch.randint(0, 256, (COUNT, 3, size, size), dtype=torch.uint8, generator=generator)

    inputs, own, partner, other = images(16), images(24), images(16), images(24)
    fields = {"whole": own, "aspect": torch.full((COUNT,), aspect[0])} if whole else {}
    if partners:
        fields["partner"] = partner
        if whole:
            fields |= {"partner_whole": other, "partner_aspect": torch.full((COUNT,), aspect[1])}
    return Batch(inputs, None, None, torch.arange(COUNT), fields or None)


def of_partners(images: Batch) -> Batch:
    """The partners as a batch of their own."""
    fields = dict(images.fields or {})
    own = {name: fields[f"partner_{name}"] for name in ("whole", "aspect") if f"partner_{name}" in fields}
    return images._replace(inputs=fields["partner"], fields=own or None)


def alone(images: Batch) -> Batch:
    kept = {name: each for name, each in (images.fields or {}).items() if not name.startswith("partner")}
    return images._replace(fields=kept or None)


RECIPES = {
    "SimCLR": SimCLRViews(),
    "MoCo": MoCoV2Views(blur=0.0),
    "BYOL": BYOLViews(),  # begins alike, ends differently
    "two crops": ImageViews([RandomResizedCrop(scale=ZOOM)], [RandomResizedCrop(), GaussianNoise(0.1)]),
    "crop and none": ImageViews([RandomResizedCrop(scale=ZOOM)], [GaussianNoise(0.1)]),
    "nothing": ImageViews([]),
}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_the_views_that_each_image_alone_would_have(name: str, whole: bool) -> None:
    images, views = batch(whole=whole, aspect=(0.5, 3.0)), RECIPES[name]
    first, second = views.of(images, KEYS).inputs.chunk(2)
    torch.testing.assert_close(first, views.of(alone(images), KEYS).inputs.chunk(2)[0])
    torch.testing.assert_close(second, views.of(of_partners(images), KEYS).inputs.chunk(2)[1])
    assert not torch.allclose(second, views.of(alone(images), KEYS).inputs.chunk(2)[1])


def test_what_an_example_becomes_depends_on_it_and_its_partner_alone() -> None:
    images = batch(aspect=(0.5, 3.0))
    some = torch.tensor([9, 2, 5])
    fields = {name: each[some] for name, each in images.fields.items()}
    few = Batch(images.inputs[some], None, None, images.index[some], fields)
    whole = SimCLRViews().of(images, KEYS).inputs.unflatten(0, (2, COUNT))[:, some].flatten(0, 1)
    torch.testing.assert_close(SimCLRViews().of(few, KEYS[some]).inputs, whole)


def test_local_crops_are_of_both() -> None:
    crops = ImageViews([RandomResizedCrop(8, scale=ZOOM)])
    views, images = MultiCrop(ImageViews([]), crops, 4), batch()
    (local,) = views.smaller(images, KEYS)
    (own,), (other,) = views.smaller(alone(images), KEYS), views.smaller(of_partners(images), KEYS)
    for part, each in zip(local.inputs.chunk(2), (own.inputs.chunk(2)[0], other.inputs.chunk(2)[1]), strict=True):
        torch.testing.assert_close(part, each)
    torch.testing.assert_close(views.of(images, KEYS).inputs.chunk(2)[1], images.fields["partner"] / 255)


def test_views_that_know_no_partners_refuse_them() -> None:
    with pytest.raises(InputError, match=r"MyViews makes all views of an example of itself.*set it to false"):
        MyViews().of(batch(), KEYS)
    with pytest.raises(InputError, match="MyViews makes all views"):
        MultiCrop(MyViews(), MyViews(), 2).of(batch(), KEYS)
    assert len(MyViews().of(batch(partners=False), KEYS).inputs) == 2 * COUNT
