"""Text encoders against the whole models of the transformers library, and packed rows against documents alone."""

from copy import deepcopy

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, ModernBertForMaskedLM

from ssl_zoo.encoders.albert import AlbertEncoder
from ssl_zoo.encoders.modern_bert import ModernBertEncoder
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from tests.made import BEGIN, END, PAD, vocabulary

VOCABULARY = vocabulary(40)
SIZES = {"dim": 32, "depth": 3, "heads": 4}
LENGTHS = torch.tensor([20, 13, 4])


def make(kind: type[TextEncoder], **settings) -> TextEncoder:
    """An encoder whose attention matters: with the weights it starts from, vectors hardly depend on their context."""
    torch.manual_seed(0)
    if kind is ModernBertEncoder:
        settings = {"window": 6, **settings}
    if kind is AlbertEncoder:
        settings = {"embedding_dim": 16, **settings}
    encoder = kind(VOCABULARY, **{**SIZES, **settings}).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return encoder


@pytest.fixture(params=[BertEncoder, AlbertEncoder, ModernBertEncoder, GPT2Encoder], ids=lambda kind: kind.__name__)
def encoder(request) -> TextEncoder:
    return make(request.param)


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(5, 40, shape, generator=torch.Generator().manual_seed(seed))


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.arange(20) < LENGTHS[:, None]
    return tokens(3, 20).masked_fill(~mask, PAD), mask


def packed() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of whole documents, of one that is cut at the left, of one token, and with padding at the end."""
    ids = tokens(3, 20)
    documents = torch.tensor([[1] * 7 + [2] * 8 + [3] * 5, [4] * 11 + [1] + [2] * 4 + [0] * 4, [1] * 20])
    for row in range(3):
        for number in documents[row].unique():
            places = (documents[row] == number).nonzero()[:, 0]
            ids[row, places[-1]] = END
            if row != 2:
                ids[row, places[0]] = BEGIN
    return ids.masked_fill(documents == 0, PAD), documents


@torch.no_grad()
def test_vectors_are_those_of_the_whole_model(encoder):
    ids, mask = padded()
    for inputs, real in ((ids, mask), (tokens(3, 20), None)):
        encoded = encoder(inputs, real, layers=True)
        whole = encoder.model(inputs, attention_mask=real, output_hidden_states=True)
        seen = torch.ones_like(inputs, dtype=torch.bool) if real is None else real
        torch.testing.assert_close(encoded.sequence[seen], whole.last_hidden_state[seen], atol=1e-5, rtol=1e-5)
        # The library's list begins with the embeddings, too, and its last entry has been through the last norm.
        for ours, theirs in zip(encoded.layers[:-1], whole.hidden_states[:-1], strict=True):
            torch.testing.assert_close(ours[seen], theirs[seen], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(encoder.last_norm(encoded.layers[-1]), encoded.sequence)


@torch.no_grad()
def test_documents_of_a_packed_row_are_encoded_as_if_alone(encoder):
    ids, documents = packed()
    sequence = encoder(ids, documents).sequence
    assert sequence.isfinite().all()
    for row in range(3):
        for number in documents[row].unique():
            if number > 0:
                of_document = documents[row] == number
                alone = encoder(ids[row : row + 1, of_document]).sequence[0]
                torch.testing.assert_close(sequence[row, of_document], alone, atol=1e-5, rtol=1e-5)
    # The test would notice a leak.
    assert (encoder(ids, documents > 0).sequence - sequence)[0, 7:].abs().max() > 0.1


@torch.no_grad()
def test_only_a_causal_encoder_is_blind_to_the_future(encoder):
    for ids, mask in (padded(), packed(), (tokens(3, 20), None)):
        changed = ids.clone()
        changed[0, 12] = (ids[0, 12] + 1 - 5) % 35 + 5
        before, after = encoder(ids, mask).sequence[0], encoder(changed, mask).sequence[0]
        moved = (before - after).abs().amax(1) > 1e-6
        assert moved[12]
        # A packed row's second document begins at 7; a local layer reaches three tokens, three layers nine and more.
        first = 7 if mask is not None and mask.dtype == torch.int64 else 6
        assert bool(moved[first:12].any()) == (not encoder.causal)


def test_attention_gets_a_mask_only_where_it_needs_one(encoder, monkeypatch):
    calls = []
    attend = F.scaled_dot_product_attention

    def spy(*args, **named):
        calls.append((named["attn_mask"], named["is_causal"]))
        return attend(*args, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)

    def masks(ids, mask):
        calls.clear()
        encoder(ids, mask)
        assert len(calls) == 3
        return [mask for mask, _ in calls], {causal for _, causal in calls}

    # Four tokens lie within the window of local attention, twenty do not.
    for ids, local in ((tokens(3, 4), False), (tokens(3, 20), isinstance(encoder, ModernBertEncoder))):
        given, causal = masks(ids, None)
        assert [mask is not None for mask in given] == [False, local, local]
        assert causal == {encoder.causal}
    given, causal = masks(*padded())
    assert all((mask is None) == encoder.causal for mask in given) and causal == {encoder.causal}
    given, causal = masks(*packed())
    assert all(mask is not None and mask.dtype == torch.bool for mask in given) and causal == {False}


@torch.no_grad()
def test_segments_are_counted_by_end_tokens_within_each_document():
    encoder = make(BertEncoder)
    pair = torch.cat([torch.tensor([BEGIN]), tokens(3), torch.tensor([END]), tokens(4, seed=1), torch.tensor([END])])
    three = torch.cat([pair, tokens(2, seed=2), torch.tensor([END])])
    for document, segments in ((pair, [0] * 5 + [1] * 5), (three, [0] * 5 + [1] * 8), (pair[:5], [0] * 5)):
        types = torch.tensor([segments])
        whole = encoder.model(document[None], token_type_ids=types).last_hidden_state
        torch.testing.assert_close(encoder(document[None]).sequence, whole, atol=1e-5, rtol=1e-5)
    row, documents = torch.cat([pair, pair[:5], pair])[None], torch.tensor([[1] * 10 + [2] * 5 + [3] * 10])
    alone = torch.cat([encoder(part[None]).sequence for part in (pair, pair[:5], pair)], dim=1)
    torch.testing.assert_close(encoder(row, documents).sequence, alone, atol=1e-5, rtol=1e-5)
    assert (encoder.model(pair[None]).last_hidden_state - encoder(pair[None]).sequence).abs().max() > 0.1


@torch.no_grad()
def test_pooled_is_the_mean_over_real_tokens_or_the_first_one(encoder):
    ids, mask = padded()
    encoded = encoder(ids, mask)
    for row, length in enumerate(LENGTHS):
        by_hand = sum(encoded.sequence[row, place] for place in range(length)) / length
        torch.testing.assert_close(encoded.pooled[row], by_hand, atol=1e-5, rtol=1e-5)
    ids, documents = packed()
    encoded = encoder(ids, documents)
    assert torch.equal(encoded.mask, documents > 0)
    torch.testing.assert_close(encoded.pooled[1], encoded.sequence[1, :16].mean(0), atol=1e-5, rtol=1e-5)
    if not encoder.causal:
        first = make(type(encoder), pooling="cls")(*padded())
        assert torch.equal(first.pooled, first.sequence[:, 0])


@torch.no_grad()
def test_a_deep_copy_is_independent_down_to_its_settings(encoder):
    copy = deepcopy(encoder)
    ids, mask = padded()
    before = encoder(ids, mask).pooled
    assert torch.equal(copy(ids, mask).pooled, before)
    assert copy.token_embedding is not encoder.token_embedding
    copy.model.set_attn_implementation("eager")
    for parameter in copy.parameters():
        parameter.zero_()
    assert encoder.model.config._attn_implementation != "eager" and torch.equal(encoder(ids, mask).pooled, before)


def test_the_token_embedding_is_the_models_own_and_registered_once(encoder):
    assert encoder.token_embedding is encoder.model.get_input_embeddings()
    shape = (40, 16 if isinstance(encoder, AlbertEncoder) else 32)
    assert encoder.token_embedding.weight.shape == shape
    assert sum(value.shape == shape for value in encoder.state_dict().values()) == 1


@torch.no_grad()
def test_a_saved_encoder_comes_back_with_its_sizes(encoder, tmp_path):
    encoder.model.save_pretrained(tmp_path)
    loaded = type(encoder)(VOCABULARY, pretrained=str(tmp_path), dropout=0.25)
    assert loaded.training and loaded.model.training
    rates = {module.p for module in loaded.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}
    assert (loaded.dim, loaded.num_layers, loaded.max_length) == (32, 4, encoder.max_length)
    ids, mask = padded()
    assert torch.equal(loaded.eval()(ids, mask).pooled, encoder(ids, mask).pooled)


@torch.no_grad()
def test_published_models_with_other_heads_come_in_whole_and_in_float32(tmp_path):
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = BertModel(BertConfig(hidden_size=16, intermediate_size=24, max_position_embeddings=32, **sizes))
    gpt = GPT2LMHeadModel(GPT2Config(hidden_size=16, n_positions=32, bos_token_id=1, eos_token_id=2, **sizes))
    modern = ModernBertForMaskedLM(make(ModernBertEncoder).model.config)
    ids, _ = padded()
    for kind, model in ((BertEncoder, bert), (GPT2Encoder, gpt), (ModernBertEncoder, modern)):
        folder = tmp_path / kind.__name__
        model.bfloat16().save_pretrained(folder)
        loaded = kind(VOCABULARY, pretrained=str(folder)).eval()
        assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
        assert not any("pooler" in name or "head" in name for name, _ in loaded.named_parameters())
        expected = getattr(model, model.base_model_prefix, model).float().eval()(ids).last_hidden_state
        torch.testing.assert_close(loaded(ids).sequence, expected, atol=1e-5, rtol=1e-5)


def test_what_cannot_be_loaded_is_refused_in_a_sentence(tmp_path):
    folder = tmp_path / "model"
    make(BertEncoder).model.save_pretrained(folder)
    with pytest.raises(InputError, match="embeddings for 40 tokens but the vocabulary has 41"):
        BertEncoder({**VOCABULARY, "size": 41}, pretrained=str(folder))
    with pytest.raises(InputError, match="is a bert model and this encoder reads gpt2"):
        GPT2Encoder(VOCABULARY, pretrained=str(folder))
    with pytest.raises(InputError, match=r"cannot be loaded; .*config\.json"):
        BertEncoder(VOCABULARY, pretrained=str(tmp_path / "nowhere"))
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=f"{folder} cannot be loaded"):
        BertEncoder(VOCABULARY, pretrained=str(folder))


def test_a_file_without_all_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    make(BertEncoder).model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no weights for encoder\.layer\.1\.output\.dense\.weight"):
        BertEncoder(VOCABULARY, pretrained=str(tmp_path))


def test_sizes_that_do_not_fit_are_refused(encoder):
    with pytest.raises(InputError, match="dim 30 is not a multiple of heads 4"):
        type(encoder)(VOCABULARY, dim=30, heads=4)
    with pytest.raises(InputError, match="rows of 20 tokens, but max_length is 16"):
        make(type(encoder), max_length=16)(tokens(3, 20))
    with pytest.raises(InputError, match="rotations turn pairs"):
        ModernBertEncoder(VOCABULARY, dim=12, heads=4)


def test_nothing_in_it_waits_for_the_device(encoder):
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    on_meta = deepcopy(encoder).to("meta")
    for ids, mask in (padded(), packed(), (tokens(3, 20), None)):
        pooled = on_meta(ids.to("meta"), None if mask is None else mask.to("meta")).pooled
        assert pooled.shape == (3, 32)
