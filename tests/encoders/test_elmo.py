"""ELMo's encoder against loops and torch's own LSTMs, and what neither direction may see."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ssl_zoo.encoders.characters import BEGIN, END, PADDING, SPECIAL, CharacterCNN, spelt
from ssl_zoo.encoders.elmo import ElmoEncoder
from ssl_zoo.encoders.lstm import without_onednn
from ssl_zoo.errors import InputError
from tests.made import vocabulary

VOCABULARY = vocabulary(12, [10, 11])
SPELLING = [None] * 5 + ["a", "cat", "dog", "né", "elephants", "##s", "##ing"]
LENGTHS = [9, 4, 7]


def make(**settings) -> ElmoEncoder:
    torch.manual_seed(0)
    sizes = {"dim": 16, "cells": 12, "depth": 3, "filters": [[1, 4], [3, 6]], "dropout": 0.0}
    encoder = ElmoEncoder(VOCABULARY, SPELLING, **{**sizes, **settings}).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    return encoder


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 12, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    return ids.masked_fill(~mask, 0), mask


def test_tokens_are_bytes_between_marks_and_special_ones_have_symbols_of_their_own():
    table = spelt(SPELLING, 50, 1)
    assert table.shape == (12, len("elephants") + 2)
    assert table[6].tolist() == [BEGIN, *b"cat", END] + [PADDING] * 6
    assert table[8].tolist()[:5] == [BEGIN, ord("n"), 0xC3, 0xA9, END]
    assert [row[:3] for row in table[:5].tolist()] == [[BEGIN, SPECIAL + number, END] for number in range(5)]
    assert spelt(SPELLING, 2, 1)[9].tolist() == [BEGIN, *b"el", END]
    assert spelt(["a"], 50, 7).shape == (1, 7)


@torch.no_grad()
def test_the_network_of_characters_is_that_of_loops():
    network = make().tokens
    for token in range(12):
        vectors = network.characters.weight[network.symbols[token]]
        largest = []
        for convolution in network.convolutions:
            width = convolution.kernel_size[0]
            for kernel, bias in zip(convolution.weight, convolution.bias, strict=True):
                spots = [
                    float((kernel * vectors[start : start + width].T).sum() + bias)
                    for start in range(len(vectors) - width + 1)
                ]
                largest.append(max(0.0, max(spots)))
        vector = torch.tensor(largest)
        for highway in network.highways:
            changed, gate = (highway.weight @ vector + highway.bias).split(10)
            vector = torch.sigmoid(gate) * F.relu(changed) + torch.sigmoid(-gate) * vector
        expected = network.projection.weight @ vector + network.projection.bias
        torch.testing.assert_close(network(torch.tensor([[token]]))[0, 0], expected, atol=1e-5, rtol=1e-5)
    start = CharacterCNN(SPELLING, 4, [[1, 4]]).highways[0].bias
    assert start[4:].tolist() == [-2.0] * 4


@torch.no_grad()
def test_layers_are_those_of_torchs_lstms_in_either_direction():
    encoder, (ids, mask) = make(), padded()
    encoded = encoder(ids, mask, layers=True)
    assert torch.equal(encoded.sequence, encoded.layers[-1])
    for row, length in enumerate(LENGTHS):
        tokens = encoder.tokens(ids[row, :length])
        halves = []
        for stack, flip in ((encoder.forwards, False), (encoder.backwards, True)):
            states = [tokens.flip(0) if flip else tokens]
            for number, ours in enumerate(stack):
                theirs = nn.LSTM(8, 12, proj_size=8, batch_first=True)
                theirs.load_state_dict(ours.state_dict())
                with without_onednn():
                    read = theirs(states[-1][None])[0][0]
                states.append(read if number == 0 else read + states[-1])
            halves.append([state.flip(0) if flip else state for state in states])
        for layer, both in zip(encoded.layers, zip(*halves, strict=True), strict=True):
            torch.testing.assert_close(layer[row, :length], torch.cat(both, 1), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoded.pooled[row], encoded.sequence[row, :length].mean(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_neither_direction_sees_what_it_is_to_predict(layer):
    """An LSTM of both directions on another one does: its forward half reads a backward state."""
    encoder, (ids, mask) = make(), padded()
    embedded = encoder.embed(ids, mask)
    vectors = embedded.vectors.detach().requires_grad_()
    state = encoder.contextualize(embedded._replace(vectors=vectors), layers=True).layers[layer]
    for place in (0, 2, 5):
        for half, seen in ((slice(0, 8), slice(0, place + 1)), (slice(8, 16), slice(place, LENGTHS[2]))):
            (gradient,) = torch.autograd.grad(state[2, place, half].square().sum(), vectors, retain_graph=True)
            moved = gradient.abs().sum(2)
            assert (moved[2, seen] > 0).all()
            moved[2, seen] = 0
            assert (moved == 0).all()


def test_dropout_is_on_what_enters_each_lstm():
    encoder, (ids, mask) = make(dropout=0.5).train(), padded()
    first, second = (encoder(ids, mask, layers=True).layers for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_what_cannot_work_is_refused_in_a_sentence():
    ids, mask = padded()
    with pytest.raises(InputError, match=r"^ElmoEncoder reads single documents, .*: set data\.packing to false\.$"):
        make()(ids, mask.long())
    with pytest.raises(InputError, match="texts of 9 tokens, but max_length is 8"):
        make(max_length=8)(ids, mask)
    for settings, sentence in [
        ({"dim": 15}, "ElmoEncoder: dim is 15"),
        ({"cells": 8}, "ElmoEncoder: cells is 8"),
        ({"filters": [[0, 4]]}, r"filters is \[\[0, 4\]\]"),
        ({"filters": []}, "filters is"),
    ]:
        with pytest.raises(InputError, match=sentence):
            make(**settings)
