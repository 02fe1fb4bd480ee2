"""What clusters are of: the images nearest to the centres of the largest ones."""

import torch
from torch import Tensor

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.parts.pretext import unit_images

CLUSTERS, NEAREST = 8, 10  # shown


def cluster_pictures(encoder: Encoder, inputs: Tensor, closeness: Tensor) -> dict[str, tuple[Tensor, int, list[str]]]:
    """A row for each of the largest clusters, of the images nearest to its centre, the nearest first.

    For `Method.pictures`. Clusters are ordered by how many of the images are nearer to them than to any other; those
    that have none are not shown.

    Args:
        encoder: The network, of which there are no pictures unless it reads images.
        inputs: ``(N, C, H, W)``, uint8 or float in [0, 1], images to choose from.
        closeness: ``(N, K)``, the greater the nearer, of every image to every centre.
    """
    if encoder.modality != "image":
        return {}
    members = closeness.argmax(1).bincount(minlength=closeness.shape[1])
    largest = [cluster for cluster in members.argsort(descending=True, stable=True)[:CLUSTERS] if members[cluster]]
    row = min(NEAREST, len(inputs))
    chosen = torch.cat([closeness[:, cluster].topk(row).indices for cluster in largest])
    names = [f"{int(members[cluster])} images" for cluster in largest]
    return {"clusters": (unit_images(inputs)[chosen], row, names)}
