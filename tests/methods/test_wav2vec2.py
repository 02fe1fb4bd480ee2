import math
import warnings
from copy import deepcopy

import lightning as L
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import Wav2Vec2ForPreTraining

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP
from ssl_zoo.errors import InputError
from ssl_zoo.methods.wav2vec2 import MASKING, NEGATIVES, NOISE, Wav2Vec2
from ssl_zoo.objectives.frame_negatives import draw_candidates
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.codebooks import gumbel
from ssl_zoo.randomness import fold_in
from tests.made import padded_noise

ROWS, SAMPLES = 4, 1800
KERNELS, STRIDES = [10, 3, 2], [5, 2, 2]  # a window of 25 samples every 20
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def make(norm: str = "pre", **settings) -> Wav2Vec2:
    torch.manual_seed(0)
    front_end = WaveConvolutions(16, KERNELS, STRIDES, normalize=False)
    encoder = Wav2Vec2Encoder(
        front_end, dim=32, depth=2, heads=2, norm=norm, position_kernel=8, position_groups=4, **NO_DROPOUT
    )
    return Wav2Vec2(encoder, **{"negatives": 12, "groups": 2, "entries": 8, "code_dim": 24, **settings})


def padded(lengths: tuple[int, ...] = (1800, 700, 1233, 1800)) -> Batch:
    return padded_noise(lengths, SAMPLES)


def full() -> Batch:
    return padded((SAMPLES,) * ROWS)._replace(mask=None)


def hidden_in(model: Wav2Vec2, batch: Batch) -> Hidden:
    lengths = torch.full((ROWS,), SAMPLES) if batch.mask is None else batch.mask.sum(1)
    frames = (lengths - 25) // 20 + 1
    real = torch.arange((SAMPLES - 25) // 20 + 1) < frames[:, None]
    return model.masking(real, fold_in(model.keys(batch), MASKING))


def reference(model: Wav2Vec2) -> Wav2Vec2ForPreTraining:
    """The transformers library's model with the same weights."""
    encoder = model.encoder
    config = deepcopy(encoder.trunk.config)
    config.update(
        {
            "num_codevector_groups": 2, "num_codevectors_per_group": 8, "codevector_dim": 24,
            "proj_codevector_dim": 24, "num_negatives": model.negatives, "feat_quantizer_dropout": 0.0,
            "contrastive_logits_temperature": model.temperature, "diversity_loss_weight": model.diversity_weight,
            "mask_time_prob": 1.0,  # above 0, or the model has no vector for what is masked
        }
    )  # fmt: skip
    whole = Wav2Vec2ForPreTraining(config).train()
    trunk = whole.wav2vec2
    trunk.feature_extractor.load_state_dict(encoder.front_end.state_dict())
    trunk.feature_projection.layer_norm.load_state_dict(encoder.feature_norm.state_dict())
    trunk.feature_projection.projection.load_state_dict(encoder.projection.state_dict())
    trunk.encoder.load_state_dict(encoder.trunk.state_dict())
    whole.quantizer.weight_proj.load_state_dict(model.quantizer.logits.state_dict())
    whole.project_hid.load_state_dict(model.context_head.state_dict())
    whole.project_q.load_state_dict(model.target_head.state_dict())
    with torch.no_grad():
        trunk.masked_spec_embed.copy_(model.mask_vector)
        whole.quantizer.codevectors.copy_(model.quantizer.codebooks.flatten(0, 1)[None])
    whole.quantizer.temperature = model.quantizer_temperature
    return whole


def negatives_of(model: Wav2Vec2, batch: Batch, hidden: Hidden) -> torch.Tensor:
    """What the library wants: for every masked frame the numbers of its negatives in the flattened batch."""
    slots = torch.arange(hidden.positions.shape[1]).expand(ROWS, -1)
    keys = fold_in(model.keys(batch), NEGATIVES)
    candidates = draw_candidates(slots, hidden.valid.sum(1), model.negatives, keys)
    frames = hidden.mask.shape[1]
    numbers = torch.zeros(ROWS, frames, model.negatives, dtype=torch.int64)
    for row in range(ROWS):
        for slot in range(int(hidden.valid[row].sum())):
            places = hidden.positions[row][candidates[row, slot, 1:]]
            numbers[row, hidden.positions[row, slot]] = places + row * frames
    return numbers


def same_noise(model: Wav2Vec2, batch: Batch, hidden: Hidden):
    """Gumbel softmax with the noise of this step's examples where frames are masked, for all frames of a batch."""
    noise = torch.zeros(ROWS, hidden.mask.shape[1], 2, 8)
    drawn = gumbel(fold_in(model.keys(batch), NOISE), hidden.positions.shape[1], 2, 8)
    noise = noise.scatter(1, hidden.positions[..., None, None].expand_as(drawn), drawn)

    def gumbel_softmax(logits, tau, hard):
        noisy = logits + noise.view_as(logits)
        soft = F.softmax(noisy / tau, -1)
        # The library compares vectors bit for bit, and PyTorch's own order of these operations leaves rounding errors.
        return F.one_hot(noisy.argmax(-1), 8) + (soft - soft.detach())

    return gumbel_softmax


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("make_batch", [full, padded])
def test_loss_and_gradients_are_those_of_the_librarys_model(norm, make_batch, monkeypatch):
    # The library has no penalty on features, and lets the whole gradient into the front end.
    model = make(norm, feature_penalty=0.0, front_end_gradient=1.0, diversity_weight=0.3)
    whole, batch = reference(model), make_batch()
    hidden = hidden_in(model, batch)
    monkeypatch.setattr(F, "gumbel_softmax", same_noise(model, batch, hidden))
    attention_mask = None if batch.mask is None else batch.mask.long()
    expected = whole(
        batch.inputs,
        attention_mask=attention_mask,
        mask_time_indices=hidden.mask,
        sampled_negative_indices=negatives_of(model, batch, hidden),
    )
    count = int(hidden.mask.sum())
    terms = model.losses(batch)
    torch.testing.assert_close(terms["contrastive"], expected.contrastive_loss.detach() / count, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(terms["diversity"], expected.diversity_loss / count, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(terms["loss"], expected.loss / count, atol=1e-5, rtol=1e-5)
    assert 0 < terms["equal_negatives"] < 0.5

    terms["loss"].backward()
    (expected.loss / count).backward()
    trunk = whole.wav2vec2
    pairs = [
        (model.encoder.front_end, trunk.feature_extractor),
        (model.encoder.feature_norm, trunk.feature_projection.layer_norm),
        (model.encoder.projection, trunk.feature_projection.projection),
        (model.encoder.trunk, trunk.encoder),
        (model.quantizer.logits, whole.quantizer.weight_proj),
        (model.context_head, whole.project_hid),
        (model.target_head, whole.project_q),
    ]
    for ours, theirs in pairs:
        other = dict(theirs.named_parameters())
        for name, parameter in ours.named_parameters():
            torch.testing.assert_close(parameter.grad, other[name].grad, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(model.mask_vector.grad, trunk.masked_spec_embed.grad, atol=1e-5, rtol=1e-3)
    codebooks = model.quantizer.codebooks.grad.flatten(0, 1)
    torch.testing.assert_close(codebooks, whole.quantizer.codevectors.grad[0], atol=1e-5, rtol=1e-3)


def by_loop(model: Wav2Vec2, batch: Batch) -> tuple[float, float]:
    """Contrastive loss and accuracy, one recording, one frame and one candidate at a time, without padding."""
    drawn, nats, hits = hidden_in(model, batch), [], []
    for row in range(ROWS):
        length = SAMPLES if batch.mask is None else int(batch.mask[row].sum())
        features, _ = model.encoder.front_end(batch.inputs[row : row + 1, :length])
        normalized = model.encoder.feature_norm(features)
        masked = [frame for frame in range(normalized.shape[1]) if drawn.mask[row, frame]]
        embedded = model.encoder.embed_frames(normalized, None)
        hidden = embedded.vectors.clone()
        hidden[0, masked] = model.mask_vector
        context = model.context_head(model.encoder.contextualize(embedded._replace(vectors=hidden)).sequence[0, masked])
        targets = normalized[:, masked]
        if model.quantizer is not None:
            targets = model.quantizer(targets, fold_in(model.keys(batch), NOISE)[row : row + 1], 1.0).vectors
        projected = model.target_head(targets)[0]
        slots, keys = torch.arange(len(masked))[None], fold_in(model.keys(batch), NEGATIVES)[row : row + 1]
        for slot, candidates in enumerate(draw_candidates(slots, torch.tensor([len(masked)]), 12, keys)[0].tolist()):
            positive, *negatives = (
                float(F.cosine_similarity(context[slot], projected[other], dim=0)) / model.temperature
                for other in candidates
                if other == slot or not torch.equal(targets[0, other], targets[0, slot])
            )
            nats.append(math.log(math.exp(positive) + sum(map(math.exp, negatives))) - positive)
            hits.append(positive > max(negatives, default=-math.inf))
    return sum(nats) / len(nats), sum(hits) / len(hits)


@pytest.mark.parametrize("targets", ["quantized", "continuous"])
@pytest.mark.parametrize("make_batch", [full, padded])
@torch.no_grad()
def test_loss_and_accuracy_are_those_of_every_recording_alone(targets, make_batch):
    model, batch = make(targets=targets, feature_penalty=10.0).eval(), make_batch()
    terms = model.losses(batch)
    loss, accuracy = by_loop(model, batch)
    assert float(terms["contrastive"]) == pytest.approx(loss, abs=1e-4)
    assert float(terms["accuracy"]) == pytest.approx(accuracy)
    penalty = []
    for row in range(ROWS):
        length = SAMPLES if batch.mask is None else int(batch.mask[row].sum())
        penalty.append(model.encoder.front_end(batch.inputs[row : row + 1, :length])[0].square().mean(2).flatten())
    assert float(terms["feature_penalty"]) == pytest.approx(float(torch.cat(penalty).mean()), abs=1e-5)
    whole = float(terms["contrastive"]) + 10 * float(terms["feature_penalty"])
    whole += 0.1 * float(terms["diversity"]) if targets == "quantized" else 0.0
    assert float(terms["loss"]) == pytest.approx(whole, abs=1e-4)


def test_a_tenth_of_the_gradient_reaches_the_front_end_and_all_of_it_the_rest():
    gradients = []
    for factor in (1.0, 0.1):
        model = make(front_end_gradient=factor)
        model.losses(padded())["loss"].backward()
        gradients.append({name: parameter.grad for name, parameter in model.encoder.named_parameters()})
    for name, gradient in gradients[0].items():
        factor = 0.1 if name.startswith("front_end") else 1.0
        torch.testing.assert_close(gradients[1][name], factor * gradient, atol=1e-7, rtol=1e-4)


@torch.no_grad()
def test_neither_the_order_of_a_batch_nor_padding_changes_anything():
    model, batch = make(), padded()
    ours = model.losses(batch)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = Batch(batch.inputs[order], batch.mask[order], None, batch.index[order])
    noise = torch.randn(ROWS, 333, generator=torch.Generator().manual_seed(1))
    mask = F.pad(batch.mask, (0, 333), value=False)
    longer = batch._replace(inputs=torch.cat([batch.inputs, noise], dim=1), mask=mask)
    for other in (shuffled, longer):
        for name, value in model.losses(other).items():
            torch.testing.assert_close(value, ours[name], atol=1e-5, rtol=1e-4)


def test_recordings_too_short_for_negatives_count_for_nothing():
    model = make(diversity_weight=0.0, feature_penalty=0.0).eval()
    with torch.no_grad():
        batch = padded((1800, 25, 1233, 3))  # the second and the fourth have one frame
        ours = model.losses(batch)
        rows = torch.tensor([0, 2])
        alone = model.losses(Batch(batch.inputs[rows], batch.mask[rows], None, batch.index[rows]))
        for name in ("loss", "accuracy", "equal_negatives"):
            torch.testing.assert_close(ours[name], alone[name], atol=1e-5, rtol=1e-4)
    terms = make(feature_penalty=0.0, diversity_weight=0.0).losses(padded((25, 10, 3, 25)))
    assert float(terms["loss"].detach()) == 0
    terms["loss"].backward()


@torch.no_grad()
def test_under_bfloat16_the_loss_is_a_float32_close_to_the_exact_one():
    # A small temperature would multiply what bfloat16 rounds off the cosines.
    model, batch = make(targets="continuous", temperature=1.0).eval(), padded()
    exact = model.losses(batch)
    with torch.autocast("cpu", torch.bfloat16):
        low = model.losses(batch)
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], exact["loss"], atol=0.05, rtol=0)


@torch.no_grad()
def test_validation_masks_the_same_frames_every_time_and_training_others():
    model, batch = make().eval(), padded()
    assert torch.equal(model.losses(batch)["loss"], model.losses(batch)["loss"])
    validation = hidden_in(model, batch).mask
    assert not torch.equal(validation, hidden_in(model.train(), batch).mask)


@torch.no_grad()
def test_an_encoder_that_predicts_nothing_has_the_chance_loss():
    model = make(targets="continuous").eval()
    model.context_head.weight.zero_()
    model.context_head.bias.zero_()
    terms = model.losses(padded())
    assert float(terms["contrastive"]) == pytest.approx(model.chance_loss(ROWS), abs=1e-5)
    assert model.chance_loss(ROWS) == pytest.approx(math.log(13)) and float(terms["accuracy"]) == 0


def test_the_quantizers_temperature_decays_over_its_part_of_the_run():
    model = make(gumbel_temperature=(2.0, 0.5), gumbel_decay=0.5, optimizer=Optimizer(learning_rate=1e-4))
    seen = []

    class Watch(L.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.append(pl_module.quantizer_temperature)

    fit(model, steps=8, callbacks=[Watch()])
    expected = [2.0 * 0.25 ** min(1.0, step / 4) for step in range(8)]
    assert seen == pytest.approx(expected)


def fit(model: Wav2Vec2, steps: int, callbacks: list[L.Callback], **settings) -> L.Trainer:
    batches = DataLoader([padded(), full()], batch_size=None)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1, **settings,
    )  # fmt: skip
    with warnings.catch_warnings():
        # PyTorch cannot pickle a convolution with weight norm; from a YAML file a checkpoint holds settings instead.
        warnings.filterwarnings("ignore", "Attribute 'encoder' removed from hparams")  # weight norm cannot be pickled
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.fit(model, batches, batches)
    return trainer


def collapsed() -> Wav2Vec2:
    """Its targets have one code only, whatever comes in."""
    model = make(optimizer=Optimizer(learning_rate=0.0))
    with torch.no_grad():
        model.quantizer.logits.weight.zero_()
        model.quantizer.logits.bias[0] = model.quantizer.logits.bias[8] = 50.0
    return model


def test_when_all_targets_are_one_code_the_figures_say_so_and_a_warning_names_it():
    with torch.no_grad():
        terms = collapsed().losses(padded())
    assert float(terms["equal_negatives"]) == 1 and float(terms["code_perplexity"]) == pytest.approx(2)
    assert float(terms["contrastive"]) == 0 and float(terms["accuracy"]) == 1  # no negative is left
    with pytest.warns(UserWarning, match="codes have collapsed: 100% of the negatives") as caught:
        fit(collapsed(), 70, [Alarms()], val_check_interval=2)
    assert sum("collapsed" in str(warning.message) for warning in caught) == 1


RATE = 2000  # samples per second, and samples of a recording


def glides(count: int, seed: int) -> torch.Tensor:
    """Tones that rise or fall evenly from one pitch to another: a gap in them follows from both sides of it."""
    generator = torch.Generator().manual_seed(seed)
    first, last = 0.02 + 0.4 * torch.rand(2, count, 1, generator=generator)
    pitch = first + (last - first) * torch.arange(RATE) / RATE
    phase = torch.rand(count, 1, generator=generator) + pitch.cumsum(1)
    return torch.sin(2 * math.pi * phase)


def train(targets: str, mask_length: int, mask_ratio: float) -> dict[str, float]:
    """Trains on new recordings at every step; returns the terms on unseen ones."""
    torch.manual_seed(0)
    encoder = Wav2Vec2Encoder(
        LogMel(mels=16, strides=[], sample_rate=RATE),
        dim=32, depth=2, heads=2, position_kernel=16, position_groups=4, sample_rate=RATE, **NO_DROPOUT,
    )  # fmt: skip
    model = Wav2Vec2(encoder, mask_ratio, mask_length, negatives=12, targets=targets, entries=8, code_dim=24)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, fused=True)
    for step in range(100):
        optimizer.zero_grad()
        model.losses(Batch(glides(16, step), None, None, torch.arange(16) + 16 * step))["loss"].backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        terms = model.losses(Batch(glides(100, 10**6), None, None, torch.arange(100)))
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize(("targets", "loss"), [("quantized", 1.0), ("continuous", 1.9)])
def test_it_predicts_hidden_frames_from_what_is_around_them_and_with_nothing_around_it_cannot(targets, loss):
    found = train(targets, mask_length=5, mask_ratio=0.65)
    blind = train(targets, mask_length=1, mask_ratio=1.0)
    chance = math.log(1 + 12 * (1 - blind["equal_negatives"]))  # negatives equal to the positive do not count
    assert found["contrastive"] < loss < 0.75 * chance < blind["contrastive"]
    assert found["accuracy"] > 2 * blind["accuracy"]


def test_a_front_end_without_weights_has_no_penalty():
    torch.manual_seed(0)
    encoder = Wav2Vec2Encoder(
        LogMel(mels=8, strides=[]), dim=16, depth=1, heads=2, position_kernel=8, position_groups=2
    )
    model = Wav2Vec2(encoder, entries=4, code_dim=8, negatives=5)
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    terms = model.losses(Batch(waves, None, None, torch.arange(2)))
    assert "feature_penalty" not in terms
    torch.testing.assert_close(terms["loss"].detach(), (terms["contrastive"] + 0.1 * terms["diversity"]).detach())
    terms["loss"].backward()


def test_probes_see_the_pooled_vectors_of_the_unmasked_recording():
    model, batch = make().eval(), padded()
    assert torch.equal(model.encode(batch).pooled, model.encoder(batch.inputs, batch.mask).pooled)


def test_what_cannot_work_is_refused():
    for encoder in (GRUEncoder(LogMel()), MLP(hidden=[8])):
        with pytest.raises(InputError, match=f"bidirectional encoder of frames.*{type(encoder).__name__} is not"):
            Wav2Vec2(encoder)
    for settings, name in (
        ({"mask_ratio": 0.0}, "mask_ratio"), ({"mask_length": 0}, "mask_length"),
        ({"negatives": 0}, "negatives"), ({"temperature": 0.0}, "temperature"), ({"groups": 7}, "groups 7"),
        ({"gumbel_temperature": (0.5, 2.0)}, "gumbel_temperature"), ({"gumbel_decay": 2.0}, "gumbel_decay"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=name):
            make(**settings)


@pytest.mark.parametrize(
    ("front_end", "penalty"),
    [
        (None, 0.0),
        (WaveConvolutions(16, KERNELS, STRIDES, norm="group", bias=False), 10.0),
        (WaveConvolutions(16, KERNELS, STRIDES, norm="layer"), 0.0),
        (LogMel(dim=16), 0.0),
    ],
)
def test_the_penalty_is_the_published_one_of_the_front_ends_kind(front_end, penalty):
    """Baevski et al.'s code: 10 with group norm in the first layer only (base), none with a norm in all (large)."""
    encoder = Wav2Vec2Encoder(front_end, dim=32, depth=1, heads=2, position_kernel=8, position_groups=4)
    model = Wav2Vec2(encoder)
    assert model.feature_penalty == penalty
    assert Wav2Vec2(encoder, feature_penalty=3.0).feature_penalty == 3.0


def test_the_default_loss_is_about_the_contrast():
    torch.manual_seed(0)
    terms = Wav2Vec2(Wav2Vec2Encoder(WaveConvolutions(64), dim=32, depth=1, heads=2)).losses(
        full()._replace(inputs=0.1 * torch.randn(ROWS, 16000))
    )
    assert float(terms["contrastive"]) > 0.9 * float(terms["loss"].detach())
