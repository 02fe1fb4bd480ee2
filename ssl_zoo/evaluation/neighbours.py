"""What an encoder takes for alike: the nearest training examples of some test examples, as a picture and as words."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.splits import fixed_order

SHOWN = 8  # test examples
NEAREST = 5
PIXELS = 64  # of the smallest image in the picture


class Neighbours(NamedTuple):
    """The nearest training examples of some test examples.

    Attributes:
        shown: ``(Q,)`` int64, positions in the test part.
        nearest: ``(Q, K)`` int64, positions in the training part, the nearest first.
        similarities: ``(Q, K)``, cosine similarities in [-1, 1].
    """

    shown: Tensor
    nearest: Tensor
    similarities: Tensor


def choose_shown(examples: Examples) -> Tensor:
    """``(Q,)`` int64, positions of the examples whose neighbours are shown: a random choice, always the same."""
    return fixed_order(len(examples))[:SHOWN]


def find_neighbours(shown: Tensor, of: Tensor, among: Tensor, positions: Tensor) -> Neighbours:
    """The nearest by cosine similarity, features centred on the mean of those that are searched.

    All features of a network point nearly the same way before they are centred, and every similarity is close to 1.

    Args:
        shown: ``(Q,)`` int64, positions of the test examples.
        of: ``(Q, D)``, their features.
        among: ``(N, D)``, features of training examples.
        positions: ``(N,)`` int64, positions of these in the training part.
    """
    mean = among.mean(0)
    similarities = F.normalize(of - mean, dim=1) @ F.normalize(among - mean, dim=1).T
    found = similarities.topk(min(NEAREST, len(among)), dim=1)
    return Neighbours(shown, positions[found.indices.cpu()], found.values.cpu())


def draw_neighbours(found: Neighbours, data: DataModule, path: Path) -> bool:
    """A grid with a test example on the left of every row, and its neighbours beside it.

    Args:
        found: what is shown.
        data: set up.
        path: PNG file.

    Returns:
        Whether the data has pictures without axes, which such a grid needs; nothing is drawn otherwise.
    """
    from torchvision.utils import make_grid, save_image

    columns = [data.test_set.__getitems__(found.shown.tolist())]
    columns += [data.train_set.__getitems__(column.tolist()) for column in found.nearest.T]
    pictures = [data.picture(batch.inputs, batch.fields) for batch in columns]
    images = [picture.images for picture in pictures if picture is not None and picture.extent is None]
    if len(images) < len(pictures):
        return False
    rows = torch.stack(images, dim=1)
    scale = max(1, -(-PIXELS // rows.shape[-1]))
    rows = rows.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    rows = F.pad(rows, (0, 2), value=1.0)  # a line between neighbours
    gap = rows.new_ones(len(rows), 1, *rows.shape[2:])[..., : max(1, rows.shape[-1] // 8)]
    strips = [
        torch.cat([strip[0], blank[0], make_grid(strip[1:], nrow=len(strip), pad_value=1.0, padding=0)], dim=2)
        for strip, blank in zip(rows, gap, strict=True)
    ]
    save_image(make_grid(torch.stack(strips), nrow=1, pad_value=1.0, padding=max(2, rows.shape[-1] // 16)), path)
    return True


def write_neighbours(found: Neighbours, data: DataModule, path: Path) -> None:
    """The same as Markdown, in words of the data: the beginnings of texts, the names of files.

    Args:
        found: what is shown.
        data: set up.
        path: Markdown file.
    """
    lines = [
        f"# Nearest {data.noun} of {data.source_name}",
        "",
        f"Some test {data.noun}, and those of the training part whose features are nearest by cosine similarity.",
    ]
    headings = data.captions(data.test_set.__getitems__(found.shown.tolist()))
    for heading, nearest, similarities in zip(headings, found.nearest, found.similarities.tolist(), strict=True):
        lines += ["", f"## {_inline(heading)}", "", "| similarity | training part |", "|---:|---|"]
        captions = data.captions(data.train_set.__getitems__(nearest.tolist()))
        lines += [f"| {alike:.2f} | {_inline(text)} |" for alike, text in zip(similarities, captions, strict=True)]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _inline(text: str) -> str:
    """On one line, with nothing that would end a cell."""
    return " ".join(text.split()).replace("|", "\\|")
