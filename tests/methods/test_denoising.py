import math

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.cli import run
from ssl_zoo.corruption.infilling import Infilling
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.text_noise import Noised
from ssl_zoo.corruption.token_spans import Fragment, SegmentedSpans, Suffix
from ssl_zoo.corruption.words import RandomWords
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.modern_bert import ModernBertEncoder
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.denoising import Denoising
from ssl_zoo.parts.texts import filled_in
from tests.contracts.experiments import FOLDER, class_of
from tests.decoders.test_tokens import reference
from tests.methods.test_bert import BEGIN, END, LENGTH, PAD, ROWS, VOCABULARY, padded, scaled

DIM, SIZE, SENTINELS = 32, 37, 30
# T5's spans and its other rows, MASS, and BART's infilling.
KINDS = {
    "spans": {"masking": SegmentedSpans(0.3, 2.0), "inputs": "sentinels", "targets": "sentinels"},
    "prefix": {"masking": Suffix(), "inputs": "drop", "targets": "hidden"},
    "bert": {"masking": RandomPlaces(0.3), "inputs": "mask_tokens", "targets": "full", "replaced": 0.1},
    "shuffled": {"masking": RandomPlaces(1.0), "inputs": "permute", "targets": "full"},
    "dropped": {"masking": RandomPlaces(0.3), "inputs": "drop", "targets": "hidden"},
    "mass": {"masking": Fragment(), "inputs": "mask_tokens", "targets": "in_place", "replaced": 0.1, "kept": 0.1},
    "bart": {"masking": Infilling(), "inputs": "mask_spans", "targets": "full"},
}  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind: str = "spans", encoder: type = BertEncoder, **settings) -> Denoising:
    torch.manual_seed(0)
    sizes = {"dim": DIM, "depth": 2, "heads": 2, "max_length": 40, "dropout": 0.0}
    decoder = {
        "sentinels": SENTINELS,
        "max_targets": 64,
        "decoder_depth": 2,
        "decoder_heads": 2,
        "decoder_dropout": 0.0,
    }
    return Denoising(encoder(VOCABULARY, **sizes), **{**decoder, **KINDS[kind], **settings})


@torch.no_grad()
def predicted(model: Denoising, noised: Noised) -> torch.Tensor:
    """The decoder's logits, given the true tokens before."""
    table = model.table()
    memory = model.encode_noised(noised).sequence
    vectors = model.decoder(F.embedding(noised.read(), table), memory, noised.mask, noised.positions)
    return F.linear(vectors, table[: len(model.bias)], model.bias)


def by_loops(model: Denoising, batch: Batch) -> dict[str, float]:
    """Text by text and token by token, by the library's BERT and PyTorch's decoder."""
    noised, total, count, right, hidden = model.make_noise(batch), 0.0, 0, 0, 0
    words, extra = model.encoder.token_embedding.weight, model.sentinel_vectors
    theirs: nn.TransformerDecoder = reference(model.decoder)

    def vector(token: int) -> torch.Tensor:
        return words[token] if token < SIZE else extra[token - SIZE]

    for row in range(len(batch.inputs)):
        shown = noised.inputs[row][noised.mask[row]].tolist()
        segments = [min(1, shown[:place].count(END)) for place in range(len(shown))]
        memory = model.encoder.model(
            inputs_embeds=torch.stack([vector(token) for token in shown])[None], token_type_ids=torch.tensor([segments])
        ).last_hidden_state
        real = noised.valid[row]
        targets = noised.targets[row][real].tolist()
        if not targets:  # of one token none is hidden
            continue
        read, places = [SIZE + SENTINELS, *targets][: len(targets)], list(range(len(targets)))
        if noised.positions is not None:
            places = noised.positions[row][real].tolist()
            read = [int(batch.inputs[row, place - 1]) for place in places]
        vectors = torch.stack([vector(token) for token in read]) + model.decoder.positions[places]
        later = torch.ones(len(read), len(read), dtype=torch.bool).triu(1)
        for number, found in enumerate(theirs(vectors[None], memory, tgt_mask=later)[0]):
            logits = torch.stack([found @ vector(token) for token in range(len(model.bias))]) + model.bias
            total += float(-logits.log_softmax(0)[targets[number]])
            count += 1
            if noised.hidden[row][real][number]:
                hidden, right = hidden + 1, right + (int(logits.argmax()) == targets[number])
    return {"loss": total / count, "accuracy": right / hidden}


@each_kind
@torch.no_grad()
def test_the_loss_is_that_of_loops_over_texts_and_tokens(kind):
    model, batch = scaled(make(kind)), padded()
    terms, expected = model.losses(batch), by_loops(model, batch)
    assert float(terms["loss"]) == pytest.approx(expected["loss"], rel=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(expected["accuracy"], abs=1e-6)
    assert float(terms["perplexity"]) == pytest.approx(math.exp(expected["loss"]), rel=1e-4)


@each_kind
def test_what_is_written_does_not_depend_on_itself_nor_on_what_comes_later(kind):
    model, batch = scaled(make(kind, replaced=0.0, kept=0.0)), padded()
    noised = model.make_noise(batch)
    row, slots = 0, noised.hidden[0].nonzero()[:, 0].tolist()
    slot = slots[len(slots) // 2]
    # The hidden token in the middle becomes another: only what is written behind it may change.
    if kind == "shuffled":  # there nothing is hidden but the order
        other = noised._replace(targets=noised.targets.clone())
        other.targets[row, slot] = 36 if other.targets[row, slot] != 36 else 35
    else:
        places = [
            place for place, token in enumerate(batch.inputs[row].tolist())
            if token == int(noised.targets[row, slot])
        ]  # fmt: skip
        found = []
        for place in places:
            ids = batch.inputs.clone()
            ids[row, place] = 36 if ids[row, place] != 36 else 35
            candidate = model.make_noise(batch._replace(inputs=ids))
            if (candidate.targets[row] != noised.targets[row]).nonzero()[:, 0].tolist() == [slot]:
                found.append(candidate)
        (other,) = [each for each in found if torch.equal(each.inputs, noised.inputs)]
    one, two = predicted(model, noised)[row], predicted(model, other)[row]
    assert torch.equal(one[: slot + 1], two[: slot + 1])
    if slot + 1 < int(noised.valid[row].sum()) and kind != "mass":
        assert not torch.allclose(one[slot + 1], two[slot + 1])


@torch.no_grad()
def test_a_fragment_of_all_tokens_makes_a_language_model_of_the_decoder():
    model = scaled(make("mass", masking=Fragment(1.0), replaced=0.0, kept=0.0))
    ids = torch.tensor([[BEGIN, 5, 6, 7, 8, END], [BEGIN, 9, 6, 9, 11, END]])
    noised = model.make_noise(Batch(ids, None, None, torch.arange(2)))
    assert torch.equal(noised.inputs[0], noised.inputs[1])  # the encoder sees nothing of a text but its length
    assert torch.equal(noised.valid, torch.tensor([[True] * 4 + [False] * 2] * 2))
    assert torch.equal(noised.targets[:, :4], ids[:, 1:5]) and torch.equal(noised.read()[:, :4], ids[:, :4])
    assert torch.equal(noised.positions[:, :4], torch.arange(1, 5).expand(2, -1))
    logits = predicted(model, noised)
    assert torch.equal(logits[0, 0], logits[1, 0]) and not torch.allclose(logits[0, 1], logits[1, 1])


@torch.no_grad()
def test_a_fragment_of_one_token_is_bert_with_one_hidden_token():
    model = scaled(make("mass", masking=Fragment(0.01), replaced=0.0, kept=0.0))
    ids = torch.tensor([[BEGIN, 5, 6, 7, 8, 9, 10, END]])
    noised = model.make_noise(Batch(ids, None, None, torch.arange(1)))
    (place,) = (noised.inputs[0] == VOCABULARY["mask"]).nonzero()[:, 0].tolist()
    assert noised.targets.tolist() == [[int(ids[0, place])]] and int(noised.valid.sum()) == 1
    logits = predicted(model, noised)
    for other in range(1, 7):
        changed = ids.clone()
        changed[0, other] = 20
        again = predicted(model, model.make_noise(Batch(changed, None, None, torch.arange(1))))
        assert torch.equal(again, logits) == (other == place)  # from both sides


@each_kind
@torch.no_grad()
def test_neither_padding_nor_the_order_of_the_batch_changes_anything(kind):
    for encoder in (BertEncoder, ModernBertEncoder):
        model, batch = scaled(make(kind, encoder)), padded()
        whole, order = model.losses(batch), torch.tensor([3, 0, 5, 1, 4, 2])
        longer = batch._replace(inputs=F.pad(batch.inputs, (0, 4), value=PAD), mask=F.pad(batch.mask, (0, 4)))
        for other in (Batch(*(None if each is None else each[order] for each in batch)), longer):
            found = model.losses(other)
            for name, value in whole.items():
                torch.testing.assert_close(value, found[name], atol=1e-4, rtol=1e-4)


def test_it_starts_at_the_chance_loss_and_every_parameter_learns():
    for encoder in (BertEncoder, ModernBertEncoder):
        model = make(encoder=encoder, sentinels=12, max_targets=32)
        loss = model.losses(padded())["loss"]
        assert float(loss.detach()) == pytest.approx(math.log(SIZE + 12), abs=0.2)
        assert model.chance_loss(1) == pytest.approx(math.log(SIZE + 12))
        assert make("bart", encoder).chance_loss(1) == pytest.approx(math.log(SIZE))  # no sentinel is written
        loss.backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_validation_makes_the_same_noise_every_time_and_training_another():
    model, batch = make().eval(), padded()
    first = model.make_noise(batch)
    assert torch.equal(first.inputs, model.make_noise(batch).inputs)
    other = model.train().make_noise(batch)
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    model, batch = make().eval(), padded()
    exact = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(batch)
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], exact["loss"], atol=0.02, rtol=0)


def test_probes_see_the_encoders_vectors_of_the_text_as_it_is():
    model, batch = make().eval(), padded()
    assert torch.equal(model.encode(batch).pooled, model.encoder(batch.inputs, batch.mask).pooled)


def repeated(rows: int, seed: int) -> Batch:
    """Documents that repeat a token: what is missing is what is visible, and nothing else says it."""
    ids = torch.randint(5, SIZE, (rows, 1), generator=torch.Generator().manual_seed(seed)).repeat(1, 8)
    ids = torch.cat([torch.full((rows, 1), BEGIN), ids, torch.full((rows, 1), END)], dim=1)
    return Batch(ids, None, None, torch.arange(rows) + seed * rows)


def train(model: Denoising, steps: int) -> Denoising:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(repeated(32, step))["loss"].backward()
        optimizer.step()
    return model.eval()


def test_it_learns_to_fill_in_what_is_missing_and_without_the_encoder_it_cannot(monkeypatch):
    settings = {"masking": SegmentedSpans(0.25, 2.0, roll=True), "sentinels": 8}
    model, unseen = train(make(**settings), 150), repeated(200, 10**6)
    assert float(model.losses(unseen)["accuracy"]) > 0.95
    texts = model.texts(unseen)
    filled = [row[(row >= 5)].tolist() for row in texts.ids]
    assert sum(row == ids[1:-1].tolist() for row, ids in zip(filled, unseen.inputs, strict=True)) > 180
    assert texts.own.sum() == pytest.approx(2 * 200, abs=10)

    def others(self: Denoising, noised: Noised):  # a slip in the indices: the decoder looks at another text
        encoded = encode(self, noised)
        return encoded._replace(sequence=encoded.sequence.roll(1, 0))

    encode = Denoising.encode_noised
    monkeypatch.setattr(Denoising, "encode_noised", others)
    assert float(train(make(**settings), 150).losses(unseen)["accuracy"]) < 0.7  # the first of two tokens is a guess


@torch.no_grad()
def test_texts_show_what_is_given_and_what_is_written_for_every_kind():
    batch = padded()
    for kind in KINDS:
        model = make(kind).eval()
        ids, own = model.texts(batch)
        assert ids.shape == own.shape and len(ids) == ROWS and int(ids.max()) < SIZE
    model = make("mass", replaced=0.0, kept=0.0).eval()
    ids, own = model.texts(batch)
    assert own.any() and torch.equal(own, model.make_noise(batch).inputs == VOCABULARY["mask"])
    assert torch.equal(ids[~own & batch.mask], batch.inputs[~own & batch.mask])


def test_gaps_are_filled_with_what_stands_behind_their_sentinels():
    shown = torch.tensor([[1, 40, 5, 41, 2], [1, 40, 5, 6, 0]])
    written = torch.tensor([[41, 7, 8, 40, 9, 2, 11], [12, 40, 41, 13, 10, 10, 10]])
    ids, own = filled_in(shown, written, 40, 2, 0)
    # The second text's gap is seen, although nothing was written for it.
    assert ids.tolist() == [[1, 9, 5, 7, 8, 2, 0, 0, 0, 0], [1, 0, 5, 6, 0, 12, 13, 10, 10, 10]]
    assert own.long().tolist() == [[0, 1, 0, 1, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 1, 1, 1, 1, 1]]


def test_gaps_of_masks_are_seen_before_what_was_written_for_all_of_them():
    shown, written = torch.tensor([[1, 3, 3, 5, 3, 2]]), torch.tensor([[6, 7, 5, 8, 2]])
    ids, own = filled_in(shown, written, 40, 2, 0, mask=3)
    assert ids.tolist() == [[1, 0, 0, 5, 0, 2, 6, 7, 5, 8]]
    assert own.long().tolist() == [[0, 1, 1, 0, 1, 0, 1, 1, 1, 1]]


@pytest.mark.parametrize("kind", ["bert", "shuffled", "bart", "dropped"])
def test_what_was_given_is_seen_to_end_where_what_was_written_begins_though_it_be_nothing(kind, monkeypatch):
    model, batch = make(kind).eval(), padded()
    monkeypatch.setattr(model, "write", lambda noised: torch.full((ROWS, 3), END))
    ids, own = model.texts(batch)
    assert ids[own].eq(PAD).all()
    noised = model.make_noise(batch)
    gaps = (noised.inputs == VOCABULARY["mask"]) & noised.mask & (model.noise.shown in ("mask_tokens", "mask_spans"))
    assert torch.equal(own.sum(1), gaps.sum(1) + 1)
    last = [int(row.nonzero()[-1]) for row in own]  # behind all that was given
    assert all((ids[row, at:] == PAD).all() for row, at in enumerate(last))


def test_what_cannot_work_is_refused():
    for encoder in (GPT2Encoder(VOCABULARY, dim=8, depth=1, heads=1), MLP(hidden=[8]), BagOfTokens(VOCABULARY)):
        with pytest.raises(InputError, match=f"bidirectional text encoder, which {type(encoder).__name__} is not"):
            Denoising(encoder)
    with pytest.raises(InputError, match=r"replaced is 0\.8 and kept 0\.3"):
        make("bert", replaced=0.8, kept=0.3)
    with pytest.raises(InputError, match="leave them at 0, as inputs is sentinels"):
        make(replaced=0.1)
    with pytest.raises(InputError, match=r"replaced is nan and kept 0\.1; give parts of a whole"):
        make("mass", replaced=math.nan)
    with pytest.raises(InputError, match="masking is 'Suffix', which is no Masking"):
        make(masking="Suffix")
    with pytest.raises(InputError, match="up to 25 are written, but max_targets is 20"):
        make("bert", max_targets=20).check_texts(LENGTH, packed=False)
    with pytest.raises(InputError, match="up to 24 are written, but max_targets is 16"):
        make("mass", max_targets=16).check_texts(LENGTH, packed=False)  # a token at the row's end stands at place 23
    with pytest.raises(InputError, match=r"up to \d+ are read, but the encoder's max_length is 24"):
        model = make("bart")
        model.encoder.max_length = LENGTH
        model.check_texts(LENGTH, packed=False)
    with pytest.raises(InputError, match=r"^masking is RandomWords, and Denoising knows of no words: [^.]*\.$"):
        make(masking=RandomWords())


@pytest.mark.parametrize("inputs", ["mask_tokens", "mask_spans", "sentinels", "drop", "permute"])
@pytest.mark.parametrize(
    "masking", [RandomPlaces(0.6), Fragment(), Infilling()], ids=["places", "fragment", "infilling"]
)
def test_whatever_the_encoder_is_shown_tokens_are_written_in_place_and_make_texts(inputs, masking):
    model, batch = make(masking=masking, inputs=inputs, targets="in_place").eval(), padded()
    noised, texts = model.make_noise(batch), model.texts(batch)
    visible = noised.mask & (noised.inputs < SIZE) & (noised.inputs != model.noise.mask_token)
    for row in range(ROWS):
        own = texts.own[row]
        assert int(own.sum()) == int(noised.valid[row].sum()) or inputs not in ("mask_tokens", "permute")
        if inputs != "permute":
            given = texts.ids[row][~own]
            assert set(noised.inputs[row][visible[row]].tolist()) <= {*given.tolist()}


VARIANTS = yaml.safe_load((FOLDER / "text" / "denoising_variants.yaml").read_text())


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_the_experiment_trains(name):
    settings = {setting.removeprefix("model."): value for setting, value in VARIANTS[name].items()}
    masking = settings.pop("masking")
    settings["masking"] = class_of(masking["class_path"])(**masking["init_args"])
    torch.manual_seed(0)
    encoder = ModernBertEncoder(VOCABULARY, **ModernBertEncoder.tiny())
    model, batch = Denoising(encoder, **{"decoder_depth": 1, **settings}), padded()
    packed = batch._replace(mask=batch.mask * (1 + torch.arange(LENGTH) // 8))
    loss = model.losses(packed if settings.get("shuffle_documents") else batch)["loss"]
    assert float(loss.detach()) == pytest.approx(model.chance_loss(ROWS), abs=0.2)
    loss.backward()


def test_a_sweep_trains_all_variants_by_one_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(["sweep", "text/denoising", "--variants=text/denoising_variants", "--seeds=1", "--list", "--out=out"])
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == len(VARIANTS) == 16
    assert all(f"--experiment=denoising-{name}" in command for name, command in zip(VARIANTS, commands, strict=True))
