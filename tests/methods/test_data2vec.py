"""data2vec on images, speech and text against an independent computation in plain loops, and what it must not do."""

import math
from functools import cache, partial

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.blocks import RandomBlocks
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.decoders.convolutional import PlaceConvolutions
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP, ViT
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.data2vec import Data2Vec
from ssl_zoo.optim import Optimizer
from ssl_zoo.randomness import fold_in
from tests.contracts.test_encoders import VOCABULARY
from tests.encoders.test_feed_forward import by_hand
from tests.made import padded_noise
from tests.two_processes import in_group

MODALITIES = ["image", "audio", "spectrogram patches", "text", "packed text"]
TINY = {"dim": 16, "depth": 3, "heads": 2}
DECODER = {"decoder_dim": 16, "decoder_depth": 2, "decoder_groups": 4}


def encoder_of(modality: str, dropout: float = 0.0) -> Encoder:
    torch.manual_seed(0)
    if modality == "image":
        return ViT(16, 4, channels=3, dropout=dropout, **TINY)
    if modality == "audio":
        front_end = WaveConvolutions(16, [10, 3, 2], [5, 2, 2], normalize=False)
        rates = {"dropout": dropout, "attention_dropout": dropout}
        return Wav2Vec2Encoder(front_end, position_kernel=8, position_groups=4, **TINY, **rates)
    if modality == "spectrogram patches":
        return AudioViT(patch_frames=4, patch_bands=20, dropout=dropout, **TINY)
    return BertEncoder(VOCABULARY, max_length=32, dropout=dropout, **TINY)


@cache
def batch_of(modality: str) -> Batch:
    generator = torch.Generator().manual_seed(1)
    if modality == "image":
        return Batch(torch.rand(3, 3, 16, 16, generator=generator), None, None, torch.arange(3))
    if modality == "audio":
        return padded_noise((900, 500, 411), 900)
    ids = torch.randint(5, 40, (3, 24), generator=generator)
    if modality == "spectrogram patches":  # a window of 880 samples every 640, in 4 bands
        return padded_noise((4100, 2500, 1600), 4100)
    if modality == "text":
        mask = torch.arange(24) < torch.tensor([24, 15, 9])[:, None]
        ids[:, 0] = 1
        return Batch(ids.masked_fill(~mask, 0), mask, None, torch.arange(3))
    documents = torch.tensor([[1] * 10 + [2] * 14, [1] * 7 + [2] * 9 + [3] * 8, [1] * 20 + [0] * 4])
    starts = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    return Batch(ids.masked_fill(starts, 1).masked_fill(documents == 0, 0), documents, None, torch.arange(3))


def make(modality: str, dropout: float = 0.0, **settings) -> Data2Vec:
    if settings.get("masks_per_target"):
        settings = DECODER | settings
    model = Data2Vec(encoder_of(modality, dropout), **settings)
    with torch.no_grad():  # a teacher that is not the student, and outputs that are far from 0
        for parameter in (*model.teacher.parameters(), *model.encoder.parameters()):
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.train()


def normalised(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return [(value - mean) / math.sqrt(variance + 1e-5) for value in values]


def companies(batch: Batch, row: int, mask: Tensor | None) -> list[list[int]]:
    """The places that are normalised together, such as those of one document."""
    if mask is None:
        return [list(range(16))]
    numbers = mask[row].long().tolist()
    return [[n for n, each in enumerate(numbers) if each == number] for number in sorted({*numbers} - {0})]


def targets_in_loops(model: Data2Vec, batch: Batch, mask: Tensor | None) -> dict[tuple[int, int], list[float]]:
    """Of every real place of every example."""
    layers = by_hand(model.teacher.module.eval(), batch.inputs, batch.mask)[0][-model.top_layers :]
    model.teacher.module.train()
    found: dict[tuple[int, int], list[float]] = {}
    for row in range(len(batch.index)):
        for places in companies(batch, row, mask):
            sums = {place: [0.0] * model.encoder.dim for place in places}
            for layer in layers:
                table = {place: layer[row, place].tolist() for place in places}
                if model.normalization == "layer":
                    table = {place: normalised(values) for place, values in table.items()}
                else:
                    columns = [normalised([table[place][d] for place in places]) for d in range(model.encoder.dim)]
                    table = {place: [column[n] for column in columns] for n, place in enumerate(places)}
                for place in places:
                    sums[place] = [a + b for a, b in zip(sums[place], table[place], strict=True)]
            means = {place: [value / len(layers) for value in values] for place, values in sums.items()}
            if model.normalization == "instance_layer":
                means = {place: normalised(values) for place, values in means.items()}
            found |= {(row, place): values for place, values in means.items()}
    return found


def distance(predicted: list[float], target: list[float], beta: float) -> float:
    differences = [abs(a - b) for a, b in zip(predicted, target, strict=True)]
    if beta == 0:
        return sum(d * d for d in differences)
    return sum(d * d / (2 * beta) if d < beta else d - beta / 2 for d in differences)


def hidden_places(model: Data2Vec, batch: Batch, embedded: Embedded, number: int = 0) -> Tensor:
    """``(B, N)``, what the mask of this number hides."""
    real = torch.ones(embedded.vectors.shape[:2], dtype=torch.bool) if embedded.mask is None else embedded.mask > 0
    keys = fold_in(model.keys(batch), number)
    hidden = model.masking(real, keys, model.encoder.grid(batch.inputs)).mask
    if model.encoder.modality == "text":
        special = torch.tensor(VOCABULARY["special"])
        hidden = hidden & ~torch.isin(batch.inputs, special)
    return hidden


def linear(vector: Tensor, part: torch.nn.Linear) -> Tensor:
    return part.weight @ vector + part.bias


@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_its_loss_equals_plain_loops(modality):
    model, batch = make(modality), batch_of(modality)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    targets, hidden = targets_in_loops(model, batch, embedded.mask), hidden_places(model, batch, embedded)
    shown = embedded.vectors.clone()
    shown[hidden] = model.mask_vector
    sequence = model.encoder.contextualize(embedded._replace(vectors=shown)).sequence
    total, places = 0.0, hidden.nonzero().tolist()
    for row, place in places:
        predicted = linear(sequence[row, place], model.head[0])
        if modality in ("text", "packed text"):
            predicted = linear(F.gelu(predicted), model.head[2])
        total += distance(predicted.tolist(), targets[row, place], model.beta)
    scale = 1.0 if "text" in modality else 1 / math.sqrt(model.encoder.dim)
    assert len(places) >= 9
    terms = model.losses(batch)
    assert float(terms["loss"]) == pytest.approx(scale * total / len(places), rel=1e-5)
    wanted = torch.tensor([targets[row, place] for row, place in places])
    assert float(terms["target_std"]) == pytest.approx(float(wanted.std(0, correction=0).mean()), rel=1e-4)


@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_with_several_masks_it_is_the_mean_over_them_the_teacher_runs_once_and_only_what_is_visible_is_encoded(
    modality, monkeypatch
):
    masks = 3
    model, batch = make(modality, masks_per_target=masks), batch_of(modality)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    targets = targets_in_loops(model, batch, embedded.mask)
    places, grid = embedded.vectors.shape[1], model.encoder.grid(batch.inputs)
    real = torch.ones(3, places, dtype=torch.bool) if embedded.mask is None else embedded.mask > 0
    totals, counts, different = [0.0] * masks, [0] * masks, set()
    for number in range(masks):
        hidden = hidden_places(model, batch, embedded, number)
        different.add(tuple(hidden.flatten().tolist()))
        for row in range(3):
            seen = (real[row] & ~hidden[row]).nonzero()[:, 0]
            alone = Embedded(
                embedded.vectors[row : row + 1, seen],
                None if embedded.mask is None else embedded.mask[row : row + 1, seen],
                {k: v[row : row + 1] if isinstance(v, Tensor) else v for k, v in embedded.hints.items()},
            )
            encoded = model.encoder.contextualize(alone, places=seen[None])
            mask = None if embedded.mask is None else embedded.mask[row : row + 1]
            made = model.decoder(encoded, seen[None], None, mask, places, grid)[0]
            for place in hidden[row].nonzero()[:, 0].tolist():
                totals[number] += distance(made[place].tolist(), targets[row, place], model.beta)
                counts[number] += 1
    assert len(different) == masks
    passes, shapes = [], []
    teach, contextualize = model.teacher.forward, model.encoder.contextualize
    monkeypatch.setattr(model.teacher, "forward", lambda *given: passes.append(1) or teach(*given))
    monkeypatch.setattr(
        model.encoder,
        "contextualize",
        lambda given, **named: shapes.append(given.vectors.shape) or contextualize(given, **named),
    )
    scale = 1.0 if "text" in modality else 1 / math.sqrt(model.encoder.dim)
    found = float(model.losses(batch)["loss"])
    assert found == pytest.approx(scale * sum(totals) / sum(counts), rel=1e-5)
    if len(set(counts)) == 1:
        means = [total / count for total, count in zip(totals, counts, strict=True)]
        assert found == pytest.approx(scale * sum(means) / masks, rel=1e-5)
    assert passes == [1] and len(shapes) == 1
    assert shapes[0][0] == 3 * masks and shapes[0][1] < places
    if modality == "image":  # equally many everywhere, and nothing is padded
        assert shapes[0][1] == 3 and len(set(counts)) == 1


@pytest.mark.parametrize("masks", [None, 2])
@pytest.mark.parametrize("modality", MODALITIES)
def test_nothing_that_is_hidden_reaches_the_prediction_and_what_is_visible_does(modality, masks):
    model, batch = make(modality, masks_per_target=masks), batch_of(modality)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    vectors = embedded.vectors.detach().requires_grad_()
    hidden, predicted = model.predict(batch, embedded._replace(vectors=vectors))
    first = hidden.valid.clone()
    first[3:] = False  # of the first mask alone: another mask shows what it hides
    predicted[first].square().sum().backward()
    mask, reached = hidden.mask[:3], vectors.grad.abs().sum(2)
    real = torch.ones_like(mask) if embedded.mask is None else embedded.mask > 0
    assert mask.any(1).all() and not reached[mask].any() and not reached[~real].any()
    # In packed rows a document without hidden places is asked for nothing.
    assert (reached[real & ~mask] > 0).float().mean() > (0.5 if modality == "packed text" else 0.99)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_teacher_has_no_dropout_and_no_gradient_and_shares_what_the_paper_shares(modality):
    model, batch = make(modality, dropout=0.5), batch_of(modality)
    mask = model.encoder.embed(batch.inputs, batch.mask).mask
    first, second = (model.targets(batch, mask) for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad and model.teacher.module.training
    model.losses(batch)["loss"].backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.teacher.parameters())
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    before = {name: value.clone() for name, value in model.teacher.module.named_parameters()}
    model.after_step()
    inputs = {p for name in model.encoder.parameter_layers()[0] for p in parameters(model.encoder, name)}
    momentum = model.teacher.momentum(1.0)
    for (name, mine), student in zip(model.teacher.module.named_parameters(), model.encoder.parameters(), strict=True):
        shared = student in inputs and modality != "image"
        expected = student if shared else momentum * before[name] + (1 - momentum) * student
        torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-5)


def parameters(encoder: Encoder, name: str) -> list[Tensor]:
    found = encoder
    for part in name.split("."):
        found = getattr(found, part)
    return [found] if isinstance(found, Tensor) else list(found.parameters())


@pytest.mark.parametrize("masks", [None, 2])
@pytest.mark.parametrize("modality", MODALITIES[1:])
@torch.no_grad()
def test_padding_is_in_no_statistic_and_its_length_and_content_change_nothing(modality, masks):
    model, batch = make(modality, masks_per_target=masks), batch_of(modality)
    terms = model.losses(batch)
    more = batch.inputs.shape[1] // 4
    longer = torch.randint(5, 40, (3, batch.inputs.shape[1] + more)).to(batch.inputs.dtype)
    mask = F.pad(batch.mask, (0, more))
    longer[mask > 0] = batch.inputs[batch.mask > 0]
    padded = model.losses(batch._replace(inputs=longer, mask=mask))
    for name, value in terms.items():
        torch.testing.assert_close(padded[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("masks", [None, 2])
@pytest.mark.parametrize("modality", MODALITIES)
@torch.no_grad()
def test_the_order_of_a_batch_changes_nothing(modality, masks):
    model, batch = make(modality, masks_per_target=masks), batch_of(modality)
    order = torch.tensor([2, 0, 1])
    other = Batch(*(None if each is None else each[order] for each in batch[:4]))
    for name, value in model.losses(batch).items():
        torch.testing.assert_close(model.losses(other)[name], value, atol=1e-5, rtol=1e-4)


def step(masks: int | None, share: slice) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Terms and gradients on some of the examples, of which the last ones have far fewer frames."""
    model = make("audio", masks_per_target=masks)
    batch = padded_noise((900, 700, 150, 90), 900)
    terms = model.losses(Batch(*(None if each is None else each[share] for each in batch[:4])))
    terms["loss"].backward()
    return {name: value.detach() for name, value in terms.items()}, [
        p.grad for p in model.parameters() if p.grad is not None
    ]


def step_of_this_rank(masks: int | None) -> tuple[dict[str, Tensor], list[Tensor]]:
    terms, gradients = step(masks, slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2))
    for gradient in gradients:
        dist.all_reduce(gradient)
        gradient /= 2
    dist.all_reduce(terms["loss"])
    terms["loss"] /= 2
    return terms, gradients


@pytest.mark.parametrize("masks", [None, 2])
def test_two_processes_with_unequal_lengths_compute_what_one_does(two_processes, masks):
    terms, gradients = step(masks, slice(None))
    for rank_terms, rank_gradients in two_processes(in_group, partial(step_of_this_rank, masks)):
        for name, value in terms.items():
            torch.testing.assert_close(rank_terms[name], value, atol=1e-5, rtol=1e-4)
        for one, other in zip(gradients, rank_gradients, strict=True):
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-3)


def test_left_out_settings_are_those_of_the_papers_for_the_modality():
    first = {name: Data2Vec(encoder_of(name)) for name in ("image", "audio", "text")}
    assert [type(first[name].masking) for name in first] == [RandomBlocks, RandomSpans, RandomSpans]
    assert [first[name].masking.mask_ratio for name in first] == [0.6, 0.65, 0.35]
    assert [first[name].masking.length for name in ("audio", "text")] == [10, 4]
    assert [model.normalization for model in first.values()] == ["layer", "instance", "layer"]
    assert [model.beta for model in first.values()] == [2, 0, 4]
    assert [model.teacher.momentum(0.0) for model in first.values()] == [0.9998, 0.999, 0.999]
    assert [model.teacher.momentum(1.0) for model in first.values()] == [0.9998, 0.9999, 0.9999]
    for depth, layers in ((12, {"image": 6, "audio": 8, "text": 10}), (1, {"image": 1, "audio": 1, "text": 1})):
        sizes = {"dim": 8, "depth": depth, "heads": 2}
        kinds = {
            "image": ViT(8, 4, **sizes),
            "audio": Wav2Vec2Encoder(LogMel(dim=8), position_groups=2, **sizes),
            "text": BertEncoder(VOCABULARY, **sizes),
        }
        assert {name: Data2Vec(kind).top_layers for name, kind in kinds.items()} == layers
    second = {name: Data2Vec(encoder_of(name), masks_per_target=2) for name in ("image", "audio", "text")}
    assert [type(second[name].masking) for name in second] == [RandomBlocks, RandomSpans, RandomPlaces]
    assert [model.normalization for model in second.values()] == ["instance_layer", "instance", "instance"]
    assert [model.top_layers for model in second.values()] == [3, 2, 3]
    assert {model.beta for model in second.values()} == {0}


def test_no_token_is_replaced_by_another_and_tokens_that_stand_for_no_text_stay():
    model, batch = make("packed text"), batch_of("packed text")
    special = torch.isin(batch.inputs, torch.tensor(VOCABULARY["special"]))
    ever = torch.zeros_like(special)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    for index in range(100):
        hidden, _ = model.predict(batch._replace(index=3 * index + torch.arange(3)), embedded)
        ever |= hidden.mask
    assert torch.equal(ever, ~special)  # to the row's end


def test_collapse_is_seen_in_targets_predictions_and_the_front_end():
    model, batch = make("audio"), batch_of("audio")
    alarms = {alarm.metric: alarm for alarm in model.alarms(3)}

    def sounding() -> set[str]:
        known = {f"train/{name}": float(value.detach()) for name, value in model.losses(batch).items()}
        sounding = {name for name, alarm in alarms.items() if alarm.sounds(known)}
        assert all("collapsed" in alarms[name].sentence.format_map(known) for name in sounding)
        return sounding

    assert sounding() == set()
    with torch.no_grad():
        model.head[0].weight.zero_()
    assert sounding() == {"train/prediction_std"}
    with torch.no_grad():  # the published code's targets and predictions still differ, by position alone
        model.head[0].weight.normal_()
        for network in (model.encoder, model.teacher.module):
            network.projection.weight.zero_()
    assert sounding() == {"train/input_std"}
    with torch.no_grad():
        for layer in model.teacher.module.feed_forwards():
            layer.output_dense.weight.zero_()
    assert "train/target_std" in sounding()


class Shuffled(Data2Vec):
    """A slip: predictions are compared with another example's targets."""

    def targets(self, batch: Batch, mask: Tensor | None) -> Tensor:
        return super().targets(batch, mask).roll(1, 0)


def planes(count: int, seed: int) -> Batch:
    """Grey images that rise steadily in some direction: what is visible of one gives all that is hidden."""
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.rand(2, count, 1, 1, generator=generator) - 0.5
    row, column = torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    images = (0.5 + 0.5 * (slopes[0] * row + slopes[1] * column))[:, None]
    return Batch(images, None, None, seed * 1000 + torch.arange(count))


def explained(kind: type[Data2Vec], **settings) -> float:
    """After a short training, the part of the variance of new images' targets that is predicted."""
    torch.manual_seed(0)
    encoder = ViT(16, 4, dim=16, depth=2, heads=2, channels=1, positions="sincos")
    model = kind(encoder, momentum=(0.99, 0.99), **settings).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for number in range(100):
        optimizer.zero_grad()
        model.losses(planes(32, number))["loss"].backward()
        optimizer.step()
        model.after_step()
    with torch.no_grad():
        test = planes(128, 1000)
        hidden, predicted = model.predict(test, model.encoder.embed(test.inputs))
        wanted = Data2Vec.targets(model, test, None).repeat(model.masks, 1, 1)
        error = (predicted - hidden.at(wanted))[hidden.valid].square().sum(0)
        # What stands at a place in all images says nothing of one of them.
        usual = (wanted - wanted.mean(0))[hidden.mask].square().sum(0)
    return float(1 - error.sum() / usual.sum())


@pytest.mark.parametrize("settings", [{}, {"masks_per_target": 2, **DECODER}], ids=["data2vec", "data2vec 2.0"])
def test_it_predicts_what_an_image_has_and_others_have_not(settings):
    assert explained(Data2Vec, **settings) > 0.5
    assert explained(Shuffled, **settings) < 0.1


def test_what_cannot_be_predicted_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"^Data2Vec predicts hidden places from both sides, and GPT2Encoder [^.]*\.$"):
        Data2Vec(GPT2Encoder(VOCABULARY, dim=8, depth=1, heads=1))
    with pytest.raises(InputError, match=r"^Data2Vec replaces patches, [^.]*MLP[^.]*\.$"):
        Data2Vec(MLP(image_size=8))
    for settings, sentence in (
        ({"top_layers": 1.1}, "top_layers is 1.1"),
        ({"top_layers": math.nan}, "top_layers is nan"),
        ({"top_layers": math.inf}, "top_layers is inf"),
        ({"top_layers": 0.0}, "top_layers"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"momentum": (0.9, 1.1)}, "momentum is 1.1"),
        ({"masks_per_target": 0}, "masks_per_target is 0"),
        ({"masks_per_target": 2, "decoder_groups": 3}, "a kernel of 3 and 3 groups of 16"),
    ):
        with pytest.raises(InputError, match=sentence):
            Data2Vec(encoder_of("image"), **settings)
    silent = encoder_of("text")
    silent.parameter_layers = list  # as in an encoder of one's own that does not say
    with pytest.raises(
        InputError, match=r"^Data2Vec's teacher shares [^.]*BertEncoder[^.]*set shared_inputs to false\.$"
    ):
        Data2Vec(silent)
    Data2Vec(silent, shared_inputs=False)
    assert Data2Vec(encoder_of("image"), optimizer=Optimizer(learning_rate=0.1)).optimizer.learning_rate == 0.1


@torch.no_grad()
@pytest.mark.parametrize("plane", [False, True])
def test_the_decoder_is_convolutions_norms_and_shortcuts_of_what_is_there(plane):
    torch.manual_seed(0)
    decoder, grid = PlaceConvolutions(6, 5, plane, dim=6, depth=2, kernel=3, groups=2), (2, 4) if plane else None
    visible = torch.tensor([[0, 2, 7], [1, 3, 4]])
    real = torch.tensor([[True, True, True], [True, True, False]])
    mask = torch.ones(2, 8, dtype=torch.bool)
    if not plane:
        mask[1, 6:] = False
    sequence = torch.randn(2, 3, 6)
    made = decoder(Encoded(sequence, sequence[:, 0], None), visible, real, mask, 8, grid)
    for row in range(2):
        vectors = decoder.mask_vector.expand(8, 6).clone()
        for slot in range(3):
            if real[row, slot]:
                vectors[visible[row, slot]] = sequence[row, slot]
        for convolution in decoder.convolutions:
            vectors = vectors * mask[row, :, None]
            maps = vectors.T.view(1, 6, 2, 4) if plane else vectors.T[None]
            function = F.conv2d if plane else F.conv1d
            maps = function(maps, convolution.weight, convolution.bias, padding=1, groups=2).reshape(6, 8).T
            centred = maps - maps.mean(1, keepdim=True)
            maps = F.gelu(centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt())
            vectors = maps + vectors
        expected = vectors @ decoder.leave.weight.T + decoder.leave.bias
        torch.testing.assert_close(made[row][mask[row]], expected[mask[row]], atol=1e-5, rtol=1e-5)
