"""Tests of the views: `python -m pytest test_my_views.py`."""

import torch
from my_views import MyViews

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.own_contracts import check_views

IMAGES = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
KEYS = torch.arange(4)


def test_they_keep_the_contract() -> None:
    """Number, shape, type and range, as every run checks before it begins; the same keys give the same views."""
    check_views(MyViews(), Batch(IMAGES, None, None, KEYS), KEYS, "image")


def test_both_views_of_an_image_differ() -> None:
    """And so do the same views under other keys."""
    views = MyViews()(IMAGES, KEYS)
    first, second = views.chunk(2)
    assert not torch.equal(first, second) and not torch.equal(views, MyViews()(IMAGES, KEYS + 4))


def test_a_view_does_not_depend_on_its_neighbours() -> None:
    """An example is changed by its own key alone."""
    alone = MyViews()(IMAGES[2:3], KEYS[2:3])
    torch.testing.assert_close(alone, MyViews()(IMAGES, KEYS)[[2, 6]])


def test_without_strength_nothing_changes() -> None:
    """Both views are the image."""
    torch.testing.assert_close(MyViews(gain=0, noise=0)(IMAGES, KEYS), (IMAGES / 255).repeat(2, 1, 1, 1))
