"""BigBird's blocks against dense attention with the mask written out, and what they cost."""

import pytest
import torch
from torch import Tensor

from ssl_zoo.encoders.big_bird import BigBirdEncoder
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from tests.encoders.test_text import VOCABULARY, packed, padded, tokens

SIZES = {"dim": 16, "depth": 2, "heads": 2, "dropout": 0.0}


def make(**settings) -> BigBirdEncoder:
    torch.manual_seed(0)
    blocks = {"block": 2, "window": 3, "global_blocks": 1, "random_blocks": 1}
    encoder = BigBirdEncoder(VOCABULARY, **{**SIZES, "max_length": 64, **blocks, **settings}).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return encoder


def may_see(encoder: BigBirdEncoder, mask: Tensor | None, rows: int, length: int, layer: int) -> Tensor:
    """``(B, 1, T, T)``, by loops over blocks."""
    size, number = encoder.block, -(-length // encoder.block)
    documents = torch.ones(rows, length, dtype=torch.int64) if mask is None else mask.long()
    allowed = torch.zeros(rows, 1, length, length, dtype=torch.bool)
    for row in range(rows):
        for one in range(number):
            seen = {other for other in range(number) if abs(one - other) <= encoder.window // 2}
            seen |= set(range(encoder.global_blocks))
            left = [
                other for other in range(number)
                if other not in seen and (documents[row, other * size : (other + 1) * size] > 0).any()
            ]  # fmt: skip
            seen |= set(sorted(left, key=lambda other: encoder.draws[layer, one, other])[: encoder.random_blocks])
            if one < encoder.global_blocks:
                seen = set(range(number))
            for other in seen:
                allowed[row, 0, one * size : (one + 1) * size, other * size : (other + 1) * size] = True
    return allowed & (documents[:, None, :, None] == documents[:, None, None, :])


def inputs(kind: str) -> tuple[Tensor, Tensor | None]:
    return {"whole": (tokens(3, 20), None), "odd": (tokens(2, 19), None), "padded": padded(), "packed": packed()}[kind]


@pytest.mark.parametrize("settings", [{}, {"block": 3, "random_blocks": 2}, {"global_blocks": 0}, {"random_blocks": 0},
                                      {"window": 1, "global_blocks": 2, "random_blocks": 3}])  # fmt: skip
@pytest.mark.parametrize("kind", ["whole", "odd", "padded", "packed"])
def test_values_and_gradients_are_those_of_dense_attention_with_the_mask_written_out(kind, settings):
    encoder, (ids, mask) = make(**settings), inputs(kind)
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask > 0
    found = encoder(ids, mask, layers=True)
    embedded = encoder.embed(ids, mask)
    vectors, states = encoder.place(embedded, None), []
    for number, layer in enumerate(encoder.model.encoder.layer):
        states.append(vectors)
        vectors = layer(vectors, attention_mask=may_see(encoder, mask, *ids.shape, number))
    for ours, theirs in zip(found.layers, [*states, vectors], strict=True):
        torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-5)
    weight = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(1)) * real[..., None]
    ours, theirs = (
        torch.autograd.grad((states * weight).sum(), list(encoder.parameters()), retain_graph=True, allow_unused=True)
        for states in (found.sequence, vectors)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{"window": 19}, {"random_blocks": 10}, {"global_blocks": 10}, {"block": 16}])
def test_where_blocks_cover_a_row_it_is_bert(settings):
    encoder = make(**settings)
    whole = BertEncoder(VOCABULARY, **SIZES, max_length=64).eval()
    whole.load_state_dict(encoder.state_dict())
    for ids, mask in (inputs("whole"), inputs("padded"), inputs("packed")):
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask > 0
        torch.testing.assert_close(encoder(ids, mask).sequence[real], whole(ids, mask).sequence[real],
                                   atol=1e-5, rtol=1e-5)  # fmt: skip
    narrow = make()
    ids, mask = inputs("whole")
    assert (narrow(ids, mask).sequence - whole(ids, mask).sequence).abs().max() > 0.1


def test_random_blocks_are_the_seeds_and_stay_the_same():
    one, again, other = (make(seed=seed).draws for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])  # of every layer its own
    torch.manual_seed(5)
    assert torch.equal(make(seed=1).draws, one) and "draws" not in make().state_dict()


def kept(encoder: BertEncoder, length: int) -> int:
    """Numbers that are kept for the backward pass."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = encoder(tokens(1, length)).sequence  # kept alive, so that no address is used twice
    assert found.requires_grad
    return sum(storages.values())


def test_what_is_kept_for_the_backward_pass_grows_with_the_length_and_not_with_its_square():
    sparse = BigBirdEncoder(VOCABULARY, **{**SIZES, "dropout": 0.1}, max_length=2048, block=16).train()
    dense = BertEncoder(VOCABULARY, **{**SIZES, "dropout": 0.1}, max_length=2048).train()
    growth = {name: kept(each, 2048) / kept(each, 512) for name, each in (("sparse", sparse), ("dense", dense))}
    assert growth["sparse"] < 4.5 and growth["dense"] > 8


def test_what_cannot_work_is_refused_in_a_sentence():
    for settings in ({"window": 2}, {"global_blocks": -1}, {"random_blocks": -1}):
        with pytest.raises(InputError, match=r"^BigBirdEncoder: window is [^.]*\.$"):
            make(**settings)
    encoder = make()
    embedded = encoder.embed(*inputs("whole"))
    places = torch.arange(10).expand(3, -1)
    with pytest.raises(InputError, match=r"^BigBirdEncoder needs the vectors of all places"):
        encoder.contextualize(embedded.at(places), places=places)
