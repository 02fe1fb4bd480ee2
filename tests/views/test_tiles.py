"""Patches of three by three: where they lie, and what is left of cues."""

import pytest
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import example_keys
from ssl_zoo.views.tiles import (
    Tiles,
    cut_tiles,
    drop_channels,
    equalize,
    fit_tiles,
    lay_out,
    place_tiles,
    require_layout,
)

KEYS = example_keys(0, 1, torch.arange(400))


def test_the_paper_s_gaps_and_jitter_and_the_largest_patches_that_fit():
    assert fit_tiles("X", 398, 398, 96, 0.5, 0.073) == Tiles(96, 48, 7) and Tiles(96, 48, 7).reach == 398
    assert fit_tiles("X", 225, 225, None, 11 / 64, 0.08) == Tiles(64, 11, 5)
    assert fit_tiles("X", 28, 30, None, 0.5, 0.073) == Tiles(6, 3, 1)
    assert fit_tiles("X", 9, 9, None, 0.0, 0.0) == Tiles(3, 0, 0)
    assert Tiles(6, 3, 1).reach == 26 and fit_tiles("X", 12, 12, None, 0.5, 0.073) == Tiles(2, 2, 1)


def test_patches_lie_where_they_can_and_nowhere_else():
    tiles = Tiles(size=3, gap=2, jitter=1)  # 15 pixels, in images of 17 by 20
    corners = place_tiles(KEYS, 17, 20, tiles).view(-1, 3, 3, 2)
    for axis, side in enumerate((17, 20)):
        assert corners[..., axis].min() == 0 and corners[..., axis].max() == side - 3
    down = corners[:, 1:, :, 0] - corners[:, :-1, :, 0]
    right = corners[:, :, 1:, 1] - corners[:, :, :-1, 1]
    for steps in (down, right):  # a patch and a gap, and what both are shifted: they never touch more than that
        assert set(steps.flatten().tolist()) == {3, 4, 5, 6, 7}
    shifts = (corners - corners[:, 1:2, 1:2]).view(400, -1)  # each by itself
    assert len({tuple(row) for row in shifts.tolist()}) > 390
    again = place_tiles(KEYS[5:7], 17, 20, tiles)
    assert torch.equal(again, corners.view(400, 9, 2)[5:7])  # whoever else is in the batch


def test_patches_are_what_slices_of_the_image_are():
    images = torch.rand(3, 2, 17, 20)
    corners = place_tiles(KEYS[:3], 17, 20, Tiles(4, 1, 0))
    patches = cut_tiles(images, corners, 4)
    assert patches.shape == (3, 9, 2, 4, 4)
    for number in range(3):
        for place, (row, column) in enumerate(corners[number].tolist()):
            assert torch.equal(patches[number, place], images[number, :, row : row + 4, column : column + 4])


def test_all_patches_have_the_mean_and_deviation_of_their_image_and_flat_ones_stay_flat():
    images = torch.rand(2, 3, 12, 12) * torch.tensor([1.0, 0.5, 0.2])[:, None, None] + torch.linspace(0, 0.2, 12)
    patches = cut_tiles(images, place_tiles(KEYS[:2], 12, 12, Tiles(4, 0, 0)), 4)
    patches[0, 3] = 0.4
    made = equalize(patches, images)
    for number in range(2):
        for place in range(9):
            for channel in range(3):
                of_image, of_patch = images[number, channel], made[number, place, channel]
                assert float(of_patch.mean()) == pytest.approx(float(of_image.mean()), abs=1e-5)
                flat = (number, place) == (0, 3)
                assert float(of_patch.std()) == pytest.approx(0 if flat else float(of_image.std()), rel=0.05, abs=1e-5)
    assert torch.equal(equalize(patches.flip(1), images), made.flip(1))


def test_one_channel_of_each_patch_is_left_and_grey_patches_are_as_they_were():
    patches = torch.rand(400, 9, 3, 4, 4)
    made = drop_channels(patches, KEYS)
    same = (made == patches).flatten(3).all(3)
    assert (same.sum(2) == 1).all()
    assert same.float().mean((0, 1)).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert not (same == same[:, :1]).all()  # each patch has its own
    others = made[~same].flatten(1)
    assert (others.std(1) < 0.02).all() and (others.std(1) > 0).all()
    assert torch.equal(drop_channels(patches[:, :, :1], KEYS), patches[:, :, :1])


def test_patches_are_laid_out_by_place():
    patches = torch.tensor([0.1, 0.9])[None, :, None, None, None].expand(1, 2, 1, 2, 2)
    picture = lay_out(patches, torch.tensor([[4, 2]]), 9, 9)[0, 0]
    expected = torch.full((9, 9), 0.5)
    expected[3:5, 3:5], expected[0:2, 6:8] = 0.1, 0.9
    assert torch.equal(picture, expected)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="with gaps and jitter take 398, but these are 28 x 28: set patch_size to 6"):
        fit_tiles("X", 28, 28, 96, 0.5, 0.073)
    with pytest.raises(InputError, match=r"take 9, but these are 6 x 8: set data.image_size to 9"):
        fit_tiles("X", 6, 8, None, 0.5, 0.073)
    with pytest.raises(InputError, match="could overlap"):
        require_layout("X", None, 0.2, 0.15)
    with pytest.raises(InputError, match="patch_size is 0"):
        require_layout("X", 0, 0.5, 0.1)
    with pytest.raises(InputError, match="gap is -1"):
        require_layout("X", 3, -1, 0.0)
    with pytest.raises(InputError, match="jitter is -1"):
        require_layout("X", 3, 0.5, -1)
