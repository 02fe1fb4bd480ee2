import pytest
import torch
from torch import nn

from ssl_zoo.decoders.tokens import TokenDecoder
from ssl_zoo.errors import InputError

ROWS, WRITTEN, READ, DIM = 3, 7, 9, 16


def make(**settings) -> TokenDecoder:
    torch.manual_seed(0)
    decoder = TokenDecoder(DIM, **{"depth": 2, "heads": 4, "max_length": 12, **settings}).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return decoder


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(READ) < torch.tensor([9, 4, 1])[:, None]
    return torch.randn(ROWS, WRITTEN, DIM), torch.randn(ROWS, READ, DIM), mask


def reference(decoder: TokenDecoder) -> nn.TransformerDecoder:
    """PyTorch's own with the same weights."""
    heads, dim = decoder.layers[0].own.heads, decoder.positions.shape[1]
    kind, first = ("relu", False) if decoder.original else ("gelu", True)
    layer = nn.TransformerDecoderLayer(dim, heads, 4 * dim, 0.0, kind, batch_first=True, norm_first=first)
    theirs = nn.TransformerDecoder(layer, len(decoder.layers), nn.LayerNorm(dim) if first else None).eval()
    if first:
        theirs.norm.load_state_dict(decoder.norm.state_dict())
    for ours, other in zip(decoder.layers, theirs.layers, strict=True):
        for mine, its in ((ours.own, other.self_attn), (ours.other, other.multihead_attn)):
            parts = [mine.query, mine.key, mine.value]
            its.in_proj_weight.data = torch.cat([part.weight for part in parts])
            its.in_proj_bias.data = torch.cat([part.bias for part in parts])
            its.out_proj.load_state_dict(mine.output.state_dict())
        for mine, its in (
            (ours.own_norm, other.norm1), (ours.other_norm, other.norm2), (ours.last_norm, other.norm3),
            (ours.feed_forward[0], other.linear1), (ours.feed_forward[3], other.linear2),
        ):  # fmt: skip
            its.load_state_dict(mine.state_dict())
    return theirs


@pytest.mark.parametrize("original", [False, True])
def test_vectors_and_gradients_are_those_of_pytorchs_own_decoder(original):
    decoder, (vectors, memory, mask) = make(original=original), inputs()
    assert not original or not isinstance(decoder.positions, nn.Parameter)
    theirs = reference(decoder)
    for real in (mask, None):
        one, other = memory.clone().requires_grad_(), memory.clone().requires_grad_()
        found = decoder(vectors, one, real)
        expected = theirs(
            vectors * (DIM**0.5 if original else 1) + decoder.positions[:WRITTEN],
            other,
            tgt_mask=torch.ones(WRITTEN, WRITTEN, dtype=torch.bool).triu(1),
            memory_key_padding_mask=None if real is None else ~real,
        )
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        found.square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(
        decoder.layers[0].own.output.weight.grad, theirs.layers[0].self_attn.out_proj.weight.grad
    )


@pytest.mark.parametrize("original", [False, True])
def test_a_prediction_sees_nothing_that_comes_later_and_all_that_came_before(original):
    decoder, (vectors, memory, mask) = make(original=original), inputs()
    vectors.requires_grad_()
    for place in range(WRITTEN):
        # Not the sum, which a norm that comes last has as its bias whatever it is of.
        (seen,) = torch.autograd.grad(decoder(vectors, memory, mask)[:, place, 0].sum(), vectors)
        assert not seen[:, place + 1 :].any() and seen[:, : place + 1].abs().sum(2).all()


def test_padding_of_either_side_changes_nothing_and_what_is_real_counts():
    decoder, (vectors, memory, mask) = make(), inputs()
    found = decoder(vectors, memory, mask)
    noise = torch.where(mask[..., None], memory, 100 * torch.randn_like(memory))
    torch.testing.assert_close(decoder(vectors, noise, mask), found)
    longer = torch.cat([vectors, torch.randn(ROWS, 3, DIM)], dim=1)
    torch.testing.assert_close(decoder(longer, memory, mask)[:, :WRITTEN], found, atol=1e-5, rtol=1e-5)
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = decoder(vectors[row : row + 1], memory[row : row + 1, :length], None)
        torch.testing.assert_close(alone[0], found[row], atol=1e-5, rtol=1e-5)
    memory.requires_grad_()
    (seen,) = torch.autograd.grad(decoder(vectors, memory, mask).square().sum(), memory)
    assert torch.equal(seen.abs().sum(2) > 0, mask)


@torch.no_grad()
def test_step_by_step_it_gives_what_it_gives_at_once_and_rows_may_be_exchanged_on_the_way():
    decoder, (vectors, memory, mask) = make(), inputs()
    whole = decoder(vectors, memory, mask)
    state, rows = decoder.begin(memory), torch.arange(ROWS)
    for place in range(WRITTEN):
        if place == 3:
            rows = torch.tensor([2, 2, 0])
            state = state.select(rows)
        found, state = decoder.step(vectors[rows, place : place + 1], state, mask[rows])
        torch.testing.assert_close(found[:, 0], whole[rows, place], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_vectors_may_stand_elsewhere():
    decoder, (vectors, memory, mask) = make(), inputs()
    places = torch.arange(WRITTEN).expand(ROWS, -1)
    torch.testing.assert_close(decoder(vectors, memory, mask, places), decoder(vectors, memory, mask))
    moved = decoder(vectors, memory, mask, places + 2)
    assert not torch.allclose(moved, decoder(vectors, memory, mask))
    state, found = decoder.begin(memory), []
    for place in range(WRITTEN):
        now, state = decoder.step(vectors[:, place : place + 1], state, mask, places[:, place : place + 1] + 2)
        found.append(now)
    torch.testing.assert_close(torch.cat(found, dim=1), moved, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("original", [False, True])
def test_the_last_layers_attention_is_that_of_pytorchs_own(original):
    decoder, (vectors, memory, mask) = make(original=original), inputs()
    theirs, asked = reference(decoder), []
    theirs.layers[-1].multihead_attn.register_forward_pre_hook(lambda module, given: asked.append(given[0]))
    placed = vectors * (DIM**0.5 if original else 1) + decoder.positions[:WRITTEN]
    later = torch.ones(WRITTEN, WRITTEN, dtype=torch.bool).triu(1)
    theirs.train()(placed, memory, tgt_mask=later, memory_key_padding_mask=~mask)  # not its faster way, without hooks
    attend = theirs.layers[-1].multihead_attn
    expected = attend(asked[0], memory, memory, key_padding_mask=~mask)[1]
    found = decoder.attention(vectors, memory, mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.sum(2), torch.ones(ROWS, WRITTEN))


def test_dropout_is_for_training_alone():
    decoder, (vectors, memory, mask) = make(dropout=0.5), inputs()
    assert torch.equal(decoder(vectors, memory, mask), decoder(vectors, memory, mask))
    decoder.train()
    assert not torch.equal(decoder(vectors, memory, mask), decoder(vectors, memory, mask))


def test_what_cannot_work_is_refused():
    with pytest.raises(InputError, match="The decoder: dim 16 is not a multiple of heads 3"):
        make(heads=3)
    with pytest.raises(InputError, match="0 layers and reads 12 tokens"):
        make(depth=0)
    decoder, (vectors, memory, mask) = make(max_length=6), inputs()
    with pytest.raises(InputError, match="reads 6 tokens at most, but a text has 7"):
        decoder(vectors, memory, mask)
