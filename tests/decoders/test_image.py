import pytest
import torch
from torch import nn

from ssl_zoo.decoders.base import Decoder
from ssl_zoo.decoders.image import ConvDecoder, MLPDecoder
from ssl_zoo.errors import InputError


@pytest.mark.parametrize("size", [1, 4, 5, 8, 12, 28, 32, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_image_size_and_channel_count(size, channels):
    for decoder in (ConvDecoder(6, 4, channels, size), MLPDecoder(6, [16], channels, size)):
        assert isinstance(decoder, Decoder) and decoder.latent_dim == 6
        assert decoder(torch.randn(2, 6)).shape == (2, channels, size, size)


@pytest.mark.parametrize("size", [(80, 18), (18, 80), (1, 7), (5, 64)])
def test_convolutions_make_images_that_are_no_squares(size):
    images = ConvDecoder(6, 4, 1, size)(torch.randn(64, 6))
    assert images.shape == (64, 1, *size) and images.std(0).min() > 1e-3


@pytest.fixture(params=[ConvDecoder, MLPDecoder])
def decoder(request) -> Decoder:
    torch.manual_seed(0)
    return request.param(6, channels=3, image_size=12)


def test_an_image_depends_on_its_own_vector_alone(decoder):
    latents = torch.randn(5, 6)
    decoder.train()
    torch.testing.assert_close(decoder(latents)[3:4], decoder(latents[3:4]), atol=1e-5, rtol=1e-4)


def test_different_vectors_give_different_images_everywhere_and_gradients_reach_every_parameter(decoder):
    images = decoder(torch.randn(64, 6))
    assert images.std(0).min() > 1e-3
    (images * torch.randn_like(images)).sum().backward()
    assert [name for name, p in decoder.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_it_runs_under_bfloat16_autocast_close_to_float32(decoder):
    latents = torch.randn(8, 6)
    with torch.autocast("cpu", torch.bfloat16):
        low = decoder(latents).float()
    assert torch.cosine_similarity(low.flatten(1), decoder(latents).flatten(1)).min() > 0.99


@pytest.mark.parametrize("size", [28, 96])
def test_activations_keep_their_size_on_the_way(size):
    torch.manual_seed(0)
    decoder = ConvDecoder(64, 32, image_size=size)
    sizes = []
    for layer in decoder.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.register_forward_hook(
                lambda _, __, out: sizes.append(float(out.detach()[:, :, 2:-2, 2:-2].square().mean()))
            )
    decoder(torch.randn(16, 64))
    assert max(sizes) / min(sizes) < 4  # torch's own initialisation loses a factor of three at every doubling


def test_no_hidden_layer_is_a_linear_decoder():
    decoder = MLPDecoder(3, [], 1, 4)
    first, second = torch.randn(2, 1, 3)
    both = decoder(first) + decoder(second) - decoder(torch.zeros(1, 3))
    torch.testing.assert_close(decoder(first + second), both, atol=1e-5, rtol=1e-4)


def test_wrong_settings_say_what_to_change():
    with pytest.raises(InputError, match="latent_dim is 0"):
        ConvDecoder(latent_dim=0)
    with pytest.raises(InputError, match="hidden is -1"):
        MLPDecoder(hidden=[4, -1])
