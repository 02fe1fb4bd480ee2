"""Toys of methods that predict how parts of an image lie: images, and a training of seconds."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.methods.base import Method
from ssl_zoo.optim import make_optimizer


def train(model: Method, images: Callable[[int, int], Tensor], steps: int, count: int = 64) -> None:
    """Trains on new images at every step, which `images` makes of a number of them and a seed."""
    optimizer = make_optimizer(model.optimizer, model, [])
    for step in range(steps):
        made = Batch(images(count, step), None, None, torch.arange(count) + count * step)
        optimizer.zero_grad()
        model.losses(made)["loss"].backward()
        optimizer.step()
    model.eval()


def with_an_upper_side(count: int, seed: int, upright: bool = True) -> Tensor:
    """Noise ``(N, 1, 8, 8)`` in [0, 1] that is brighter above; unless upright, turned at random."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 8, 8, generator=generator)
    images[:, :, :4] = 0.5 + 0.5 * images[:, :, :4]
    turns = torch.randint(4, (count,), generator=generator)
    turned = torch.stack([images.rot90(number, (2, 3)) for number in range(4)])[turns, torch.arange(count)]
    return images if upright else turned


def nine_textures(count: int, seed: int) -> Tensor:
    """Images ``(N, 1, 20, 20)`` in [0, 1]: each ninth has waves of its own direction or length, wherever they begin."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.tensor(
        [[1.6, 0], [0, 1.6], [1.2, 1.2], [1.2, -1.2], [3, 0], [0, 3], [2.2, 2.2], [2.2, -2.2], [0, 0]]
    )
    place = torch.arange(20) * 9 // 60
    cell = place[:, None] * 3 + place
    phase = 6.3 * torch.rand(count, 20, 20, generator=generator)[:, ::7, ::7][:, place][:, :, place]
    row, column = torch.arange(20.0)[:, None], torch.arange(20.0)
    waves = torch.sin(directions[cell][..., 0] * row + directions[cell][..., 1] * column + phase)
    noise = torch.rand(count, 20, 20, generator=generator)
    return (0.5 + 0.3 * waves + 0.2 * (noise - 0.5))[:, None]


def smooth_noise(count: int, seed: int) -> Tensor:
    """Images ``(N, 1, 20, 20)`` in [0, 1] of noise that neighbouring pixels share some of, everywhere."""
    noise = torch.rand(count, 1, 22, 22, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 3, stride=1)
