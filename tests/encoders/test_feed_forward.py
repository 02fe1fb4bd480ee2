"""Feed-forward outputs of every encoder's layers, by discovery, against what the layers' weights give by themselves."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.feed_forward import recorded, require_feed_forwards
from ssl_zoo.encoders.switch import Experts
from ssl_zoo.errors import InputError
from tests.contracts.test_encoders import ENCODERS, inputs, make, uneven

TRANSFORMERS = [kind for kind in ENCODERS if make(kind).feed_forwards()]


def linear(vectors: Tensor, part: nn.Module) -> Tensor:
    return vectors @ part.weight.T + (0 if part.bias is None else part.bias)


def norm(vectors: Tensor, part: nn.LayerNorm) -> Tensor:
    centred = vectors - vectors.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + part.eps).sqrt()
    return scaled * part.weight + (0 if part.bias is None else part.bias)


# By the names of the libraries' layers: the feed-forward output, of what follows attention and its residual, and what
# leaves the layer, of both.
def vit(layer, vectors):
    out = linear(F.gelu(linear(norm(vectors, layer.layernorm_after), layer.mlp.fc1)), layer.mlp.fc2)
    return out, vectors + out


def bert(layer, vectors, real=None):
    if isinstance(layer.intermediate, Experts):
        out = experts(layer.intermediate, vectors, real)
    else:
        activation = F.relu if isinstance(layer.intermediate.intermediate_act_fn, nn.ReLU) else F.gelu
        out = linear(activation(linear(vectors, layer.intermediate.dense)), layer.output.dense)
    return out, norm(vectors + out, layer.output.LayerNorm)


def experts(part, vectors, real):
    out = torch.zeros_like(vectors)
    for row, place in torch.ones_like(vectors[..., 0]).nonzero() if real is None else real.nonzero():
        probabilities = linear(vectors[row, place], part.router).softmax(0)
        chosen = int(probabilities.argmax())
        first, _, second = part.experts[chosen]
        out[row, place] = probabilities[chosen] * linear(F.gelu(linear(vectors[row, place], first)), second)
    return out


def modern_bert(layer, vectors):
    values, gate = linear(norm(vectors, layer.mlp_norm), layer.mlp.Wi).chunk(2, -1)
    out = linear(F.gelu(values) * gate, layer.mlp.Wo)
    return out, vectors + out


def gpt2(layer, vectors):
    hidden = norm(vectors, layer.ln_2) @ layer.mlp.c_fc.weight + layer.mlp.c_fc.bias
    out = F.gelu(hidden) @ layer.mlp.c_proj.weight + layer.mlp.c_proj.bias
    return out, vectors + out


def image_gpt(layer, vectors):
    scale = (vectors.square().mean(-1, keepdim=True) + layer.ln_2.eps).sqrt()  # nothing is subtracted in this norm
    hidden = vectors / scale * layer.ln_2.weight @ layer.mlp.c_fc.weight + layer.mlp.c_fc.bias
    out = hidden * torch.sigmoid(1.702 * hidden) @ layer.mlp.c_proj.weight + layer.mlp.c_proj.bias
    return out, vectors + out


def wav2vec2_post(layer, vectors):
    part = layer.feed_forward
    out = linear(F.gelu(linear(vectors, part.intermediate_dense)), part.output_dense)
    return out, norm(vectors + out, layer.final_layer_norm)


def wav2vec2_pre(layer, vectors):
    part, entering = layer.feed_forward, norm(vectors, layer.final_layer_norm)
    out = linear(F.gelu(linear(entering, part.intermediate_dense)), part.output_dense)
    return out, vectors + out


# With the part whose inputs come after attention and its residual: their last norm, or the first linear part.
BY_HAND = {
    "ViTLayer": (vit, "layernorm_after"),
    "BertLayer": (bert, "intermediate"),
    "ModernBertEncoderLayer": (modern_bert, "mlp_norm"),
    "GPT2Block": (gpt2, "ln_2"),
    "ImageGPTBlock": (image_gpt, "ln_2"),
    "Wav2Vec2EncoderLayer": (wav2vec2_post, "feed_forward"),
    "Wav2Vec2EncoderLayerStableLayerNorm": (wav2vec2_pre, "final_layer_norm"),
}


def layers_of(encoder: Encoder) -> list[nn.Module]:
    """The library's layers, each of which holds one of the feed-forward parts."""
    parts = encoder.feed_forwards()
    found = [m for m in encoder.modules() if type(m).__name__ in BY_HAND and any(p in m.modules() for p in parts)]
    assert len(found) == len(parts), "say in BY_HAND what this kind of layer computes"
    return found


def by_hand(encoder: Encoder, data: Tensor, mask: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """Of every layer, its feed-forward output without the prefix, and what leaves it."""
    entered: list[tuple[Tensor, ...]] = []
    handles = [
        getattr(layer, BY_HAND[type(layer).__name__][1]).register_forward_hook(
            lambda _part, given, _output: entered.append(given)
        )
        for layer in layers_of(encoder)
    ]
    encoder(data, mask)
    for handle in handles:
        handle.remove()
    pairs = [
        BY_HAND[type(layer).__name__][0](layer, *given)
        for layer, given in zip(layers_of(encoder), entered, strict=True)
    ]
    return [out[:, encoder.prefix :] for out, _ in pairs], [leaving for _, leaving in pairs]


def check(encoder: Encoder) -> None:
    data, mask = inputs(encoder)
    uneven(encoder)
    with recorded(encoder) as outputs:
        encoded = encoder(data, mask, layers=True)
    outs, leaving = by_hand(encoder, data, mask)
    assert len(outputs) == len(outs) == encoder.num_layers - 1
    for number in range(len(outs)):
        torch.testing.assert_close(leaving[number], encoded.layers[number + 1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(outputs[number], outs[number], atol=1e-4, rtol=1e-4)
        assert outputs[number].shape == encoded.sequence.shape
    assert len(outputs) == encoder.num_layers - 1  # what runs afterwards is not recorded


@pytest.mark.parametrize("kind", TRANSFORMERS, ids=lambda kind: kind.__name__)
@torch.no_grad()
def test_they_are_what_the_weights_give_before_the_residual_and_the_norm(kind):
    check(make(kind))


@torch.no_grad()
def test_they_are_of_speech_where_norms_come_after_the_parts_too():
    torch.manual_seed(0)
    kind = next(kind for kind in TRANSFORMERS if kind.__name__ == "Wav2Vec2Encoder")
    check(kind(**kind.tiny(), norm="post").eval())


@torch.no_grad()
def test_they_are_of_gpt_without_biases():
    kind = next(kind for kind in TRANSFORMERS if kind.__name__ == "GPT2Encoder")
    from tests.contracts.test_encoders import VOCABULARY

    torch.manual_seed(0)
    check(kind(VOCABULARY, **kind.tiny(), bias=False).eval())


def test_all_transformers_are_found_and_others_are_refused_in_a_sentence():
    names = {kind.__name__ for kind in TRANSFORMERS}
    assert names >= {"ViT", "BertEncoder", "ModernBertEncoder", "GPT2Encoder", "Wav2Vec2Encoder"}
    for kind in ENCODERS:
        encoder = make(kind)
        if kind in TRANSFORMERS:
            require_feed_forwards(encoder, "Data2Vec")
        else:
            with pytest.raises(InputError, match=rf"^Data2Vec predicts [^.]*, and {kind.__name__} has none[^.]*\.$"):
                require_feed_forwards(encoder, "Data2Vec")


@torch.no_grad()
def test_parts_that_are_not_called_once_are_named_with_their_encoder():
    encoder = make(next(kind for kind in TRANSFORMERS if kind.__name__ == "ViT"))
    data, mask = inputs(encoder)
    parts = encoder.feed_forwards()
    encoder.feed_forwards = lambda: [*parts, nn.Identity()]
    with pytest.raises(InputError, match=r"^ViT: the 3 parts that its feed_forwards\(\) names were called 2 times"):
        with recorded(encoder):
            encoder(data, mask)
    assert not any(part._forward_hooks for part in encoder.modules())
