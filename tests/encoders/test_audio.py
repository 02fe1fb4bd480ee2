import json
import math
from copy import deepcopy

import pytest
import torch
from torch.nn import functional as F
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model

from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import CausalConvEncoder, GRUEncoder
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.errors import InputError

LENGTHS = (6000, 2500, 399, 4321)
MASK = torch.arange(6000) < torch.tensor(LENGTHS)[:, None]
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}


def noise(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed)) * 0.1


def make(kind, front_end=None, **settings):
    torch.manual_seed(0)
    front_end = WaveConvolutions(16) if front_end is None else front_end
    if kind is Wav2Vec2Encoder:
        settings = {"depth": 3, "heads": 2, "hidden": 48, "position_kernel": 16, "position_groups": 4, **settings}
    if kind is CausalConvEncoder:
        settings = {"kernels": [2, 3], **settings}
    return kind(front_end, dim=32, **settings).eval()


@pytest.fixture(params=[Wav2Vec2Encoder, CausalConvEncoder, GRUEncoder])
def encoder(request):
    return make(request.param)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("position_kernel", [15, 16])
@pytest.mark.parametrize("padded", [False, True])
def test_hidden_states_are_those_of_transformers(norm, position_kernel, padded, tmp_path):
    encoder = make(Wav2Vec2Encoder, WaveConvolutions(16, normalize=False), norm=norm, position_kernel=position_kernel)
    for parameter in encoder.parameters():  # norms and biases that do nothing would hide mistakes
        parameter.add_(torch.randn(parameter.shape) * 0.05)
    encoder.save_pretrained(tmp_path)
    theirs = Wav2Vec2Model.from_pretrained(tmp_path).eval()
    waveforms, mask = noise(4, 6000), MASK | (torch.arange(6000) < 400) if padded else None
    waveforms = waveforms if mask is None else waveforms * mask
    expected = theirs(waveforms, attention_mask=mask, output_hidden_states=True)
    found = encoder(waveforms, mask, layers=True)
    real = found.mask if padded else torch.ones(found.sequence.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(found.sequence[real], expected.last_hidden_state[real], atol=1e-5, rtol=1e-5)
    assert len(found.layers) == encoder.num_layers == 4
    for ours, state in zip(found.layers, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours[real], state[real], atol=1e-5, rtol=1e-5)
    normalized = encoder.feature_norm(encoder.front_end(waveforms, mask)[0])
    torch.testing.assert_close(normalized[real], expected.extract_features[real], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("architecture", [Wav2Vec2Model, HubertModel])
@pytest.mark.parametrize("variant", ["base", "large"])
def test_a_published_model_comes_in_whole(architecture, variant, tmp_path):
    torch.manual_seed(0)
    large = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
    config = (Wav2Vec2Config if architecture is Wav2Vec2Model else HubertConfig)(
        conv_dim=[16] * 7, num_conv_pos_embeddings=16, **SMALL, **(large if variant == "large" else {})
    )
    theirs = architecture(config).eval()
    theirs.half().save_pretrained(tmp_path)
    theirs.float()
    encoder = Wav2Vec2Encoder(pretrained=str(tmp_path), dropout=0.25, attention_dropout=0.0)
    assert encoder.training and encoder.trunk.training
    assert {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)} == {0.25, 0.0}
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert (encoder.dim, encoder.num_layers, encoder.stride) == (32, 4, 320)
    waveforms = noise(2, 5000)
    by_hand = (waveforms - waveforms.mean(1, keepdim=True)) / waveforms.std(1, correction=0, keepdim=True)
    found = encoder.eval()(waveforms).sequence
    torch.testing.assert_close(found, theirs(by_hand).last_hidden_state, atol=1e-4, rtol=1e-4)
    # And out again.
    encoder.save_pretrained(tmp_path / "again")
    again = architecture.from_pretrained(tmp_path / "again").eval()
    torch.testing.assert_close(found, again(by_hand).last_hidden_state, atol=1e-4, rtol=1e-4)


def test_a_published_model_without_a_norm_of_features_comes_in(tmp_path):
    HubertModel(HubertConfig(conv_dim=[16] * 7, feat_proj_layer_norm=False, **SMALL)).save_pretrained(tmp_path)
    encoder = Wav2Vec2Encoder(pretrained=str(tmp_path)).eval()
    features = noise(2, 3, 16)
    assert torch.equal(encoder.feature_norm(features), features)


def test_what_cannot_be_loaded_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"cannot be loaded; give the name of a published wav2vec2 or hubert model"):
        Wav2Vec2Encoder(pretrained=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="brings its own front end"):
        Wav2Vec2Encoder(LogMel(), pretrained=str(tmp_path))
    make(Wav2Vec2Encoder).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be loaded"):
        Wav2Vec2Encoder(pretrained=str(tmp_path))
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(InputError, match=r"no weights for encoder\.layers\.3"):
        Wav2Vec2Encoder(pretrained=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({**config, "conv_dim": [8, *config["conv_dim"][1:]]}))
    with pytest.raises(InputError):
        Wav2Vec2Encoder(pretrained=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="is a bert model and this encoder reads wav2vec2 or hubert"):
        Wav2Vec2Encoder(pretrained=str(tmp_path))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="dim 30 is not a multiple of both heads 4 and position_groups 16"):
        Wav2Vec2Encoder(WaveConvolutions(16), dim=30, heads=4)
    with pytest.raises(InputError, match="kernels are"):
        CausalConvEncoder(WaveConvolutions(16), kernels=[])
    with pytest.raises(InputError, match="LogMel is made for 16000 samples per second but the encoder for 8000"):
        GRUEncoder(LogMel(), sample_rate=8000)
    with pytest.raises(InputError, match="only an encoder on WaveConvolutions can be saved"):
        make(Wav2Vec2Encoder, LogMel(dim=16)).save_pretrained("nowhere")


def test_weights_start_out_as_published():
    """The published initialisation; layers taken out of their model could have been left with PyTorch's."""
    encoder = make(Wav2Vec2Encoder)
    weight = encoder.trunk.pos_conv_embed.conv.weight
    assert float(weight.detach().std()) == pytest.approx(2 * math.sqrt(1 / (16 * 32)), rel=0.1)
    assert not encoder.trunk.pos_conv_embed.conv.bias.any()
    assert encoder.trunk.layers[0].feed_forward.output_dense.weight.std() < 0.03


@torch.no_grad()
@pytest.mark.parametrize("kind", [CausalConvEncoder, GRUEncoder])
@pytest.mark.parametrize("front_end", [WaveConvolutions, LogMel])
def test_no_sample_after_its_window_changes_a_causal_vector(kind, front_end):
    encoder = make(kind, front_end(dim=16, normalize=False))
    assert encoder.causal
    waveform, frame = noise(1, 8000), 7
    end = frame * encoder.stride + encoder.front_end.receptive_field
    other = waveform.clone()
    other[:, end:] = noise(1, 8000 - end, seed=1)
    moved = (encoder(waveform).sequence - encoder(other).sequence).abs().amax(2)[0]
    assert not moved[: frame + 1].any() and (moved[frame + 1 :] > 0).all()
    bidirectional = make(Wav2Vec2Encoder, front_end(dim=16, normalize=False))
    assert not bidirectional.causal
    assert (bidirectional(waveform).sequence - bidirectional(other).sequence)[0, 0].abs().max() > 0


@torch.no_grad()
def test_gru_layers_are_pytorchs_and_with_residual_add_what_has_entered():
    vectors = noise(2, 9, 32, seed=3)
    plain, residual = make(GRUEncoder, depth=3), make(GRUEncoder, depth=3, residual=True)
    assert plain.state_dict().keys() == residual.state_dict().keys()  # older checkpoints fit
    for encoder in (plain, residual):
        entering = vectors
        found = encoder.contextualize(Embedded(vectors), layers=True)
        for layer, after in zip(encoder.layers, found.layers[1:], strict=True):
            gru = torch.nn.GRU(32, 32, batch_first=True)
            gru.load_state_dict(layer.state_dict())
            entering = gru(entering)[0] + (entering if encoder.residual else 0)
            torch.testing.assert_close(after, entering, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found.sequence, entering, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_causal_convolutions_by_plain_loops():
    encoder = make(CausalConvEncoder)
    vectors = noise(2, 6, 32, seed=3)
    found = encoder.contextualize(Embedded(vectors), layers=True)
    for convolution, norm, before, after in zip(
        encoder.convolutions, encoder.norms, found.layers[:-1], found.layers[1:], strict=True
    ):
        (kernel,) = convolution.kernel_size
        for row in range(2):
            for n in range(6):
                total = convolution.bias.clone()
                for k in range(kernel):
                    past = n - kernel + 1 + k
                    if past >= 0:
                        total += convolution.weight[:, :, k] @ before[row, past]
                by_hand = (before[row, n] + F.layer_norm(total, (32,), norm.weight, norm.bias).relu()) / math.sqrt(2)
                torch.testing.assert_close(after[row, n], by_hand, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_layers_begin_with_what_enters_the_first_and_end_with_the_last(encoder):
    embedded = encoder.embed(noise(4, 6000), MASK)
    vectors, mask = embedded.vectors, embedded.mask
    found = encoder.contextualize(embedded, layers=True)
    assert len(found.layers) == encoder.num_layers
    assert all(layer.shape == (4, 18, 32) for layer in found.layers)
    if isinstance(encoder, Wav2Vec2Encoder):
        zeroed = vectors * mask[..., None]
        entering = zeroed + encoder.trunk.pos_conv_embed(zeroed)
        torch.testing.assert_close(found.layers[0], entering)
        torch.testing.assert_close(encoder.trunk.layer_norm(found.layers[-1]), found.sequence)
    else:
        assert torch.equal(found.layers[0], vectors) and torch.equal(found.layers[-1], found.sequence)


@torch.no_grad()
def test_pooled_is_the_mean_over_real_frames(encoder):
    encoded = encoder(noise(4, 6000), MASK)
    assert encoded.mask.sum(1).tolist() == [18, 7, 1, 13]  # (samples - 400) // 320 + 1, or 1
    for row, frames in enumerate((18, 7, 1, 13)):
        by_hand = sum(encoded.sequence[row, n] for n in range(frames)) / frames
        torch.testing.assert_close(encoded.pooled[row], by_hand, atol=1e-5, rtol=1e-5)


def test_attention_gets_a_mask_only_where_something_is_padded(monkeypatch):
    encoder, masks = make(Wav2Vec2Encoder), []
    attend = F.scaled_dot_product_attention

    def spy(*args, **named):
        masks.append(named["attn_mask"])
        assert not named["is_causal"]
        return attend(*args, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    encoder(noise(4, 6000))
    assert masks == [None] * 3
    masks.clear()
    encoder(noise(4, 6000), MASK)
    assert [(mask.shape, mask.dtype) for mask in masks] == [((4, 1, 1, 18), torch.bool)] * 3


def test_what_a_method_puts_into_padding_stays_there(encoder):
    """A mask embedding, or worse, behind a recording's end."""
    embedded = encoder.embed(noise(4, 6000), MASK)
    mask = embedded.mask
    spoilt = embedded._replace(vectors=embedded.vectors.masked_fill(~mask[..., None], 1e3))
    found, clean = encoder.contextualize(spoilt), encoder.contextualize(embedded)
    torch.testing.assert_close(found.sequence[mask], clean.sequence[mask], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.pooled, clean.pooled, atol=1e-5, rtol=1e-4)


def test_dropout_is_off_where_it_is_set_to_zero_and_on_elsewhere():
    waveforms = noise(2, 4000)
    still = make(Wav2Vec2Encoder, dropout=0.0, attention_dropout=0.0).train()
    assert torch.equal(still(waveforms).sequence, still(waveforms).sequence)
    for rates in ({"dropout": 0.5}, {"attention_dropout": 0.5}, {"activation_dropout": 0.5}):
        lively = make(Wav2Vec2Encoder, **{"dropout": 0.0, "attention_dropout": 0.0, **rates}).train()
        assert not torch.equal(lively(waveforms).sequence, lively(waveforms).sequence)
        lively.eval()
        assert torch.equal(lively(waveforms).sequence, still.eval()(waveforms).sequence)


@torch.no_grad()
def test_a_deep_copy_is_independent(encoder):
    copy, waveforms = deepcopy(encoder), noise(2, 4000)
    before = encoder(waveforms).pooled
    assert torch.equal(copy(waveforms).pooled, before)
    for parameter in copy.parameters():
        parameter.zero_()
    assert torch.equal(encoder(waveforms).pooled, before)


@pytest.mark.parametrize("kind", [Wav2Vec2Encoder, CausalConvEncoder])
def test_nothing_in_it_waits_for_the_device(kind):
    """On the meta device there are shapes and no values, so that whatever asks for a value fails."""
    on_meta = make(kind).to("meta")
    for mask in (None, MASK.to("meta")):
        assert on_meta(torch.empty(4, 6000, device="meta"), mask).pooled.shape == (4, 32)
