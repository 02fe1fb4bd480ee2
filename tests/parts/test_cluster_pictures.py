"""Pictures of clusters."""

import torch

from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.parts.cluster_pictures import cluster_pictures
from tests.encoders.test_text import VOCABULARY


def test_the_largest_clusters_come_first_and_their_nearest_images_foremost() -> None:
    encoder = ResNet(depth=18, width=8, channels=1)
    inputs = torch.arange(12, dtype=torch.uint8).reshape(12, 1, 1, 1).expand(-1, 1, 4, 4)
    closeness = torch.full((12, 3), -1.0)
    closeness[:4, 0] = torch.tensor([0.1, 0.4, 0.3, 0.2])
    closeness[4:, 2] = torch.linspace(0.1, 0.8, 8)
    images, row, names = cluster_pictures(encoder, inputs, closeness)["clusters"]
    assert names == ["8 of 12", "4 of 12"]  # the second cluster has none
    shown = (images[:, 0, 0, 0] * 255).round().int().reshape(2, row).tolist()
    assert row == 10
    assert shown[0] == [11, 10, 9, 8, 7, 6, 5, 4, 255, 255]
    assert shown[1] == [1, 2, 3, 0, *[255] * 6]


def test_there_are_none_of_texts() -> None:
    encoder = BagOfTokens(VOCABULARY, 4)
    assert cluster_pictures(encoder, torch.ones(3, 5, dtype=torch.int64), torch.rand(3, 2)) == {}
