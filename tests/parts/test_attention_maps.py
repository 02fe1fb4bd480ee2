"""Attention maps of vision transformers."""

import pytest
import torch
from transformers import ViTConfig, ViTModel

from ssl_zoo.encoders.image import ResNet
from ssl_zoo.encoders.vit import ViT
from ssl_zoo.errors import InputError
from ssl_zoo.parts.attention_maps import attention_pictures, class_attention


@pytest.fixture
def encoder() -> ViT:
    torch.manual_seed(0)
    return ViT(image_size=16, patch_size=4, dim=32, depth=2, heads=2, channels=1, mean=0.5, std=0.25).eval()


@torch.no_grad()
def test_attention_is_that_of_the_library(encoder: ViT) -> None:
    images = torch.rand(3, 1, 16, 16)
    config = ViTConfig(**{**encoder.model.config.to_dict(), "attn_implementation": "eager"})
    library = ViTModel(config, add_pooling_layer=False).eval()
    library.load_state_dict(encoder.model.state_dict())
    attentions = library((images - 0.5) / 0.25, output_attentions=True).attentions
    expected = attentions[-1][:, :, 0, 1:].reshape(3, 2, 4, 4)
    torch.testing.assert_close(class_attention(encoder, images), expected)
    assert (attentions[0][:, :, 0, 1:].reshape(3, 2, 4, 4) - expected).abs().max() > 1e-3  # of another layer


@torch.no_grad()
def test_the_encoder_is_as_it_was_and_other_sizes_work(encoder: ViT) -> None:
    images = (255 * torch.rand(2, 1, 24, 16)).to(torch.uint8)
    before = encoder(images).pooled
    maps = class_attention(encoder, images)
    assert maps.shape == (2, 2, 6, 4)
    assert maps.dtype == torch.float32
    assert torch.equal(encoder(images).pooled, before)


@torch.no_grad()
def test_pictures_have_a_row_for_every_head_or_are_not_drawn(encoder: ViT) -> None:
    images = torch.rand(5, 1, 16, 16)
    shown, row, names = attention_pictures(encoder, images)["attention"]
    assert shown.shape == (15, 1, 16, 16)
    assert row == 5
    assert names == ["images", "head 1", "head 2"]
    assert torch.equal(shown[:5], images)
    assert shown[5:].amax((1, 2, 3)).eq(1).all()
    encoder.pooling = "mean"
    assert attention_pictures(encoder, images) == {}
    assert attention_pictures(ResNet(depth=18, width=8, channels=1), images) == {}


@torch.no_grad()
def test_what_no_patch_reaches_is_left_out_of_pictures(encoder: ViT) -> None:
    images = torch.rand(2, 1, 18, 19)
    shown, _, _ = attention_pictures(encoder, images)["attention"]
    assert torch.equal(shown[:2], images[..., :16, :16])


def test_images_smaller_than_a_patch_are_refused(encoder: ViT) -> None:
    with pytest.raises(InputError, match=r"ViT's patches have 4 pixels a side, .* 3 x 8: set its patch_size lower"):
        encoder(torch.rand(2, 1, 3, 8))
