import math

import pytest
import torch
from torch.nn import functional as F
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.modern_bert import ModernBertEncoder
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.electra import ELECTRA, MASKING, SAMPLES
from ssl_zoo.randomness import fold_in, uniform
from tests.methods.test_bert import BEGIN, END, LENGTH, PAD, ROWS, VOCABULARY, labels, padded, scaled


def make(encoder: type = BertEncoder, dropout: float = 0.0, **settings) -> ELECTRA:
    torch.manual_seed(0)
    settings = {"generator_width": 0.5, "mask_ratio": 0.3, **settings}
    return ELECTRA(encoder(VOCABULARY, dim=32, depth=2, heads=2, max_length=32, dropout=dropout), **settings)


def references(model: ELECTRA) -> tuple[ElectraForMaskedLM, ElectraForPreTraining]:
    """The library's two models with the same weights."""
    sizes = {**model.encoder.model.config.to_dict(), "embedding_size": model.encoder.dim}
    sizes.pop("model_type")
    narrow = model.generator.model.config
    width = {name: getattr(narrow, name) for name in ("hidden_size", "intermediate_size", "num_attention_heads")}
    generator = ElectraForMaskedLM(ElectraConfig(**{**sizes, **width})).eval()
    discriminator = ElectraForPreTraining(ElectraConfig(**sizes)).eval()
    whole = model.encoder.model.state_dict()
    discriminator.electra.load_state_dict(whole)
    ours = {name: value for name, value in whole.items() if name.startswith("embeddings.")}
    ours |= model.generator.model.state_dict()
    ours |= {f"embeddings_project.{name}": value for name, value in model.to_generator.state_dict().items()}
    generator.electra.load_state_dict(ours)
    dense, _, norm = model.generator_head
    generator.generator_predictions.dense.load_state_dict(dense.state_dict())
    generator.generator_predictions.LayerNorm.load_state_dict(norm.state_dict())
    with torch.no_grad():
        generator.generator_lm_head.bias.copy_(model.generator_bias)
    dense, _, last = model.discriminator_head
    discriminator.discriminator_predictions.dense.load_state_dict(dense.state_dict())
    discriminator.discriminator_predictions.dense_prediction.load_state_dict(last.state_dict())
    return generator, discriminator


def corrupted(model: ELECTRA, batch: Batch) -> tuple[torch.Tensor, Hidden]:
    return model.corruption(batch.inputs, batch.mask, fold_in(model.keys(batch), MASKING))


def kinds(ids: torch.Tensor) -> torch.Tensor:
    """Segments as the encoder counts them: the ends of a text that stand before each token."""
    return torch.tensor([[min(1, row[:place].count(END)) for place in range(len(row))] for row in ids.tolist()])


def drawn(model: ELECTRA, batch: Batch, logits: torch.Tensor, hidden: Hidden) -> torch.Tensor:
    """The text with the generator's tokens, drawn one by one from the softmax of its logits ``(B, T, V)``."""
    shown = batch.inputs.clone()
    draws = uniform(fold_in(model.keys(batch), SAMPLES), hidden.positions.shape[1])
    for row in range(len(shown)):
        for place, valid, draw in zip(hidden.positions[row], hidden.valid[row], draws[row].tolist(), strict=True):
            if not valid:
                continue
            so_far = 0.0
            for token, probability in enumerate(logits[row, place].double().softmax(0).tolist()):
                so_far += probability
                if so_far > draw:
                    shown[row, place] = token
                    break
    return shown


def test_loss_and_gradients_are_those_of_the_librarys_two_models():
    model, batch = scaled(make(mask_ratio=0.7)), padded()
    # Three tokens and a generator that guesses among them: some draws are right by luck.
    batch = batch._replace(inputs=torch.where(batch.inputs >= 5, batch.inputs % 3 + 5, batch.inputs))
    with torch.no_grad():
        model.generator_bias[5:8] = 40 + torch.randn(3)
    generator, discriminator = references(model)
    inputs, hidden = corrupted(model, batch)
    guessed = generator(inputs, attention_mask=batch.mask, token_type_ids=kinds(inputs), labels=labels(batch, hidden))
    shown = drawn(model, batch, guessed.logits, hidden)
    replaced = shown != batch.inputs
    found = discriminator(shown, attention_mask=batch.mask, token_type_ids=kinds(shown), labels=replaced.float())
    assert 5 < int(replaced.sum()) < int(hidden.mask.sum())
    terms = model.losses(batch)
    torch.testing.assert_close(terms["generator_loss"], guessed.loss.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(terms["discriminator_loss"], found.loss.detach(), atol=1e-5, rtol=1e-5)
    expected = guessed.loss + 50 * found.loss
    torch.testing.assert_close(terms["loss"], expected, atol=1e-4, rtol=1e-5)

    terms["loss"].backward()
    expected.backward()
    wide, narrow = dict(discriminator.electra.named_parameters()), dict(generator.electra.named_parameters())
    for name, parameter in model.encoder.model.named_parameters():
        theirs = wide[name].grad
        if name.startswith("embeddings."):  # which both networks read
            theirs = theirs + narrow[name].grad
        torch.testing.assert_close(parameter.grad, theirs, atol=1e-3, rtol=1e-4)
    for name, parameter in model.generator.model.encoder.named_parameters(prefix="encoder"):
        torch.testing.assert_close(parameter.grad, narrow[name].grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.to_generator.weight.grad, narrow["embeddings_project.weight"].grad)


@torch.no_grad()
def test_what_is_logged_is_what_counting_gives():
    model, batch = scaled(make(mask_ratio=0.6)), padded()
    generator, discriminator = references(model)
    inputs, hidden = corrupted(model, batch)
    logits = generator(inputs, attention_mask=batch.mask, token_type_ids=kinds(inputs)).logits
    shown = drawn(model, batch, logits, hidden)
    called = discriminator(shown, attention_mask=batch.mask, token_type_ids=kinds(shown)).logits > 0
    right = wrong = found = missed = slips = real = 0
    for row in range(ROWS):
        for place in range(LENGTH):
            if hidden.mask[row, place]:
                hit = int(logits[row, place].argmax()) == int(batch.inputs[row, place])
                right, wrong = right + hit, wrong + (not hit)
            if batch.mask[row, place]:
                replaced, yes = bool(shown[row, place] != batch.inputs[row, place]), bool(called[row, place])
                real += 1
                found, missed, slips = (
                    found + (replaced and yes),
                    missed + (replaced and not yes),
                    slips + (yes and not replaced),
                )
    terms = {name: float(value) for name, value in model.losses(batch).items()}
    assert found and missed and slips
    assert terms["recall"] == pytest.approx(found / (found + missed))
    assert terms["precision"] == pytest.approx(found / (found + slips))
    assert terms["replaced"] == pytest.approx((found + missed) / real)
    assert terms["generator_accuracy"] == pytest.approx(right / (right + wrong))


def test_of_the_tokens_drawn_85_percent_are_hidden_15_percent_stay_and_none_is_random():
    model = make(mask_ratio=0.5)
    ids = torch.randint(5, 37, (400, LENGTH), generator=torch.Generator().manual_seed(0))
    inputs, hidden = model.corruption(ids, None, torch.arange(400) * 7919)
    chosen, count = hidden.mask, int(hidden.mask.sum())
    masked = (inputs == VOCABULARY["mask"]) & chosen
    assert torch.equal(inputs[~masked], ids[~masked])
    assert int(masked.sum()) / count == pytest.approx(0.85, abs=4 * math.sqrt(0.85 * 0.15 / count))


def test_no_gradient_passes_through_the_draws():
    batch = padded()
    gradients = []
    for weight in (0.0, 50.0):
        model = scaled(make(weight=weight))
        model.losses(batch)["loss"].backward()
        gradients.append(
            [p.grad.clone() for p in [*model.generator.model.encoder.parameters(), *model.to_generator.parameters()]]
        )
    for alone, with_discriminator in zip(*gradients, strict=True):
        torch.testing.assert_close(alone, with_discriminator, atol=1e-7, rtol=1e-5)


@torch.no_grad()
def test_the_generator_sees_nothing_of_what_the_mask_token_hides():
    model, batch = scaled(make()), padded()
    inputs, hidden = corrupted(model, batch)
    gone = (inputs == VOCABULARY["mask"]) & hidden.mask
    other = batch._replace(inputs=torch.where(gone, (batch.inputs - 5 + 1) % 32 + 5, batch.inputs))
    same, _ = corrupted(model, other)
    assert gone.any() and not torch.equal(other.inputs, batch.inputs)
    vectors = [model.generator_vectors(each, batch.mask, hidden) for each in (inputs, same)]
    assert torch.equal(*vectors)
    shown = (batch.inputs - 5 + 1) % 32 + 5
    seen = torch.where(~gone & (batch.inputs >= 5), shown, batch.inputs)
    assert not torch.allclose(model.generator_vectors(seen, batch.mask, hidden), vectors[0])


@torch.no_grad()
def test_a_draw_that_is_the_true_token_counts_as_real():
    model, batch = make().eval(), padded()
    model.generator_bias[17] = 100  # every draw is this one
    terms = model.losses(batch._replace(inputs=batch.inputs.masked_fill(batch.inputs >= 5, 17)))
    assert terms["replaced"] == 0 and terms["generator_accuracy"] == 1
    assert model.losses(batch)["replaced"] > 0.2


@pytest.mark.parametrize("encoder", [BertEncoder, ModernBertEncoder])
@torch.no_grad()
def test_neither_padding_nor_the_order_of_the_batch_nor_other_documents_change_anything(encoder):
    model, batch = scaled(make(encoder)), padded()
    whole = model.losses(batch)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = model.losses(Batch(*(None if each is None else each[order] for each in batch)))
    longer = F.pad(batch.inputs, (0, 4), value=PAD), F.pad(batch.mask, (0, 4), value=False)
    wider = model.replaced_logits(*longer)[:, :LENGTH]
    for name, value in whole.items():
        torch.testing.assert_close(value, shuffled[name], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(
        wider[batch.mask], model.replaced_logits(batch.inputs, batch.mask)[batch.mask], atol=1e-5, rtol=1e-4
    )
    documents = (torch.arange(LENGTH) // 9 + 1).repeat(ROWS, 1)
    packed = batch.inputs.clamp_min(5)
    logits = model.replaced_logits(packed, documents)
    for number in (1, 2, 3):
        here = documents[0] == number
        alone = model.replaced_logits(packed[:, here], None)
        torch.testing.assert_close(logits[:, here], alone, atol=1e-5, rtol=1e-4)


def test_it_starts_at_the_chance_loss_and_every_parameter_learns():
    for encoder in (BertEncoder, ModernBertEncoder):
        model = make(encoder)
        terms = model.losses(padded())
        assert float(terms["generator_loss"]) == pytest.approx(math.log(37), abs=0.2)
        assert float(terms["discriminator_loss"]) == pytest.approx(math.log(2), abs=0.1)
        terms["loss"].backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    assert model.chance_loss(1) == pytest.approx(math.log(37) + 50 * entropy)


def test_the_generator_is_narrower_and_as_deep_and_reads_the_encoders_embeddings():
    model = ELECTRA(BertEncoder(VOCABULARY, dim=64, depth=3, heads=4, max_length=32))
    config = model.generator.model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (16, 3, 1)
    wide = {id(parameter) for parameter in model.encoder.parameters()}
    assert all((id(p) in wide) == ("embeddings" in name) for name, p in model.generator.named_parameters())
    odd = ELECTRA(BertEncoder(VOCABULARY, dim=96, depth=1, heads=3, max_length=32), generator_width=1 / 3)
    assert odd.generator.dim == 32


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    model, batch = make().eval(), padded()
    exact = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(batch)
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], exact["loss"], atol=0.3, rtol=0)


def repeated(count: int, seed: int) -> torch.Tensor:
    """Documents that repeat a token."""
    return torch.randint(5, 37, (count, 1), generator=torch.Generator().manual_seed(seed)).repeat(1, 16)


def train(model: ELECTRA, steps: int, alone: bool = False) -> dict[str, float]:
    """Trains on new documents `a a a a` at every step; returns the terms on unseen ones."""

    def batch(seed: int, rows: int) -> Batch:
        ids = torch.cat([torch.full((rows, 1), BEGIN), repeated(rows, seed), torch.full((rows, 1), END)], dim=1)
        mask = torch.arange(1, ids.shape[1] + 1).repeat(rows, 1) if alone else None
        return Batch(ids, mask, None, torch.arange(rows) + seed * rows)

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(batch(step, 32))["loss"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return {name: float(value) for name, value in model.losses(batch(10**6, 500)).items()}


def test_it_finds_what_was_replaced_by_the_context_and_without_context_it_cannot():
    # Norms come before the layers: BERT's own, after them, gets away from calling every token real by chance alone.
    found = train(make(ModernBertEncoder), 160)
    assert found["recall"] > 0.7 and found["precision"] > 0.9 and found["generator_accuracy"] > 0.25
    blind = train(make(ModernBertEncoder), 160, alone=True)
    assert blind["recall"] < 0.1 and blind["generator_accuracy"] < 0.2  # some of the tokens are left as they are


def test_a_discriminator_that_calls_everything_real_is_named_though_its_accuracy_is_high():
    model = make(mask_ratio=0.15)
    blind = {f"train/{name}": value for name, value in train(model, 60, alone=True).items()}
    (alarm,) = [each for each in model.alarms(8) if each.metric == "train/recall"]
    assert blind["train/replaced"] < 0.15 and alarm.sounds(blind)
    assert "calls every token real" in alarm.sentence.format_map(blind)


def test_what_cannot_work_is_refused():
    for encoder in (GPT2Encoder(VOCABULARY, dim=8, depth=1, heads=1), MLP(hidden=[8])):
        with pytest.raises(InputError, match=f"bidirectional text encoder, which {type(encoder).__name__} is not"):
            ELECTRA(encoder)
    with pytest.raises(InputError, match="no mask token"):
        ELECTRA(BertEncoder({**VOCABULARY, "mask": None}, dim=8, depth=1, heads=1))
    for width in (0.0, 1.5):
        with pytest.raises(InputError, match="generator_width is"):
            make(generator_width=width)

    class Fixed(BertEncoder):
        def __init__(self, vocabulary) -> None:
            super().__init__(vocabulary, 8, 1, 1)

    with pytest.raises(InputError, match="no depth and no dim and no heads"):
        ELECTRA(Fixed(VOCABULARY))
