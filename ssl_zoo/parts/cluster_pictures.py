"""What clusters are of: the images nearest to the centres of the largest ones."""

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.parts.pretext import unit_images

CLUSTERS, NEAREST = 8, 10  # shown


def cluster_pictures(encoder: Encoder, inputs: Tensor, closeness: Tensor) -> dict[str, tuple[Tensor, int, list[str]]]:
    """A row for each of the largest clusters, of those of its images that are nearest to its centre, the nearest first.

    For `Method.pictures`. An image is in the cluster whose centre is nearest to it. Rows are filled up with white, and
    say how many of all the images are in the cluster; clusters that have none are not shown.

    Args:
        encoder: The network, of which there are no pictures unless it reads images.
        inputs: ``(N, C, H, W)``, uint8 or float in [0, 1], images to choose from.
        closeness: ``(N, K)``, the greater the nearer, of every image to every centre.
    """
    if encoder.modality != "image":
        return {}
    images, cluster_of = unit_images(inputs), closeness.argmax(1)
    members = cluster_of.bincount(minlength=closeness.shape[1])
    rows, names = [], []
    for cluster in members.argsort(descending=True, stable=True)[:CLUSTERS]:
        inside = (cluster_of == cluster).nonzero()[:, 0]
        if len(inside):
            nearest = inside[closeness[inside, cluster].argsort(descending=True, stable=True)[:NEAREST]]
            white = images.new_ones(NEAREST - len(nearest), *images.shape[1:])
            rows.append(torch.cat([images[nearest], white]))
            names.append(f"{len(inside)} of {len(images)}")
    return {"clusters": (torch.cat(rows), NEAREST, names)}
