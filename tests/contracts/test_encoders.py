"""What every encoder owes every method. Encoders are found by walking subclasses: a new one is held to it unasked."""

import inspect
import re

import pytest
import torch

import ssl_zoo.encoders
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.encoders.requirements import require_contents, require_droppable, require_maskable
from ssl_zoo.errors import InputError
from ssl_zoo.optim import Optimizer, depths_from_top, parameter_groups
from tests.contracts.found import concrete
from tests.made import vocabulary

VOCABULARY = vocabulary(40)

# What data gives an encoder; the rest is for each to say, with `tiny`.
SPELLING = [None] * 5 + [f"word{token}" for token in range(5, 40)]
SIZES = {"vocabulary": VOCABULARY, "spelling": SPELLING, "channels": 3, "image_size": 16}
BATCH = 6
ENCODERS: list[type[Encoder]] = concrete(Encoder, ssl_zoo.encoders)


def make(encoder: type[Encoder], seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    asked_for = inspect.signature(encoder).parameters
    return encoder(**encoder.tiny(), **{name: size for name, size in SIZES.items() if name in asked_for}).eval()


def inputs(encoder: Encoder) -> tuple[torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    if encoder.modality == "text":
        lengths = torch.tensor([20, 9, 14, 20, 3, 12])
        ids = torch.randint(5, 40, (BATCH, 20), generator=generator)
        ids[:, 0] = VOCABULARY["begin"]
        ids[torch.arange(BATCH), lengths - 1] = VOCABULARY["end"]
        mask = torch.arange(20) < lengths[:, None]
        return ids.masked_fill(~mask, VOCABULARY["pad"]), mask
    if encoder.modality == "audio":
        lengths = torch.tensor([6000, 3000, 900, 6000, 150, 4211])  # one is shorter than any window
        mask = torch.arange(6000) < lengths[:, None]
        return torch.randn(BATCH, 6000, generator=generator).mul(0.1) * mask, mask
    assert encoder.modality == "image", "say what this modality's inputs and padding look like"
    return torch.rand(BATCH, 3, 16, 16, generator=generator), None


@pytest.fixture(params=ENCODERS, ids=lambda encoder: encoder.__name__)
def encoder(request) -> Encoder:
    return make(request.param)


def test_forward_is_contextualize_of_embed_and_declares_its_shapes(encoder):
    data, mask = inputs(encoder)
    embedded = encoder.embed(data, mask)
    whole, parts = encoder(data, mask, layers=True), encoder.contextualize(embedded, layers=True)
    assert isinstance(embedded, Embedded) and isinstance(whole, Encoded)
    assert torch.equal(whole.sequence, parts.sequence) and torch.equal(whole.pooled, parts.pooled)
    assert whole.pooled.shape == (BATCH, encoder.dim)
    assert whole.sequence.shape[::2] == (BATCH, encoder.dim)
    if encoder.maskable:
        assert whole.sequence.shape[1] == embedded.vectors.shape[1]
        assert {layer.shape[:2] for layer in whole.layers} == {(BATCH, encoder.prefix + whole.sequence.shape[1])}
    assert (whole.prefix is None) == (encoder.prefix == 0)
    assert whole.prefix is None or whole.prefix.shape == (BATCH, encoder.prefix, encoder.dim)
    assert len(whole.layers) == encoder.num_layers
    assert encoder(data, mask).layers == ()
    assert encoder.stride >= 1


def test_it_says_how_many_numbers_stand_at_a_raw_input_as_it_was_built(encoder):
    data, _ = inputs(encoder)
    assert encoder.channels == (data.shape[1] if encoder.modality == "image" else 1)
    if "channels" in inspect.signature(type(encoder)).parameters:
        assert type(encoder)(**type(encoder).tiny() | {"channels": 2}).channels == 2


def test_the_order_of_a_batch_never_matters(encoder):
    data, mask = inputs(encoder)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = encoder(data[order], None if mask is None else mask[order])
    torch.testing.assert_close(shuffled.pooled, encoder(data, mask).pooled[order], atol=1e-5, rtol=1e-4)


def test_an_example_is_encoded_alike_alone_and_in_company(encoder):
    data, mask = inputs(encoder)
    alone = encoder(data[2:3], None if mask is None else mask[2:3])
    torch.testing.assert_close(alone.pooled[0], encoder(data, mask).pooled[2], atol=1e-5, rtol=1e-4)


def test_padding_of_any_length_and_content_changes_no_real_vector(encoder):
    data, mask = inputs(encoder)
    if mask is None:
        pytest.skip("inputs of this modality are never padded")
    encoded = encoder(data, mask)
    generator, length = torch.Generator().manual_seed(2), data.shape[1]
    longer = torch.randint(0, 40, (BATCH, length + length // 3), generator=generator).to(data.dtype)
    longer_mask = torch.nn.functional.pad(mask, (0, length // 3))
    longer[longer_mask] = data[mask]
    padded = encoder(longer, longer_mask)
    real, vectors = encoded.mask, encoded.sequence.shape[1]
    assert torch.equal(padded.mask[:, :vectors], real) and not padded.mask[:, vectors:].any()
    torch.testing.assert_close(padded.pooled, encoded.pooled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(padded.sequence[:, :vectors][real], encoded.sequence[real], atol=1e-5, rtol=1e-4)
    for row in range(BATCH):
        alone = encoder(data[row : row + 1, mask[row]], None)
        torch.testing.assert_close(alone.pooled[0], encoded.pooled[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.sequence[0], encoded.sequence[row][real[row]], atol=1e-5, rtol=1e-4)


def test_different_inputs_get_different_vectors_and_gradients_reach_every_parameter(encoder):
    data, mask = inputs(encoder)
    pooled = encoder.train()(data, mask).pooled
    assert (pooled[0] - pooled[1]).abs().max() > 1e-4
    (pooled * torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_it_runs_under_bfloat16_autocast_close_to_float32(encoder):
    data, mask = inputs(encoder)
    with torch.autocast("cpu", torch.bfloat16):
        low = encoder(data, mask).pooled
    exact = encoder(data, mask).pooled
    assert torch.cosine_similarity(low.float(), exact).min() > 0.99


def test_images_of_bytes_and_in_the_unit_range_are_the_same(encoder):
    if encoder.modality != "image":
        pytest.skip("only images come as bytes")
    levels = (255 * inputs(encoder)[0]).to(torch.uint8)
    assert torch.equal(encoder.embed(levels).vectors, encoder.embed(levels.float() / 255).vectors)
    assert torch.equal(encoder(levels).pooled, encoder(levels.float() / 255).pooled)


def test_weights_come_back_from_a_state_dict(encoder):
    data, mask = inputs(encoder)
    other = make(type(encoder), seed=5)
    assert not torch.equal(other(data, mask).pooled, encoder(data, mask).pooled)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(data, mask).pooled, encoder(data, mask).pooled)


def uneven(encoder: Encoder) -> Encoder:
    """With weights so large that vectors depend on their context and on their position."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return encoder


def real_places(mask: torch.Tensor | None, vectors: torch.Tensor) -> torch.Tensor:
    return torch.ones(vectors.shape[:2], dtype=torch.bool) if mask is None else mask > 0


@torch.no_grad()
def test_the_same_mask_vector_at_two_places_leaves_as_two_different_vectors(encoder):
    if not encoder.maskable:
        pytest.skip("its vectors are not replaced")
    data, mask = inputs(encoder)
    embedded = uneven(encoder).embed(data, mask)
    real = real_places(embedded.mask, embedded.vectors)
    row = int(real.sum(1).argmax())
    first, second = 2, int(real[row].sum()) // 2
    vectors = embedded.vectors.clone()
    vectors[row, first] = vectors[row, second] = torch.randn(
        vectors.shape[2], generator=torch.Generator().manual_seed(3)
    )
    hidden = encoder.contextualize(embedded._replace(vectors=vectors))
    difference = (hidden.sequence[row, first] - hidden.sequence[row, second]).norm()
    assert difference > 0.01 * hidden.sequence[row, first].norm()


@torch.no_grad()
@pytest.mark.parametrize("padded", [False, True])
def test_leaving_places_out_equals_hiding_them_from_attention(encoder, padded):
    if not encoder.droppable:
        pytest.skip("it needs all places")
    data, mask = inputs(encoder)
    if padded and mask is None:
        pytest.skip("inputs of this modality are never padded")
    if not padded:  # the longest examples alone
        rows = torch.ones(BATCH, dtype=torch.bool) if mask is None else mask.all(1)
        data, mask = data[rows], None
    embedded = uneven(encoder).embed(data, mask)
    real = real_places(embedded.mask, embedded.vectors)
    # Half of the real places of every example, filled up with others where it has fewer than the longest.
    generator = torch.Generator().manual_seed(4)
    ranks = torch.rand(real.shape, generator=generator).masked_fill(~real, 2).argsort(1).argsort(1)
    kept = (ranks < (real.sum(1, keepdim=True) + 1) // 2) & real
    most = int(kept.sum(1).max())
    places = (~kept).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
    taken = kept.gather(1, places)
    # Where a text's mask is bool, its padding is on the right and a causal model sees none of it anyway.
    hiding = kept.long() if encoder.modality == "text" else kept
    fewer = encoder.contextualize(embedded.at(places, taken if padded else None), places=places, layers=True)
    hidden = encoder.contextualize(embedded._replace(mask=hiding), layers=True)
    assert torch.equal(real_places(fewer.mask, fewer.sequence), taken)
    torch.testing.assert_close(fewer.sequence[taken], hidden.sequence[kept], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fewer.pooled, hidden.pooled, atol=1e-4, rtol=1e-4)
    for one, other in zip(fewer.layers, hidden.layers, strict=True):
        torch.testing.assert_close(
            one[:, encoder.prefix :][taken], other[:, encoder.prefix :][kept], atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(one[:, : encoder.prefix], other[:, : encoder.prefix], atol=1e-4, rtol=1e-4)
    # Hiding matters: what was hidden had been seen.
    whole = encoder.contextualize(embedded).sequence
    assert (whole[kept] - hidden.sequence[kept]).abs().max() > 1e-2


def test_the_halves_of_a_two_way_encoder_see_one_side_each(encoder):
    if not encoder.two_way:
        pytest.skip("its vectors have no such halves")
    data, mask = inputs(encoder)
    embedded = uneven(encoder).embed(data, mask)
    vectors = embedded.vectors.detach().requires_grad_()
    sequence = encoder.contextualize(embedded._replace(vectors=vectors)).sequence
    ahead, back = sequence[0, 7].chunk(2)
    for half, unseen, seen in ((ahead, slice(8, None), slice(0, 8)), (back, slice(0, 7), slice(7, None))):
        (gradient,) = torch.autograd.grad(half.sum(), vectors, retain_graph=True)
        assert (gradient[0, unseen] == 0).all() and (gradient[0, seen] != 0).any(1).all()


def test_the_halves_of_an_encoder_that_has_some_see_one_part_of_a_raw_input_each(encoder):
    if not encoder.halves:
        pytest.skip("its vectors have no such halves")
    embedded = encoder.embed(*inputs(encoder))
    vectors = embedded.vectors.detach().requires_grad_()
    encoded = encoder.contextualize(embedded._replace(vectors=vectors), layers=True)
    parts = []
    for state in (encoded.pooled, encoded.sequence, *encoded.layers):
        for half in state.chunk(2, -1):
            (gradient,) = torch.autograd.grad(half.square().sum(), vectors, retain_graph=True)
            parts.append((gradient != 0).flatten(0, 1).any(0).tolist())
    assert parts == [parts[0], [not seen for seen in parts[0]]] * (len(parts) // 2)
    assert 0 < sum(parts[0]) < vectors.shape[2]


@torch.no_grad()
def test_all_places_in_order_are_no_places(encoder):
    data, mask = inputs(encoder)
    embedded = encoder.embed(data, mask)
    every = torch.arange(embedded.vectors.shape[1]).expand(BATCH, -1)
    if not encoder.droppable:
        with pytest.raises(InputError, match=rf"^{type(encoder).__name__} needs the vectors of all places, [^.]*\.$"):
            encoder.contextualize(embedded, places=every)
        return
    found = encoder.contextualize(embedded.at(every), places=every)
    torch.testing.assert_close(found.sequence, encoder(data, mask).sequence, atol=1e-5, rtol=1e-4)


def cut_out(encoder: Encoder, data: torch.Tensor, mask: torch.Tensor | None, row: int, place: int) -> torch.Tensor:
    """What is at a place, from the raw input by itself."""
    if encoder.modality == "image":
        line, column = divmod(place, encoder.grid(data)[1])
        side = encoder.stride
        return data[row, :, line * side : (line + 1) * side, column * side : (column + 1) * side].flatten()
    wave = data[row] if mask is None else data[row, mask[row]]
    wave = torch.nn.functional.pad((wave - wave.mean()) / (wave.var(correction=0) + 1e-7).sqrt(), (0, 20_000))
    if (plane := encoder.grid(data)) is not None:
        (time, column), frames = divmod(place, plane[1]), encoder.stride // 160
        bands = encoder.content_dim // frames
        piece = wave[time * encoder.stride :][: 400 + (frames - 1) * 160]
        patch = log_mel(piece[None], normalize=False, mels=bands * plane[1])[0][0]
        return patch[:, column * bands : (column + 1) * bands].flatten()
    # As many frames of 25 ms, every 10 ms, as the stride is long, about the middle of what the place sees.
    frames = max(1, round(encoder.stride / 160))
    middle = encoder.offset + place * encoder.stride
    first = max(place * encoder.stride, middle - (400 + (frames - 1) * 160) // 2)
    first -= (first - place * encoder.stride) % 160
    piece = wave[first : first + 400 + (frames - 1) * 160]
    return log_mel(piece[None], normalize=False, mels=encoder.content_dim // frames)[0].flatten()


def test_contents_are_what_a_place_shows_without_gradient_whatever_the_padding_and_the_order(encoder):
    data, mask = inputs(encoder)
    if not encoder.content_dim:
        with pytest.raises(InputError, match=rf"^{type(encoder).__name__} does not say what is at its places [^.]*\.$"):
            encoder.contents(data, mask)
        with pytest.raises(InputError, match=rf"^MAE predicts [^.]* {type(encoder).__name__} has neither[^.]*\.$"):
            require_contents(encoder, "MAE")
        return
    require_contents(encoder, "MAE")
    embedded = encoder.embed(data, mask)
    whole = data.clone().requires_grad_() if data.is_floating_point() else data
    found = encoder.contents(whole, mask)
    assert found.shape == (*embedded.vectors.shape[:2], encoder.content_dim)
    assert found.dtype == torch.float32 and not found.requires_grad and found.isfinite().all()
    real = real_places(embedded.mask, found)
    for row, place in real.nonzero()[::7].tolist():
        torch.testing.assert_close(found[row, place], cut_out(encoder, data, mask, row, place), atol=1e-4, rtol=1e-4)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(encoder.contents(data[order], None if mask is None else mask[order]), found[order])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.contents(data, mask), found)
    if mask is not None:
        longer = torch.nn.functional.pad(data, (0, 2000), value=0.5).masked_fill(
            ~torch.nn.functional.pad(mask, (0, 2000)), torch.nan
        )
        padded = encoder.contents(longer, torch.nn.functional.pad(mask, (0, 2000)))[:, : found.shape[1]]
        torch.testing.assert_close(padded[real], found[real], atol=1e-5, rtol=1e-5)


def test_what_is_at_all_places_is_put_where_it_belongs_in_a_picture(encoder):
    if not encoder.content_dim:
        with pytest.raises(InputError, match=rf"^{type(encoder).__name__} does not say how pictures [^.]*\.$"):
            encoder.arrange(torch.zeros(1, 1, 1), inputs(encoder)[0])
        return
    data, mask = inputs(encoder)
    picture = encoder.arrange(encoder.contents(data, mask), data)
    if encoder.modality == "image":
        return torch.testing.assert_close(picture, data)
    places = encoder.contents(data, mask).shape[1]
    assert picture.shape == (BATCH, 1, 80, places * encoder.content_dim // 80)
    # One tone: a bright line at one height, the higher the tone the higher up.
    tones = torch.stack([(torch.arange(6000) * hertz / 16000 * 6.2832).sin() for hertz in (300, 3000)])
    lines = encoder.arrange(encoder.contents(tones), tones).mean((1, 3)).argmax(1)
    assert lines[1] < 30 < lines[0]


@torch.no_grad()
def test_there_is_one_vector_per_time_for_what_is_asked_of_a_time(encoder):
    data, mask = inputs(encoder)
    encoded = encoder(data, mask, layers=True)
    found, plane = encoder.by_time(encoded), encoder.grid(data)
    if plane is None or encoder.modality == "image":
        assert found is encoded
        return
    assert found.sequence.shape == (BATCH, plane[0], encoder.time_dim) and len(found.layers) == encoder.num_layers
    assert {layer.shape for layer in found.layers} == {(BATCH, encoder.prefix + plane[0], encoder.time_dim)}
    for row, time in (0, 0), (0, plane[0] - 1), (3, plane[0] // 2):
        expected = encoded.sequence[row, time * plane[1] : (time + 1) * plane[1]].flatten()
        torch.testing.assert_close(found.sequence[row, time], expected)
        assert found.mask[row, time] == encoded.mask[row, time * plane[1]]
    assert torch.equal(found.pooled, encoded.pooled)


def test_places_in_a_plane_are_numbered_row_by_row(encoder):
    data, mask = inputs(encoder)
    plane = encoder.grid(data)
    if not encoder.maskable:
        assert plane is None
    elif plane is not None:
        assert plane[0] * plane[1] == encoder.embed(data, mask).vectors.shape[1]
        real = encoder.embed(data, mask).mask
        if real is not None:  # whole rows are padding
            assert torch.equal(*(real.view(BATCH, *plane)[:, :, each] for each in (0, -1)))
    else:
        assert encoder.modality != "image"


def test_a_method_that_needs_more_than_an_encoder_promises_is_refused_in_a_sentence(encoder):
    name = type(encoder).__name__
    for require, promised in ((require_maskable, encoder.maskable), (require_droppable, encoder.droppable)):
        if promised:
            require(encoder, "MAE")
        else:
            with pytest.raises(InputError, match=rf"^MAE [^.]* {name} [^.]*\.$"):
                require(encoder, "MAE")
    assert encoder.maskable or not encoder.droppable


# What libraries call vectors that stand for a place, and tokens that stand for no input.
PLACES = re.compile(r"(^|[._])(pos|position|positions|wpe|cls|class|register|prompt)([._]|$)")


def test_weight_decay_leaves_norms_biases_positions_and_class_tokens_alone(encoder):
    names = {parameter: name for name, parameter in encoder.named_parameters()}
    groups = parameter_groups(encoder, Optimizer(weight_decay=0.1))
    decayed = {names[p] for group in groups if group["weight_decay"] for p in group["params"]}
    spared = {names[p] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert decayed | spared == set(names.values()) and not decayed & spared
    assert not [name for name in decayed if PLACES.search(name)]
    norms = [module for module in encoder.modules() if "Norm" in type(module).__name__]
    assert {names[p] for norm in norms for p in norm.parameters(recurse=False)} <= spared
    matrices = [m for m in encoder.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d | torch.nn.RNNBase)]
    assert {names[p] for m in matrices for p in m.parameters() if p.ndim > 1} <= decayed


def test_a_layers_vectors_depend_on_its_parameters_and_those_of_the_layers_below_alone(encoder):
    names = {parameter: name for name, parameter in encoder.named_parameters()}
    from_top = depths_from_top(encoder)
    layers = max(from_top.values())
    assert set(from_top.values()) == set(range(1, layers + 1))  # none is without parameters
    norms = [module for module in encoder.modules() if "Norm" in type(module).__name__]
    last_norm = {parameter for norm in norms for parameter in norm.parameters()}
    assert not [names[p] for p in names.keys() - from_top.keys() - last_norm]
    encoded = encoder(*inputs(encoder), layers=True)
    reached, parameters = [], []
    for state in (*encoded.layers, encoded.sequence):
        if not state.requires_grad:  # inputs as they are
            reached.append(-1)
            parameters.append(frozenset())
            continue
        gradients = torch.autograd.grad(state.sum(), list(from_top), retain_graph=True, allow_unused=True)
        used = [number for number, gradient in zip(from_top.values(), gradients, strict=True) if gradient is not None]
        assert set(used) == set(range(min(used), layers + 1))  # from the input up, without a gap
        reached.append(layers - min(used))
        parameters.append(frozenset(n for n, gradient in enumerate(gradients) if gradient is not None))
    assert reached[-1] == layers - 1 and reached == sorted(reached)
    # Layers that share all their parameters are one.
    assert len(set(reached[:-1])) == len(set(parameters[:-1])) >= min(2, len(encoded.layers))
    assert encoder.settings["init_args"].get("shared") or len(set(reached[:-1])) == len(encoded.layers)


def test_no_parameter_is_in_two_layers(encoder):
    parts = [encoder.get_submodule(name) for names in encoder.parameter_layers() for name in names]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    assert len(parameters) == len(set(parameters)) == len(depths_from_top(encoder))


def test_the_names_of_positions_are_the_libraries_own():
    found = [name for kind in ENCODERS for name, _ in make(kind).named_parameters() if PLACES.search(name)]
    assert {"model.embeddings.cls_token", "model.embeddings.position_embeddings", "model.wpe.weight"} <= set(found)
    assert "model.embeddings.position_embeddings.weight" in found and any("pos_conv_embed" in name for name in found)


MAY_BE_NOTHING = {"seed", "global_blocks", "random_blocks"}


def test_a_size_of_a_text_encoder_below_1_is_refused_in_a_sentence(encoder):
    if encoder.modality != "text":
        pytest.skip("the others refuse theirs in words of their own")
    kind = type(encoder)
    asked_for = inspect.signature(kind).parameters
    given = {**kind.tiny(), **{name: size for name, size in SIZES.items() if name in asked_for}}
    sizes = [name for name, each in asked_for.items() if each.annotation is int and name not in MAY_BE_NOTHING]
    assert sizes
    for name in sizes:
        for size in (0, -1):
            with pytest.raises(InputError, match=rf"^{kind.__name__}: [^.]*\b{name} [^.]*{size}\b[^.]*\.$"):
                kind(**given | {name: size})


def test_its_tiny_settings_are_tiny(encoder):
    """Those of its `tiny` are what every test of a new encoder costs."""
    assert sum(parameter.numel() for parameter in encoder.parameters()) < 150_000
