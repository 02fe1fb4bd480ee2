"""Tests of the source: `python -m pytest test_my_source.py`."""

import torch
from my_source import MySource

from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.contract import load


def test_it_keeps_the_contract() -> None:
    """A label per image, of the classes there are, as every run checks before it begins."""
    loaded = load(MySource(images=40))
    assert len(loaded.train) == 40 and loaded.classes == ["upright", "level"]


def test_it_is_the_same_at_every_start() -> None:
    """Else no split would be the same, and no run could be evaluated later."""
    assert load(MySource(40)).identity == load(MySource(40)).identity != load(MySource(42)).identity


def test_every_part_has_every_class() -> None:
    """The data module holds images out for validation and testing, of every class in proportion."""
    data = ImageData(MySource(100), batch_size=10)
    data.setup()
    for part in data.parts().values():
        assert part.labels is not None and torch.equal(part.labels.unique(), torch.tensor([0, 1]))
