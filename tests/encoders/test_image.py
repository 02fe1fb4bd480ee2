import math

import pytest
import torch
import torchvision

from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.residual import Shortcut
from ssl_zoo.errors import InputError


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_resnet_at_full_width_is_torchvisions(depth):
    torch.manual_seed(0)
    ours = ResNet(depth, width=64, stem="large", mean=0.0, std=1.0).eval()
    reference = getattr(torchvision.models, f"resnet{depth}")().eval()
    missing, unexpected = reference.load_state_dict(ours.state_dict(), strict=False)
    assert missing == ["fc.weight", "fc.bias"] and not unexpected
    reference.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 65, 70)
    torch.testing.assert_close(ours(images).pooled, reference(images), rtol=1e-4, atol=1e-4)


def test_vit_gives_transformers_own_hidden_states_and_layers():
    torch.manual_seed(0)
    encoder = ViT(image_size=16, patch_size=4, dim=32, depth=3, heads=2, mean=0.0, std=1.0).eval()
    images = torch.rand(2, 3, 16, 16)
    expected = encoder.model(images, output_hidden_states=True)
    found = encoder(images, layers=True)
    torch.testing.assert_close(torch.cat([found.prefix, found.sequence], 1), expected.last_hidden_state)
    assert len(found.layers) == encoder.num_layers == 4
    # The library's list begins with what enters the first layer, too, and its last entry has been through the norm.
    for layer, state in zip(found.layers[:-1], expected.hidden_states[:-1], strict=True):
        torch.testing.assert_close(layer, state)
    torch.testing.assert_close(encoder.model.layernorm(found.layers[-1])[:, 1:], found.sequence)


@pytest.mark.parametrize("size", [(32, 32), (40, 56), (97, 33)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_and_channel_count(size, channels):
    for encoder in (
        ResNet(10, 8, channels=channels),
        ResNet(10, 8, stem="large", channels=channels),
        ViT(32, 8, 16, 1, 2, channels=channels),
    ):
        found = encoder.eval()(torch.rand(2, channels, *size))
        assert found.pooled.shape == (2, encoder.dim)
        assert found.sequence.shape[0] == 2 and found.sequence.shape[2] == encoder.dim


def test_uint8_and_unit_floats_are_the_same_images():
    encoder = ResNet(10, 8).eval()
    images = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(encoder(images).pooled, encoder(images / 255).pooled)


def test_each_channel_is_normalised_by_its_own_statistics():
    encoder = ViT(8, 4, 16, 1, 2, mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 4.0])
    images = torch.rand(2, 3, 8, 8)
    expected = torch.stack([(images[:, c] - (c + 1) / 10) / 2**c for c in range(3)], dim=1)
    torch.testing.assert_close(encoder.normalize(images, 3), expected)


def test_a_vit_pools_the_class_token_or_the_patches():
    torch.manual_seed(0)
    encoder = ViT(8, 4, 16, 1, 2, pooling="cls").eval()
    images = torch.rand(2, 3, 8, 8)
    found = encoder(images)
    assert found.sequence.shape[1] == 4 and torch.equal(found.pooled, found.prefix[:, 0])
    encoder.pooling = "mean"
    assert torch.equal(encoder(images).pooled, found.sequence.mean(1))


def test_a_width_of_nothing_is_refused():
    with pytest.raises(InputError, match="ResNet's width is -4; give a number of at least 1"):
        ResNet(width=-4)


def test_width_sets_the_number_of_parameters():
    assert ResNet(18, 16).dim == 128 and ResNet(50, 16).dim == 512
    assert sum(p.numel() for p in ResNet(18, 64, stem="large").parameters()) == 11_176_512


def test_wrong_settings_say_what_to_change():
    with pytest.raises(InputError, match="multiple of heads"):
        ViT(dim=10, heads=3)
    with pytest.raises(InputError, match="patch_size"):
        ViT(image_size=8, patch_size=16)
    with pytest.raises(InputError, match="`channels`"):
        ResNet(10, 8, channels=1)(torch.rand(2, 3, 16, 16))


def test_an_mlp_is_linear_layers_on_the_flattened_normalised_image():
    torch.manual_seed(0)
    encoder = MLP([7, 5], channels=2, image_size=4, mean=0.3, std=0.5).eval()
    images = torch.rand(3, 2, 4, 4)
    hidden = [((images - 0.3) / 0.5).reshape(3, 32)]
    for layer in encoder.layers:
        hidden.append((hidden[-1] @ layer.weight.T + layer.bias).clamp_min(0))
    found = encoder(images, layers=True)
    torch.testing.assert_close(found.pooled, hidden[2])
    torch.testing.assert_close(found.layers, tuple(each[:, None] for each in hidden))


def test_an_mlp_refuses_images_of_another_size_and_no_layers():
    with pytest.raises(InputError, match="`image_size`"):
        MLP(image_size=8)(torch.rand(2, 1, 9, 9))
    with pytest.raises(InputError, match="at least one layer"):
        MLP([])


@pytest.mark.parametrize("channels", [8, 24])
def test_the_shortcut_is_a_strided_convolution(channels):
    torch.manual_seed(0)
    shortcut = Shortcut(channels, 12, 1, 2, bias=False)
    maps = torch.randn(3, channels, 7, 5).to(memory_format=torch.channels_last).requires_grad_()
    expected = torch.einsum("oc,bchw->bohw", shortcut.weight[..., 0, 0], maps[:, :, ::2, ::2])
    found = shortcut(maps)
    torch.testing.assert_close(found, expected)
    cotangent = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, (maps, shortcut.weight), cotangent),
        torch.autograd.grad(expected, (maps, shortcut.weight), cotangent),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [18, 50])
def test_zero_init_silences_the_norms_that_torchvision_silences(depth):
    reference = getattr(torchvision.models, f"resnet{depth}")(zero_init_residual=True)
    silent = {name for name, value in reference.named_parameters() if ".bn" in name and not value.any()} - {"bn1.bias"}
    plain, ours = (ResNet(depth, width=8, stem="large", zero_init=zero).state_dict() for zero in (False, True))
    assert {name for name in silent if name.endswith("weight")} == {
        name for name, value in ours.items() if name.endswith("weight") and not value.any()
    }
    assert not [name for name, value in plain.items() if name.endswith("weight") and not value.any()]


def test_fixed_positions_are_sines_and_cosines_of_row_and_column_and_never_trained():
    side, dim = 3, 16
    encoder = ViT(image_size=12, patch_size=4, dim=dim, depth=1, heads=2, positions="sincos")
    positions = encoder.model.embeddings.position_embeddings
    assert positions.shape == (1, 1 + side * side, dim) and not positions[0, 0].any()
    for row in range(side):
        for column in range(side):
            expected = []
            for place in (column, row):
                angles = [place / 10000 ** (k / (dim // 4)) for k in range(dim // 4)]
                expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
            torch.testing.assert_close(positions[0, 1 + row * side + column], torch.tensor(expected))
    encoder.requires_grad_(True)  # as fine-tuning does
    assert not [name for name, _ in encoder.named_parameters() if "position" in name]
    learnt = ViT(image_size=12, patch_size=4, dim=dim, depth=1, heads=2)
    assert encoder.state_dict().keys() == learnt.state_dict().keys()
    learnt.load_state_dict(encoder.state_dict())
    images = torch.rand(2, 3, 12, 12)
    torch.testing.assert_close(encoder.eval()(images).pooled, learnt.eval()(images).pooled)
    with pytest.raises(InputError, match="multiple of 4"):
        ViT(image_size=12, patch_size=4, dim=6, depth=1, heads=2, positions="sincos")


def test_patches_start_uniform_as_one_linear_layer_would_by_xavier():
    torch.manual_seed(0)
    projection = ViT(image_size=32, patch_size=8, dim=64, depth=1, heads=2).model.embeddings.patch_embeddings.projection
    bound = math.sqrt(6 / (3 * 8 * 8 + 64))  # of 192 numbers in and 64 out
    weights = projection.weight.detach()
    assert not projection.bias.any() and weights.abs().max() <= bound
    assert weights.abs().max() > 0.99 * bound and float(weights.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)
