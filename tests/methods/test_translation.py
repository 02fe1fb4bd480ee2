import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.recurrent import RecurrentDecoder
from ssl_zoo.decoders.tokens import TokenDecoder
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.encoders.text_recurrent import GRUTextEncoder
from ssl_zoo.encoders.text_transformer import TransformerTextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.translation import Translation
from tests.decoders.test_tokens import reference as decoder_reference
from tests.encoders.test_text_transformer import reference as encoder_reference
from tests.made import vocabulary

SIZE, DIM, LONGEST = 21, 16, 9
VOCABULARY = vocabulary(SIZE)
PAD, BEGIN, END = (VOCABULARY[role] for role in ("pad", "begin", "end"))


def grus(depth: int, directions: str) -> GRUTextEncoder:
    return GRUTextEncoder(VOCABULARY, DIM, depth, directions, 0.0)


KINDS = {
    "none": (lambda: grus(1, "backward"), lambda: RecurrentDecoder(DIM, 1, "none", 0.0)),
    "additive": (lambda: grus(1, "both"), lambda: RecurrentDecoder(DIM, 2, "additive", 0.0)),
    "general": (lambda: grus(2, "both"), lambda: RecurrentDecoder(DIM, 1, "general", 0.0)),
    "transformer": (
        lambda: TransformerTextEncoder(VOCABULARY, DIM, 2, 2, 16, 0.0),
        lambda: TokenDecoder(DIM, 2, 2, 16, 0.0, original=True),
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind: str, **settings) -> Translation:
    torch.manual_seed(0)
    encoder, decoder = KINDS[kind]
    return Translation(encoder(), decoder(), **{"max_new_tokens": 12, **settings})


def uneven(model: Translation) -> Translation:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def pairs(rows: int = 6, seed: int = 0, least: int = 1, most: int = LONGEST, longer: int = 0) -> Batch:
    """Random texts, whose translation is the text from its end to its beginning."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(least, most + 1, (rows,), generator=draw).tolist()
    sides = [torch.full((rows, most + 2 + longer), PAD) for _ in range(2)]
    for row, length in enumerate(lengths):
        words = torch.randint(5, SIZE, (length,), generator=draw).tolist()
        for side, text in zip(sides, (words, words[::-1]), strict=True):
            side[row, : length + 2] = torch.tensor([BEGIN, *text, END])
    mask = torch.arange(most + 2 + longer) < torch.tensor(lengths)[:, None] + 2
    fields = {"target": sides[1], "target_mask": mask}
    return Batch(sides[0], mask, None, torch.arange(rows) + seed * rows, fields)


@torch.no_grad()
def by_loops(model: Translation, batch: Batch) -> dict[str, float]:
    """Pair by pair without padding, with label smoothing written out."""
    total, nats, right, count = 0.0, 0.0, 0, 0
    for row in range(len(batch.inputs)):
        source = batch.inputs[row][batch.mask[row]][None]
        target = batch.fields["target"][row][batch.fields["target_mask"][row]]
        encoded = model.encoder(source)
        read = model.table[target[:-1]][None]
        found = model.decoder(read, model.bridge(encoded.sequence), None, summary=model.bridge(encoded.pooled))[0]
        for vector, wanted in zip(found, target[1:].tolist(), strict=True):
            logits = torch.stack([vector @ each for each in model.table]) + model.bias
            log_p = logits - logits.exp().sum().log()
            smoothing = model.label_smoothing
            total -= float(sum((((1 - smoothing) * (k == wanted)) + smoothing / SIZE) * log_p[k] for k in range(SIZE)))
            nats -= float(log_p[wanted])
            right, count = right + int(logits.argmax() == wanted), count + 1
    return {"loss": total / count, "perplexity": math.exp(nats / count), "accuracy": right / count}


@each_kind
@torch.no_grad()
def test_the_loss_is_that_of_loops_over_pairs_and_tokens_and_padding_changes_nothing(kind):
    model, batch = uneven(make(kind, label_smoothing=0.2)), pairs()
    expected = by_loops(model, batch)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    fields = {name: each[order] for name, each in batch.fields.items()}
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order], fields)
    for given in (batch, shuffled, pairs(longer=3)):
        terms = model.losses(given)
        assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_the_transformer_is_pytorchs_own_from_end_to_end():
    model, batch = uneven(make("transformer", label_smoothing=0.1)), pairs()
    theirs = nn.Transformer(DIM, 2, 1, 1, 4 * DIM, 0.0, batch_first=True)
    theirs.encoder, theirs.decoder = encoder_reference(model.encoder, 2), decoder_reference(model.decoder)
    theirs.train()
    target = batch.fields["target"]
    read = [
        model.table[ids] * math.sqrt(DIM) + model.encoder.positions[: ids.shape[1]]
        for ids in (batch.inputs, target[:, :-1])
    ]
    later = nn.Transformer.generate_square_subsequent_mask(target.shape[1] - 1)
    found = theirs(
        *read,
        tgt_mask=later.isinf(),
        src_key_padding_mask=~batch.mask,
        memory_key_padding_mask=~batch.mask,
    )
    each = F.cross_entropy(
        (found @ model.table.T + model.bias).flatten(0, 1),
        target[:, 1:].flatten(),
        label_smoothing=0.1,
        ignore_index=PAD,
    )
    assert float(model.losses(batch)["loss"]) == pytest.approx(float(each), rel=1e-5)


@each_kind
def test_no_prediction_depends_on_its_token_or_on_later_ones(kind):
    model, batch = uneven(make(kind, share_embeddings=False)), pairs()
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, given: tuple, kept: dict, found: torch.Tensor) -> None:
        seen.append(given[0])
        seen.append(found)

    model.decoder.register_forward_hook(keep, with_kwargs=True)
    model.losses(batch)
    read, found = seen[0], seen[1]
    for place in (0, 2, 4):
        (gradient,) = torch.autograd.grad(found[:, place, 0].sum(), read, retain_graph=True)
        assert (gradient[:, place + 1 :] == 0).all() and (gradient[:, : place + 1] != 0).any(2).all()
    # What is read before token j is token j - 1: the target shifted by one.
    target = batch.fields["target"]
    assert torch.equal(read, F.embedding(target[:, :-1], model.table))


@each_kind
def test_it_starts_at_the_chance_loss_every_parameter_learns_and_losses_are_float32(kind):
    model = make(kind)
    terms = model.losses(pairs())
    assert float(terms["loss"].detach()) == pytest.approx(math.log(SIZE), abs=1.0)
    assert model.chance_loss(1) == pytest.approx(math.log(SIZE))
    terms["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = model.losses(pairs())["loss"]
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, terms["loss"].detach(), atol=0.05, rtol=0)


@torch.no_grad()
def test_the_decoder_does_not_read_so_many_words_in_training_each_example_by_its_own_draw():
    model, batch, seen = make("transformer", word_dropout=0.3), pairs(400), []
    model.decoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model.train().losses(batch)
    dropped = (seen[0] == 0).all(2)
    assert not dropped[:, 0].any()
    assert abs(dropped[:, 1:].float().mean() - 0.3) < 0.03
    kept = ~dropped[:, :, None]
    read = model.table[batch.fields["target"][:, :-1]]
    assert torch.equal(seen[0], read * kept)
    order = torch.arange(400).flip(0)
    fields = {name: each[order] for name, each in batch.fields.items()}
    model.losses(Batch(batch.inputs[order], batch.mask[order], None, batch.index[order], fields))
    assert torch.equal(seen[1], seen[0][order])
    model.eval().losses(batch)
    assert torch.equal(seen[2], read)


@torch.no_grad()
def test_embeddings_are_shared_or_the_decoders_own_and_an_encoder_of_another_size_has_a_bridge():
    shared, own = make("general"), make("general", share_embeddings=False)
    assert shared.table is shared.encoder.token_embedding.weight and shared.embedding is None
    assert own.table is not own.encoder.token_embedding.weight
    wide = Translation(
        BertEncoder(VOCABULARY, 32, 1, 2, 16), RecurrentDecoder(DIM, 1, "general", 0.0), False, max_new_tokens=4
    )
    assert float(wide.losses(pairs())["loss"]) > 0 and wide.write(pairs()).shape[1] <= 4
    with pytest.raises(InputError, match="BertEncoder has some of size 32 for a decoder of size 16: set it to false"):
        Translation(BertEncoder(VOCABULARY, 32, 1, 2, 16), RecurrentDecoder(DIM))


@each_kind
@torch.no_grad()
def test_no_special_token_is_written_and_texts_are_source_translation_and_reference(kind):
    model, batch = uneven(make(kind)), pairs()
    model.bias[:5] += 10  # as a slip in training would
    model.bias[END] -= 10
    ids = model.write(batch)
    after = (ids == END).cumsum(1) - (ids == END).long() > 0
    assert not torch.isin(ids[~after & (ids != PAD)], torch.tensor([BEGIN, 3, 4])).any()
    texts = model.texts(batch)
    width = batch.inputs.shape[1]
    assert torch.equal(texts.ids[:, :width], batch.inputs) and torch.equal(
        texts.ids[:, -width:], batch.fields["target"]
    )
    assert torch.equal(texts.ids[:, width:-width], ids) and torch.equal(texts.own.any(0), texts.own.all(0))
    assert texts.own[0].long().tolist() == [0] * width + [1] * ids.shape[1] + [0] * width
    weights = model.attention(batch)
    assert (weights is None) == (kind == "none")
    if weights is not None:
        assert weights.shape == (6, batch.fields["target"].shape[1] - 1, width)
        torch.testing.assert_close(weights.sum(2), torch.ones(weights.shape[:2]))
        assert (weights.transpose(1, 2)[~batch.mask] == 0).all()


def train(model: Translation, steps: int, most: int) -> Translation:
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3, fused=True)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(pairs(32, step, 1, most))["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def share_right(model: Translation, batch: Batch) -> float:
    """Part of the texts that are written without a mistake."""
    written, wanted = model.write(batch), batch.fields["target"]
    return sum(
        [token for token in one if token > END] == [token for token in other if token > END]
        for one, other in zip(written.tolist(), wanted.tolist(), strict=True)
    ) / len(written)


def test_with_attention_it_learns_to_reverse_long_texts_and_without_it_cannot():
    unseen = pairs(100, 10**6, 7, LONGEST)
    found = {
        kind: share_right(train(make(kind, label_smoothing=0.0, beams=1), 350, LONGEST), unseen)
        for kind in ("general", "none")
    }
    assert found["general"] > 0.4 and found["none"] < 0.05


def test_what_cannot_work_is_refused():
    decoder = RecurrentDecoder(DIM)
    with pytest.raises(InputError, match="reads and writes texts, which MLP does not"):
        Translation(MLP(hidden=[8]), decoder)
    with pytest.raises(InputError, match="from a token that begins it"):
        Translation(GRUTextEncoder({**VOCABULARY, "begin": None}, DIM), decoder)
    with pytest.raises(InputError, match="decoder is 'RecurrentDecoder', which is no StepwiseDecoder"):
        make_with("RecurrentDecoder")
    for settings, message in (
        ({"word_dropout": 1.5}, "word_dropout is 1.5; give a probability between 0 and 1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1"),
        ({"beams": 0}, "beams"),
        (
            {"beams": 10**6},
            rf"beams is 1000000, .* all {VOCABULARY['size']} tokens, .*: give {2_000_000 // VOCABULARY['size']} ",
        ),
        ({"length_penalty": -1.0}, "length_penalty"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ):
        with pytest.raises(InputError, match=message):
            make("general", **settings)
    with pytest.raises(InputError, match=r"max_new_tokens is 99, but decoder\.max_length is 16: raise that"):
        make("transformer", max_new_tokens=99)
    with pytest.raises(InputError, match=r"this data has none: take data\.source ParallelTexts"):
        make("general").losses(pairs()._replace(fields=None))


def test_texts_that_are_longer_than_encoder_or_decoder_reads_are_refused_before_one_comes():
    model = make("transformer")
    most = min(model.encoder.max_length, model.decoder.max_length + 1)
    model.check_texts(most, packed=False)
    with pytest.raises(InputError, match=rf"up to {most + 1} tokens, data\.length, but .*max_length is "):
        model.check_texts(most + 1, packed=False)
    reading = Translation(BertEncoder(VOCABULARY, DIM, 1, 2, 99), model.decoder, max_new_tokens=12)
    with pytest.raises(InputError, match=r"^Translations have up to 18 tokens, .* is 16: lower data\.length to 17"):
        reading.check_texts(18, packed=False)
    reading.check_texts(17, packed=False)
    reading.losses(pairs(least=15, most=15))  # of 17 tokens, the longest that the decoder reads
    make("general").check_texts(10**6, packed=False)  # which have no positions


def make_with(decoder) -> Translation:
    return Translation(GRUTextEncoder(VOCABULARY, DIM), decoder)
