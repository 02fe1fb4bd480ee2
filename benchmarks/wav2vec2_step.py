"""wav2vec 2.0 on spoken sentences, next to transformers' own pretraining model on the same machine: how fast?

Everybody has 7 convolutions of 128 channels with layer norms, a transformer of 4 layers, 256 wide, 2 codebooks of 320
entries, 100 negatives, dropout of 0.1, AdamW, and batches of 16 waveforms of 2 s at 16 kHz. In seconds of audio per
second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in the machine's fastest precision and in float32;
- limit: ssl_zoo's method and optimizer in a bare loop on one ready-made batch, in the fastest precision;
- transformers: Wav2Vec2ForPreTraining in a bare loop on one ready-made batch, with masks and negatives drawn at every
  step as the library's example for pretraining draws them, in float32, and in the fastest precision for information.

Before that it prints what masking, negatives and the contrastive loss, forward and backward, take of a step on 8
recordings of 8 s, 400 frames each.

    uv run python benchmarks/wav2vec2_step.py

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Callable

import torch
from timing import DEVICE, PRECISION, WARMUP_STEPS, compare, now, train, train_on_one_batch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.sources.festvox_ru import FestvoxRu
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.front_ends import WaveConvolutions
from ssl_zoo.methods.wav2vec2 import Wav2Vec2

RATE, SECONDS, BATCH_SIZE = 16000, 2.0, 16
CHANNELS, WIDTH, DEPTH, HEADS = 128, 256, 4, 4
MASK_RATIO, MASK_LENGTH, NEGATIVES, DROPOUT = 0.65, 10, 100, 0.1
AUDIO = SECONDS * BATCH_SIZE


def make_ours() -> Wav2Vec2:
    """The method, untrained."""
    rates = {"dropout": DROPOUT, "attention_dropout": DROPOUT}
    encoder = Wav2Vec2Encoder(WaveConvolutions(CHANNELS), dim=WIDTH, depth=DEPTH, heads=HEADS, **rates)
    return Wav2Vec2(encoder, MASK_RATIO, MASK_LENGTH, NEGATIVES)


def make_transformers() -> Wav2Vec2ForPreTraining:
    """The same of the transformers library."""
    config = Wav2Vec2Config(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        conv_dim=[CHANNELS] * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_negatives=NEGATIVES,
        codevector_dim=256,
        proj_codevector_dim=256,
        hidden_dropout=DROPOUT,
        attention_dropout=DROPOUT,
        feat_proj_dropout=DROPOUT,
        activation_dropout=0.0,
        layerdrop=0.0,
    )
    return Wav2Vec2ForPreTraining(config).to(DEVICE).train()


def run_transformers(waveforms: Tensor, steps: int, bfloat16: bool) -> float:
    """Steps per second of the transformers library."""
    model = make_transformers()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    shape = (len(waveforms), int(model._get_feat_extract_output_lengths(waveforms.shape[1])))
    waveforms, start = waveforms.to(DEVICE), 0.0
    for step in range(steps):
        if step == WARMUP_STEPS:
            start = now()
        masked = _compute_mask_indices(shape, MASK_RATIO, MASK_LENGTH, min_masks=2)
        negatives = _sample_negative_indices(shape, NEGATIVES, masked)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bfloat16):
            loss = model(
                waveforms,
                mask_time_indices=torch.from_numpy(masked).to(DEVICE),
                sampled_negative_indices=torch.from_numpy(negatives).to(DEVICE),
            ).loss
        optimizer.zero_grad()
        (loss / int(masked.sum())).backward()
        optimizer.step()
    return (steps - WARMUP_STEPS) / (now() - start)


def objective_share(steps: int) -> dict[str, float]:
    """Milliseconds of a step on 8 x 8 s, and of what is wav2vec 2.0's own in it."""
    recordings, samples = 8, 8 * RATE + 80  # 400 frames
    method = make_ours().to(DEVICE)
    index = torch.arange(recordings, device=DEVICE)
    batch = Batch(torch.randn(recordings, samples, device=DEVICE), None, None, index)
    real = torch.ones(recordings, method.encoder.front_end.frames(samples), dtype=torch.bool, device=DEVICE)
    optimizer = torch.optim.AdamW(method.parameters())

    def whole() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            loss = method.losses(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def objective() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            hidden = method.masking(real, method.keys(batch))
            queries, targets = (
                torch.randn(*hidden.positions.shape, 256, device=DEVICE, requires_grad=True) for _ in range(2)
            )
            loss, _ = method._contrast(queries, targets, hidden.valid, method.keys(batch))
        loss.backward()

    took = {}
    for name, part in (("step", whole), ("masking_negatives_loss", objective)):
        part()
        times = []
        for _ in range(steps):
            start = now()
            part()
            times.append(now() - start)
        took[f"{name}_ms"] = 1000 * sorted(times)[len(times) // 2]
    took["share"] = took["masking_negatives_loss_ms"] / took["step_ms"]
    print("8 x 400 frames: " + ", ".join(f"{name} {value:.3g}" for name, value in took.items()))
    return took


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="ssl_zoo's wav2vec 2.0 next to transformers'.")
    parser.add_argument("--root", help="folder with the unpacked package festvox-ru; fetched when left out")
    parser.add_argument("--rounds", type=int, default=3, help="turns for everybody")
    parser.add_argument("--steps", type=int, default=10, help="timed steps in a turn")
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.manual_seed(0)
    share = objective_share(args.steps)
    data = AudioData(FestvoxRu(args.root), RATE, crop_seconds=SECONDS, batch_size=BATCH_SIZE)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    steps, low = WARMUP_STEPS + args.steps, PRECISION == "bf16-mixed"
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: AUDIO * train(make_ours(), data, steps),
        "ours, float32": lambda: AUDIO * train(make_ours(), data, steps, "32-true"),
        "limit": lambda: AUDIO * train_on_one_batch(make_ours(), batch, steps),
        "transformers, float32": lambda: AUDIO * run_transformers(batch.inputs, steps, bfloat16=False),
        "transformers, fastest precision": lambda: AUDIO * run_transformers(batch.inputs, steps, bfloat16=low),
    }
    results = compare(turns, args.rounds, ["transformers, float32"], "audio seconds")
    machine = {"device": DEVICE.type, "precision": PRECISION, "threads": torch.get_num_threads()}
    print(json.dumps({**machine, **results, "8 x 400 frames": share}))


if __name__ == "__main__":
    main()
