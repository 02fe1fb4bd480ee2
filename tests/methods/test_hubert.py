"""HuBERT against torchaudio's own logits and against plain loops, on images and on speech."""

import math
import warnings

import lightning as L
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchaudio.models.wav2vec2.components import LogitGenerator

from ssl_zoo.callbacks.refits import Refits
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.spans import RandomSpans
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.image import MLP
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.encoders.vit import ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods.hubert import MASKING, HuBERT
from ssl_zoo.randomness import fold_in
from tests.made import vocabulary
from tests.methods.coded import (
    ENCODERS,
    batch_for,
    fit_to,
    glides,
    gradient_at_places,
    one,
    small_encoder,
    train_on_glides,
)

each = pytest.mark.parametrize("name", ENCODERS)


def make(name: str, iterations: int = 1, **settings) -> HuBERT:
    torch.manual_seed(0)
    model = HuBERT(ENCODERS[name](), **{"clusters": (5, 7), "code_dim": 24, **settings})
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(3)
    fit_to(model, batch_for(name), iterations)
    with torch.no_grad():  # training goes on after an iteration has begun
        for parameter in model.encoder.parameters():
            parameter.mul_(1.1)
    return model.eval()


def hidden_in(model: HuBERT, batch) -> Hidden:
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    real = torch.ones(embedded.vectors.shape[:2], dtype=torch.bool) if embedded.mask is None else embedded.mask
    return model.masking(real, fold_in(model.keys(batch), MASKING), model.encoder.grid(batch.inputs))


@each
@pytest.mark.parametrize("iteration", [1, 2])
@pytest.mark.parametrize("visible_weight", [0.0, 0.5])
@torch.no_grad()
def test_the_loss_is_that_of_torchaudios_logits(name, iteration, visible_weight):
    model, batch = make(name, iteration, visible_weight=visible_weight), batch_for(name)
    hidden, codes = hidden_in(model, batch), model.codes(batch)
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    sequence = model.encoder.contextualize(hidden.replace(embedded, model.mask_vector)).sequence
    real = torch.ones_like(hidden.mask) if embedded.mask is None else embedded.mask
    theirs = LogitGenerator(32, (5, 7)[iteration - 1], 24, False, False)
    theirs.label_embeddings.copy_(model.labels[: (5, 7)[iteration - 1]])
    theirs.final_proj.load_state_dict(model.head.state_dict())
    masked, unmasked = theirs(sequence, codes, hidden.mask, real & ~hidden.mask)
    first = torch.zeros(len(masked), dtype=torch.int64)  # torchaudio puts the right one in front
    expected = F.cross_entropy(masked, first)
    if visible_weight:
        expected = expected + visible_weight * F.cross_entropy(unmasked, torch.zeros(len(unmasked), dtype=torch.int64))
    found = model.losses(batch)
    torch.testing.assert_close(found["loss"], expected, atol=1e-5, rtol=1e-5)
    right = (masked[:, 0] >= masked[:, 1:].amax(1)).float().mean()  # the others: minus infinity at the right one
    assert float(found["accuracy"]) == pytest.approx(float(right), abs=1e-6)


@each
@torch.no_grad()
def test_the_loss_by_plain_loops_over_examples_alone(name):
    model, batch = make(name), batch_for(name)
    hidden, nats = hidden_in(model, batch), []
    for row in range(4):
        alone = one(batch, row)
        embedded, contents = model.encoder.embed(alone.inputs), model.encoder.contents(alone.inputs)[0]
        vectors = embedded.vectors.clone()
        vectors[0, hidden.mask[row, : vectors.shape[1]]] = model.mask_vector
        sequence = model.encoder.contextualize(embedded._replace(vectors=vectors)).sequence[0]
        for place in range(len(contents)):
            if hidden.mask[row, place]:
                distances = [float((contents[place] - centre).norm()) for centre in model.centres_0]
                code = distances.index(min(distances))
                vector = model.head(sequence[place])
                cosines = [float(F.cosine_similarity(vector, label, dim=0)) / 0.1 for label in model.labels[:5]]
                nats.append(math.log(sum(map(math.exp, cosines))) - cosines[code])
    assert len(nats) > 20
    assert float(model.losses(batch)["loss"]) == pytest.approx(sum(nats) / len(nats), rel=1e-5)


@each
def test_what_is_hidden_does_not_reach_the_prediction(name):
    for iterations in (1, 2):
        model, batch = make(name, iterations), batch_for(name)
        hidden = hidden_in(model, batch)
        reached, real = gradient_at_places(model, batch)
        assert not reached[hidden.mask | ~real].any() and (reached[~hidden.mask & real] > 0).all()


@each
@torch.no_grad()
def test_there_are_as_many_codes_as_places_and_neither_padding_nor_the_order_of_a_batch_changes_any(name):
    for iterations in (1, 2):
        model, batch = make(name, iterations), batch_for(name)
        codes, sequence = model.codes(batch), model.encoder(batch.inputs, batch.mask).sequence
        assert codes.shape == sequence.shape[:2]
        order = torch.tensor([2, 0, 3, 1])
        moved = batch._replace(
            inputs=batch.inputs[order], mask=None if batch.mask is None else batch.mask[order], index=batch.index[order]
        )
        assert torch.equal(model.codes(moved), codes[order])
        for term, value in model.losses(moved).items():
            torch.testing.assert_close(value, model.losses(batch)[term], atol=1e-5, rtol=1e-4)
        for row in range(4):
            alone = model.codes(one(batch, row))[0]
            assert torch.equal(alone, codes[row, : len(alone)])


@torch.no_grad()
def test_later_codes_are_of_the_encoder_as_it_was_without_dropout_and_without_what_is_hidden():
    model, batch = make("frames", 2), batch_for("frames")
    model.encoder.dropout.p = model.snapshot.module.dropout.p = 0.5
    before = model.codes(batch)
    assert torch.equal(model.train().codes(batch), before)
    for parameter in model.encoder.parameters():
        parameter.add_(1.0)
    assert torch.equal(model.codes(batch), before)
    assert not [name for name, each in model.named_parameters() if name.startswith("snapshot") and each.requires_grad]
    model.after_step()  # which lets teachers follow
    assert torch.equal(model.codes(batch), before)


def test_an_iteration_begins_with_a_new_head_for_new_clusters_and_the_same_encoder():
    model, batch = make("image", 1), batch_for("image")
    start = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.clusters_now == 5 and [refit.at for refit in model.refits()] == [0.4]
    fit_to(model, batch)
    assert model.clusters_now == 7 and model.refits() == []
    for name, value in model.state_dict().items():
        changed = not torch.equal(value, start[name])
        head = name in ("labels", "head.weight", "head.bias")
        new = head or name in ("centres_1", "iterations._extra_state") or name.startswith("snapshot")
        assert (new or not changed) and (changed or not head), name
    bound = 32**-0.5
    for weights in model.head.parameters():  # as PyTorch begins with
        assert weights.abs().max() < bound and float(weights.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.2)
    again = HuBERT(ENCODERS["image"](), clusters=(5, 7), code_dim=24)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval().codes(batch), model.codes(batch)) and again.clusters_now == 7


class Moments(L.Callback):
    """After every step, by parameter, how often Adam has updated it, and the sum of what it has summed up."""

    def __init__(self) -> None:
        self.found: list[dict[str, tuple[float, float]]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        states = trainer.optimizers[0].state
        self.found.append({
            name: (float(states[each]["step"]), float(states[each]["exp_avg_sq"].abs().sum()))
            for name, each in pl_module.named_parameters() if each in states
        })  # fmt: skip


def test_adam_begins_with_a_new_head_as_at_a_first_step_and_goes_on_with_the_encoder(tmp_path):
    torch.manual_seed(0)
    encoder = ViT(8, 4, dim=16, depth=2, heads=2, channels=1)
    model, watched = HuBERT(encoder, (4, 6), (0.0, 0.5), code_dim=8), Moments()
    data = ImageData(image_size=8, batch_size=16, train_size=48)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=6, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1, limit_val_batches=0, callbacks=[Refits(), watched],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.fit(model, data)
    assert model.iterations.value == 2
    for name, (steps, _) in watched.found[-1].items():
        new = name in ("labels", "head.weight", "head.bias")
        assert steps == (3 if new else 6), name
        at_start = watched.found[2][name]  # right after the third step, when the second iteration begins
        assert (at_start == (0.0, 0.0)) == new, name


def test_it_predicts_hidden_clusters_from_what_is_around_them_and_with_nothing_around_it_cannot():
    found = {}
    for name, masking in {"spans": RandomSpans(0.65, 5), "all": RandomSpans(1.0, 1)}.items():
        torch.manual_seed(0)
        model = HuBERT(small_encoder(), (16,), (0.0,), masking=masking, code_dim=32)
        found[name] = train_on_glides(model, 100)
    chance = math.log(16)
    assert found["spans"]["loss"] < 0.7 * chance < found["all"]["loss"]
    assert found["spans"]["accuracy"] > 2 * found["all"]["accuracy"]


def test_the_second_iteration_of_a_run_is_learnt_too():
    torch.manual_seed(0)
    model = HuBERT(small_encoder(), (8, 16), (0.0, 0.4), masking=RandomSpans(0.65, 5), code_dim=32)
    terms = train_on_glides(model, 100, (0, 40))
    assert model.iterations.value == 2 and terms["code_perplexity"] > 6
    assert terms["loss"] < 0.8 * math.log(16)


@each
@torch.no_grad()
def test_chance_is_the_loss_of_cosines_that_are_all_alike_at_hidden_and_at_visible_places(name):
    for weight in (0.0, 0.5):
        model, batch = make(name, 1, visible_weight=weight), batch_for(name)
        model.labels.fill_(1.0)
        torch.testing.assert_close(float(model.losses(batch)["loss"]), model.chance_loss(8), atol=1e-5, rtol=1e-5)


def test_without_the_callback_that_reads_the_data_training_is_refused():
    model = HuBERT(small_encoder(), (8,), (0.0,))
    trainer = L.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    batches = DataLoader([glides(4, 0)], batch_size=None)
    with pytest.raises(InputError, match=r"callbacks\.refits\.Refits"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        warnings.filterwarnings("ignore", "Attribute 'encoder' removed from hparams")  # weight norm cannot be pickled
        trainer.fit(model, batches, batches)


def test_what_cannot_work_is_refused():
    for encoder, message in (
        (GRUEncoder(LogMel()), "both sides"),
        (MLP(hidden=[8]), "no such step"),
        (BertEncoder(vocabulary(9), dim=8, depth=1, heads=1), "pixels of patches"),
    ):
        with pytest.raises(InputError, match=f"HuBERT.*{message}"):
            HuBERT(encoder)
    for settings, message in (
        ({"clusters": (5,)}, "give for each iteration"), ({"clusters": (5, 1)}, "at least 2"),
        ({"starts": (0.1, 0.4)}, "ascending from 0"), ({"starts": (0.0, 1.0)}, "below 1"),
        ({"visible_weight": -1.0}, "visible_weight"),
        ({"layer": 3}, "layers are 1 to 2"), ({"layer": 0}, "layers are 1 to 2"), ({"temperature": 0.0}, "temperature"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            make("image", **settings)
    with pytest.raises(InputError, match="places to make 100000 clusters of: set clusters lower"):
        make("image", clusters=(5, 100_000))  # before the first step, not when the second iteration begins
