import math

import pytest
import torch
from torch import nn

from ssl_zoo.encoders.text_transformer import TransformerTextEncoder
from ssl_zoo.errors import InputError
from tests.contracts.test_encoders import VOCABULARY, inputs

DIM, DEPTH, HEADS, LENGTH = 16, 2, 4, 24


def make() -> TransformerTextEncoder:
    torch.manual_seed(0)
    encoder = TransformerTextEncoder(VOCABULARY, DIM, DEPTH, HEADS, LENGTH, 0.0).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return encoder


def reference(encoder: TransformerTextEncoder, heads: int = HEADS) -> nn.TransformerEncoder:
    """PyTorch's own with the same weights."""
    layer = nn.TransformerEncoderLayer(DIM, heads, 4 * DIM, 0.0, "relu", batch_first=True, norm_first=False)
    theirs = nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
    for ours, its in zip(encoder.model.encoder.layer, theirs.layers, strict=True):
        parts = [ours.attention.self.query, ours.attention.self.key, ours.attention.self.value]
        its.self_attn.in_proj_weight.data = torch.cat([part.weight for part in parts])
        its.self_attn.in_proj_bias.data = torch.cat([part.bias for part in parts])
        for one, other in (
            (ours.attention.output.dense, its.self_attn.out_proj), (ours.attention.output.LayerNorm, its.norm1),
            (ours.intermediate.dense, its.linear1), (ours.output.dense, its.linear2),
            (ours.output.LayerNorm, its.norm2),
        ):  # fmt: skip
            other.load_state_dict(one.state_dict())
    return theirs


def position(place: int) -> list[float]:
    """Section 3.5: sines and cosines of the place over powers of 10000, here all sines first."""
    angles = [place / 10000 ** (2 * number / DIM) for number in range(DIM // 2)]
    return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]


def entering(encoder: TransformerTextEncoder, ids: torch.Tensor) -> torch.Tensor:
    places = torch.tensor([position(place) for place in range(ids.shape[1])])
    return encoder.token_embedding.weight[ids] * math.sqrt(DIM) + places


@torch.no_grad()
def test_vectors_are_those_of_pytorchs_own_encoder():
    encoder = make()
    ids, mask = inputs(encoder)
    found = encoder(ids, mask, layers=True)
    torch.testing.assert_close(found.layers[0], entering(encoder, ids), atol=1e-5, rtol=1e-5)
    expected = reference(encoder)(entering(encoder, ids), src_key_padding_mask=~mask)
    torch.testing.assert_close(found.sequence[mask], expected[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sequence, found.layers[-1])


@torch.no_grad()
def test_in_packed_rows_positions_are_those_in_the_document():
    encoder = make()
    one, two = torch.randint(5, 40, (1, 6)), torch.randint(5, 40, (1, 4))
    row = torch.cat([one, two], dim=1)
    found = encoder(row, torch.tensor([[1] * 6 + [2] * 4])).sequence
    torch.testing.assert_close(found[:, :6], encoder(one).sequence, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[:, 6:], encoder(two).sequence, atol=1e-5, rtol=1e-5)


def test_positions_are_no_weights_and_mistakes_end_in_a_sentence():
    encoder = make()
    assert not [name for name in encoder.state_dict() if "position" in name] and not encoder.in_library
    assert encoder.positions.shape == (LENGTH, DIM)
    with pytest.raises(InputError, match="rows of 25 tokens, but max_length is 24"):
        encoder(torch.full((1, 25), 6))
    with pytest.raises(InputError, match="dim is 9; give an even number"):
        TransformerTextEncoder(VOCABULARY, 9, 1, 3)
