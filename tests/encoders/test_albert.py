"""ALBERT's shared weights; `test_text` holds its vectors to those of the library's whole model."""

import pytest
import torch
from transformers import AlbertConfig, AlbertForMaskedLM

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.albert import SHARED, AlbertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.bert import BERT, MASKING
from ssl_zoo.methods.electra import ELECTRA
from ssl_zoo.randomness import fold_in
from tests.encoders.test_text import VOCABULARY, padded, tokens

WIDE, NARROW = 32, 16
# Weights and biases of one layer: four square maps and a norm, four times as wide and back, and a norm.
ATTENTION = 4 * (WIDE * WIDE + WIDE) + 2 * WIDE
FEED_FORWARD = 2 * 4 * WIDE * WIDE + 4 * WIDE + WIDE
LAYER = ATTENTION + FEED_FORWARD + 2 * WIDE
BELOW = (40 + 64 + 2) * NARROW + 2 * NARROW + NARROW * WIDE + WIDE


def make(**settings) -> AlbertEncoder:
    torch.manual_seed(0)
    sizes = {"dim": WIDE, "embedding_dim": NARROW, "depth": 3, "heads": 4, "max_length": 64, "dropout": 0.0}
    return AlbertEncoder(VOCABULARY, **{**sizes, **settings})


def size(encoder: AlbertEncoder) -> int:
    return sum(parameter.numel() for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("shared", "once"), [("all", LAYER), ("attention", ATTENTION), ("feed_forward", FEED_FORWARD), ("none", 0)]
)
def test_a_further_layer_has_the_weights_that_are_not_shared(shared, once):
    for depth in (1, 2, 5):
        assert size(make(shared=shared, depth=depth)) == BELOW + depth * (LAYER - once) + once


def test_narrow_embeddings_cost_their_own_width_and_one_map():
    assert size(make()) - size(make(embedding_dim=8)) == (40 + 64 + 2) * 8 + 2 * 8 + 8 * WIDE


@pytest.mark.parametrize("shared", SHARED)
def test_shared_weights_have_the_vectors_of_equal_ones_and_the_sum_of_their_gradients(shared):
    """Against layers that share nothing and begin with the same weights."""
    ids, mask = padded()
    encoder, free = make(shared=shared), make(shared="none")
    free.model.embeddings.load_state_dict(encoder.model.embeddings.state_dict())
    maps = (each.model.encoder.embedding_hidden_mapping_in for each in (free, encoder))
    next(maps).load_state_dict(next(maps).state_dict())
    first = encoder.model.encoder.albert_layer_groups[0].state_dict()
    for group in [*free.model.encoder.albert_layer_groups, *encoder.model.encoder.albert_layer_groups]:
        group.load_state_dict(first)
    found, expected = encoder(ids, mask).sequence, free(ids, mask).sequence
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    for sequence in (found, expected):
        (sequence * weights)[mask].sum().backward()
    layers = [group.albert_layers[0] for group in free.model.encoder.albert_layer_groups]
    for part in SHARED[shared]:
        for name, parameter in getattr(
            encoder.model.encoder.albert_layer_groups[0].albert_layers[0], part
        ).named_parameters():
            total = sum(getattr(layer, part).get_parameter(name).grad for layer in layers)
            torch.testing.assert_close(parameter.grad, total, atol=1e-4, rtol=1e-4)
    assert len(encoder.parameter_layers()) == (2 if shared == "all" else 4)


@torch.no_grad()
def test_bert_on_it_is_the_librarys_albert_for_masked_lm():
    method = BERT(make()).eval()
    for parameter in method.parameters():
        if parameter.ndim > 1:
            parameter.mul_(8)
    method.head_bias.normal_()
    config = AlbertConfig.from_dict(method.encoder.model.config.to_dict())
    whole = AlbertForMaskedLM(config).eval()
    whole.albert.load_state_dict(method.encoder.model.state_dict())
    dense, _, norm = method.head
    whole.predictions.dense.load_state_dict(dense.state_dict())
    whole.predictions.LayerNorm.load_state_dict(norm.state_dict())
    whole.predictions.decoder.bias.copy_(method.head_bias)

    ids, mask = padded()
    batch = Batch(ids, mask, None, torch.arange(3))
    inputs, hidden = method.corruption(ids, mask, fold_in(method.keys(batch), MASKING))
    labels = torch.where(hidden.mask, ids, -100)
    expected = whole(inputs, attention_mask=mask, labels=labels)
    torch.testing.assert_close(method.losses(batch)["loss"], expected.loss, atol=1e-5, rtol=1e-5)
    logits = method.token_logits(method.encoder(inputs, mask).sequence)
    torch.testing.assert_close(logits[mask], expected.logits[mask], atol=1e-4, rtol=1e-5)


def test_a_layers_input_is_as_wide_as_the_layer():
    layers = make()(tokens(2, 9), layers=True).layers
    assert [layer.shape for layer in layers] == [(2, 9, WIDE)] * 4
    assert make().embed(tokens(2, 9)).vectors.shape == (2, 9, NARROW)


def test_what_cannot_work_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^AlbertEncoder: embedding_dim is 0; [^.]*\.$"):
        make(embedding_dim=0)
    with pytest.raises(InputError, match=r"^AlbertEncoder: depth is 0; give a number of at least 1\.$"):
        make(depth=0, shared="none")
    with pytest.raises(InputError, match=r"^ELECTRA's networks read embeddings [^.]* AlbertEncoder are not: [^.]*\.$"):
        ELECTRA(make())
