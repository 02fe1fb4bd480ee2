"""Vision transformers that continue from weights written here, beside the libraries' own networks: none is fetched."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import VisionTransformer
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTMAEModel,
    ViTModel,
    ViTMSNConfig,
    ViTMSNModel,
)

from ssl_zoo.encoders.adapting import adapt_channels
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.errors import InputError, reason_of

SIZES = {"image_size": 28, "patch_size": 7, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
PLAIN = {**SIZES, "intermediate_size": 48}
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
KINDS: dict[str, Any] = {
    "vit": lambda: ViTModel(ViTConfig(**PLAIN, hidden_act="gelu_pytorch_tanh"), add_pooling_layer=False),
    "vit without biases": lambda: ViTModel(ViTConfig(**PLAIN, qkv_bias=False, layer_norm_eps=1e-3)),
    "msn": lambda: ViTMSNModel(ViTMSNConfig(**PLAIN)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SIZES, layerscale_value=0.5)),
    "registers": lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES, num_register_tokens=3)),
}


def random(network: Any) -> Any:
    """A network none of whose parts is still as it was initialised, zeros and ones included."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape)
    return network.eval()


def save(network: Any, folder: Path) -> str:
    network.save_pretrained(folder)
    ViTImageProcessor(image_mean=MEAN, image_std=STD).save_pretrained(folder)
    return str(folder)


def normalized(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    return (images - mean) / std


def assert_same(encoder: ViT, images: torch.Tensor, states: torch.Tensor, prefix: int) -> None:
    found = encoder.eval()(images)
    assert encoder.prefix == found.prefix.shape[1] == prefix
    torch.testing.assert_close(found.prefix, states[:, :prefix], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sequence, states[:, prefix:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.pooled, states[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [28, 42, 21])
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_transformers_give_their_own_vectors_at_any_size(kind, size, tmp_path):
    network, images = random(KINDS[kind]()), torch.rand(2, 3, size, size)
    encoder = ViT(image_size=size, pretrained=save(network, tmp_path))
    options = {"interpolate_pos_encoding": True} if kind[:3] in ("vit", "msn") else {}
    with torch.no_grad():
        states = network(pixel_values=normalized(images), **options).last_hidden_state
        assert_same(encoder, images, states, 4 if kind == "registers" else 1)
    side = size // 7
    assert encoder.model.embeddings.position_embeddings.shape[1] == 1 + side**2  # resized once, not in every step
    assert {name: getattr(encoder, name) for name in ("dim", "num_layers", "stride", "pooling")} == {
        "dim": 32, "num_layers": 3, "stride": 7, "pooling": "cls",
    }  # fmt: skip


def test_maes_encoder_comes_without_its_decoder(tmp_path):
    decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    network = random(ViTMAEForPreTraining(ViTMAEConfig(**PLAIN, **decoder, mask_ratio=0.0)))
    encoder, images = ViT(pretrained=save(network, tmp_path)), torch.rand(2, 3, 28, 28)
    theirs = ViTMAEModel.from_pretrained(tmp_path, mask_ratio=0.0).eval()
    with torch.no_grad():  # noise in ascending order leaves the patches in theirs
        states = theirs(normalized(images), noise=torch.arange(16.0).expand(2, -1)).last_hidden_state
        assert_same(encoder, images, states, 1)


def test_a_classifier_is_dropped_without_a_word(tmp_path, recwarn):
    network = random(ViTForImageClassification(ViTConfig(**PLAIN, num_labels=5)))
    encoder, images = ViT(pretrained=save(network, tmp_path)), torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        assert_same(encoder, images, network.vit(normalized(images)).last_hidden_state, 1)
    assert not [warning for warning in recwarn if "ViT" in str(warning.message)]


TIMMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer scale": {"init_values": 0.1},
    "mean": {"global_pool": "avg", "fc_norm": False},
    "registers": {"init_values": 0.1, "reg_tokens": 3, "no_embed_class": True},
    "registers with positions": {"init_values": 0.1, "reg_tokens": 3},
    "no biases": {"qkv_bias": False, "act_layer": "gelu_tanh"},
}


def timms(folder: Path, **arguments: Any) -> tuple[Any, str]:
    """A small network of timm's in a folder as the Hugging Face Hub has them, with its classifier."""
    sizes = {"img_size": 28, "patch_size": 7, "embed_dim": 32, "depth": 2, "num_heads": 4}
    network = random(timm.create_model("vit_tiny_patch16_224", num_classes=5, **sizes, **arguments))
    folder.mkdir(exist_ok=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    cfg = {"input_size": [3, 28, 28], "mean": MEAN, "std": STD, "num_classes": 5, "classifier": "head",
           "first_conv": "patch_embed.proj"}  # fmt: skip
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": 5, "model_args": sizes | arguments}
    (folder / "config.json").write_text(json.dumps(config | {"pretrained_cfg": cfg}))
    return network, str(folder)


@pytest.mark.parametrize("kind", TIMMS)
def test_models_of_timm_give_their_own_vectors(kind, tmp_path):
    network, folder = timms(tmp_path, **TIMMS[kind])
    encoder, images = ViT(pretrained=folder).eval(), torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        states = network.forward_features(normalized(images))
        found, pooled = encoder(images), network.forward_head(states, pre_logits=True)
    assert encoder.prefix == network.num_prefix_tokens
    torch.testing.assert_close(torch.cat([found.prefix, found.sequence], 1), states, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.pooled, pooled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [14, 49])
@pytest.mark.parametrize("kind", ["plain", "registers"])
def test_positions_of_timm_are_resized_as_timm_does(kind, size, tmp_path):
    _, folder = timms(tmp_path, **TIMMS[kind])
    network = timm.create_model(f"local-dir:{folder}", pretrained=True, img_size=size).eval()
    encoder, images = ViT(image_size=size, pretrained=folder).eval(), torch.rand(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(images).pooled, network.forward_features(normalized(images))[:, 0], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_weights_needs_the_number_of_heads(packed, tmp_path):
    network, folder = timms(tmp_path / "folder", init_values=0.1)
    state = (
        {f"module.{name}": value for name, value in network.state_dict().items()} if packed else network.state_dict()
    )
    torch.save({"state_dict": state, "epoch": 3} if packed else state, tmp_path / "weights.pth")
    with pytest.raises(InputError, match="heads"):
        ViT(pretrained=str(tmp_path / "weights.pth"), mean=MEAN, std=STD)
    encoder = ViT(heads=4, pretrained=str(tmp_path / "weights.pth"), mean=MEAN, std=STD).eval()
    images = torch.rand(2, 3, 28, 28)
    torch.testing.assert_close(encoder(images).pooled, ViT(pretrained=folder).eval()(images).pooled)


def test_a_file_of_torchvisions(tmp_path):
    network = random(VisionTransformer(28, 7, 2, 4, 32, 48))
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    encoder = ViT(heads=4, pretrained=str(tmp_path / "vit.pth"), mean=MEAN, std=STD).eval()
    network.heads, images = nn.Identity(), torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images).pooled, network(normalized(images)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_other_channels_are_those_of_timm(channels):
    kernel = torch.randn(8, 3, 7, 7)
    from timm.models import adapt_input_conv

    torch.testing.assert_close(adapt_channels(kernel, channels), adapt_input_conv(channels, kernel))


def test_a_grey_image_gives_what_it_gives_three_times_over(tmp_path):
    source = save(random(KINDS["vit"]()), tmp_path)
    grey, colour = ViT(channels=1, pretrained=source).eval(), ViT(pretrained=source).eval()
    images = torch.rand(2, 1, 28, 28)
    expected = colour(images.expand(-1, 3, -1, -1)).pooled
    torch.testing.assert_close(grey(images).pooled, expected, atol=1e-4, rtol=1e-4)
    assert grey(images).pooled.shape == ViT(channels=5, pretrained=source).eval()(torch.rand(2, 5, 28, 28)).pooled.shape


def test_what_contradicts_the_weights_is_refused_and_what_agrees_is_not(tmp_path):
    source = save(KINDS["vit"](), tmp_path)
    assert ViT(patch_size=7, dim=32, depth=2, heads=4, pretrained=source).dim == 32
    for name, wrong in {"patch_size": 14, "dim": 64, "depth": 3, "heads": 2, "positions": "sincos"}.items():
        with pytest.raises(InputError, match=f"{name} is {wrong}.*leave {name} out"):
            ViT(pretrained=source, **{name: wrong})
    with pytest.raises(InputError, match="smaller than one patch of 7"):
        ViT(image_size=6, pretrained=source)
    with pytest.raises(InputError, match="is a ViT and this encoder is a ResNet"):
        ResNet(pretrained=source)


def break_weights(folder: Path, change: Any) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("library", ["transformers", "timm"])
@pytest.mark.parametrize("damage", ["missing", "unknown", "shape"])
def test_weights_that_do_not_fit_are_named(library, damage, tmp_path):
    if library == "timm":
        timms(tmp_path)
        names = {"missing": "norm.weight", "unknown": "norm_pre.weight", "shape": "norm.weight"}
    else:
        save(KINDS["vit"](), tmp_path)
        names = {"missing": "layernorm.weight", "unknown": "adapter.weight", "shape": "layernorm.weight"}
    changes = {
        "missing": lambda state: state.pop(names["missing"]),
        "unknown": lambda state: state.update({names["unknown"]: torch.ones(32)}),
        "shape": lambda state: state.update({names["shape"]: torch.ones(33)}),
    }
    break_weights(tmp_path, changes[damage])
    with pytest.raises(InputError, match=names[damage].replace(".", r"\.")):
        ViT(pretrained=str(tmp_path))


@pytest.mark.parametrize(
    "change", [{"pre_norm": True}, {"qk_norm": True}, {"class_token": False, "global_pool": "avg"}]
)
def test_another_kind_of_network_is_refused(change, tmp_path):
    _, folder = timms(tmp_path, **change)
    with pytest.raises(InputError, match="choose another"):
        ViT(pretrained=folder)


def test_a_network_that_computes_something_else_with_the_same_weights_is_refused(tmp_path):
    _, folder = timms(tmp_path, act_layer="relu")
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"]["act_layer"] = "silu"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="computes something else"):
        ViT(pretrained=folder)


def test_statistics_come_from_the_weights_or_a_sentence_says_what_is_unknown(tmp_path):
    source = save(KINDS["vit"](), tmp_path)
    assert ViT(pretrained=source).normalize.std.flatten().tolist() == pytest.approx(STD)
    with pytest.warns(UserWarning, match=r"expect images normalised by mean \[0.5, 0.4, 0.3\]"):
        other = ViT(pretrained=source, mean=0.1, std=0.9)
    assert other.normalize.mean.flatten().tolist() == pytest.approx([0.1])
    with pytest.warns(UserWarning, match=r"leave data\.measure_statistics out"):
        ViT(pretrained=source, statistics=([0.1, 0.1, 0.1], [0.2, 0.2, 0.2]))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match="set the encoder's mean and std"):
        ViT(pretrained=source)
    assert ViT(pretrained=source, mean=MEAN, std=STD).normalize.mean.numel() == 3


def test_pooling_and_patches_are_still_ones_own_choice(tmp_path):
    source = save(random(KINDS["registers"]()), tmp_path)
    encoder, images = ViT(pretrained=source, pooling="mean", freeze_patches=True).eval(), torch.rand(2, 3, 28, 28)
    found = encoder(images)
    torch.testing.assert_close(found.pooled, found.sequence.mean(1))  # registers and class token are no part of it
    frozen = [name for name, parameter in encoder.named_parameters() if not parameter.requires_grad]
    assert frozen and all("projection" in name for name in frozen)


def test_every_weight_of_a_network_with_registers_is_trained(tmp_path):
    encoder = ViT(pretrained=save(random(KINDS["registers"]()), tmp_path))
    encoder(torch.rand(2, 3, 28, 28)).pooled.square().sum().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []
    assert "model.embeddings.register_tokens" in encoder.no_weight_decay()


def test_a_file_that_cannot_be_read_is_named_in_whole_words_and_without_bad_advice(tmp_path):
    torch.save({"weight": torch.nn.Linear(2, 2)}, tmp_path / "objects.pth")
    (tmp_path / "cut.pth").write_bytes(b"\x80\x02}q" + bytes(range(256)))
    (tmp_path / "cut.safetensors").write_bytes(b"\x08" + bytes(7) + b"{" + b"word " * 200)
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=r"the file .* cannot be read") as refused:
            ViT(pretrained=str(path))
        sentence = str(refused.value)
        assert "weights_only" not in sentence and "\n" not in sentence and len(sentence) < 700
        assert sentence.endswith((" ...).", ").", "torch.save wrote."))


@pytest.mark.parametrize("length", [6, 7, 11])
def test_reasons_are_cut_between_words(length):
    said = reason_of(ValueError("\n".join(["x" * length] * 100)))
    assert 280 < len(said) <= 300 and set(said.split()) == {"x" * length, "..."}


def test_names_and_files_that_are_none(tmp_path):
    (tmp_path / "no.pth").write_bytes(b"PK nonsense")
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pth")
    for source, sentence in {
        "resnet18": "names no library",
        "torchvison:resnet18": r"names no library, did you mean 'torchvision'\?",
        "timm:vit_smal_patch16_224": "timm has no model",
        "torchvision:resnet19": "torchvision has no classifier",
        str(tmp_path / "no.pth"): "cannot be read",
        str(tmp_path / "other.pth"): "holds no ViT or ResNet",
        "transformers:/nowhere/at/all": "cannot be loaded",
    }.items():
        with pytest.raises(InputError, match=sentence):
            ViT(pretrained=source)


@pytest.mark.parametrize("continued", [False, True])
def test_pixels_that_no_patch_covers_are_named(continued, tmp_path):
    new = {"patch_size": 7, "dim": 8, "depth": 1, "heads": 2, "mean": 0.5, "std": 0.25}
    settings = {"pretrained": save(random(KINDS["vit"]()), tmp_path)} if continued else new
    with pytest.warns(UserWarning, match="last 3 rows .* data.image_size to 28 or 35, or another patch_size"):
        encoder = ViT(image_size=31, **settings)
    assert encoder(torch.zeros(1, 3, 31, 31)).sequence.shape[1] == 4 * 4
