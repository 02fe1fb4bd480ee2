"""GPT on the characters of Python's documentation, next to nanoGPT on the same machine.

Everybody has nanoGPT's configuration for CPUs (4 layers of 4 heads, 128 wide, contexts of 64 characters, batches of 12,
no dropout, 2000 steps). nanoGPT is no package; its network and its loop are written down here anew, as its README and
its CPU configuration describe them: no biases, AdamW with betas 0.9 and 0.99 and decay 0.1, gradients clipped to norm
1, learning rate 1e-3 falling along a cosine to 1e-4 after 100 steps of warm-up, random windows that run over the ends
of documents, float32.

Speed, in characters per second, measured in turns within one run so that a machine's moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in float32 and in the machine's fastest precision;
- limit: ssl_zoo's method and optimizer in a bare loop on one ready-made batch, in the fastest precision;
- nanogpt: as above.

Loss, with `--accuracy`: both train for 2000 steps on the same training documents. The same code then gives the mean
cross entropy of both over the whole validation split, in windows of 64 characters that do not overlap, leaving out the
first character of a document, which nothing predicts. A sample of ours is printed.

    uv run python benchmarks/gpt_python_docs.py [--accuracy]

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from timing import DEVICE, PRECISION, WARMUP_STEPS, compare, now, train, train_on_one_batch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.python_docs import PythonDocs
from ssl_zoo.encoders.text import GPT2Encoder
from ssl_zoo.methods.gpt import GPT
from ssl_zoo.objectives.language_modeling import token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.targets.tokens import next_tokens

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "text" / "gpt_characters.yaml"
CONTEXT, BATCH_SIZE, STEPS = 64, 12, 2000
LAYERS, HEADS, WIDTH = 4, 4, 128
LEARNING_RATE, LOWEST, WARMUP, DECAY = 1e-3, 1e-4, 100, 0.1


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and beside an identity."""

    def __init__(self) -> None:
        super().__init__()
        self.first_norm, self.second_norm = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.attention = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attended = nn.Linear(WIDTH, WIDTH, bias=False)
        self.wider, self.narrower = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """``(B, T, WIDTH)`` to the same."""
        shape = (*vectors.shape[:2], HEADS, WIDTH // HEADS)
        queries, keys, values = (
            each.view(shape).transpose(1, 2) for each in self.attention(self.first_norm(vectors)).split(WIDTH, dim=2)
        )
        heads = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        vectors = vectors + self.attended(heads.transpose(1, 2).contiguous().view(vectors.shape))
        return vectors + self.narrower(F.gelu(self.wider(self.second_norm(vectors))))


class NanoGPT(nn.Module):
    """nanoGPT's network at its CPU configuration."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary_size, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, vocabulary_size, bias=False)
        self.tokens.weight = self.head.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("attended.weight", "narrower.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """``(B, T, V)`` logits of the tokens after ``(B, T)``."""
        vectors = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.norm(self.blocks(vectors)))


def train_nanogpt(stream: np.ndarray, vocabulary_size: int, steps: int, total: int) -> tuple[NanoGPT, float]:
    """The network after so many steps of a run of `total`, and its characters per second."""
    model = NanoGPT(vocabulary_size).to(DEVICE)
    matrices, vectors = ([p for p in model.parameters() if (p.ndim > 1) == wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.99), fused=DEVICE.type == "cuda")
    start = 0.0
    for step in range(steps):
        if step == WARMUP_STEPS:
            start = now()
        fallen = min(1.0, max(0.0, (step - WARMUP) / max(1, total - WARMUP)))
        rate = LOWEST + 0.5 * (1 + math.cos(math.pi * fallen)) * (LEARNING_RATE - LOWEST)
        for group in optimizer.param_groups:
            group["lr"] = rate if step >= WARMUP else LEARNING_RATE * (step + 1) / (WARMUP + 1)
        places = torch.randint(len(stream) - CONTEXT, (BATCH_SIZE,)).tolist()
        ids, targets = (
            torch.stack([torch.from_numpy(stream[p + ahead : p + ahead + CONTEXT].astype(np.int64)) for p in places])
            for ahead in (0, 1)
        )
        logits = model(ids.to(DEVICE))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.to(DEVICE).flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # its CPU configuration prints every step's loss
    return model, (steps - WARMUP_STEPS) * BATCH_SIZE * CONTEXT / max(1e-9, now() - start)


def make_ours(data: TextData) -> GPT:
    """The method as its experiment has it, untrained."""
    settings = yaml.safe_load(EXPERIMENT.read_text())["model"]["init_args"]
    encoder, optimizer = settings.pop("encoder")["init_args"], Optimizer(**settings.pop("optimizer"))
    return GPT(GPT2Encoder(data.vocabulary, **encoder), **settings, optimizer=optimizer)


@torch.no_grad()
def validation_nats(logits_of: Callable[[Tensor, Tensor | None], Tensor], data: TextData) -> float:
    """The mean cross entropy in nats per character over the whole validation split.

    Args:
        logits_of: gives ``(B, 64, V)`` logits of the next characters, for rows ``(B, 64)`` and documents' numbers.
        data: in rows of 65 characters.
    """
    total, count = 0.0, 0
    for start in range(0, len(data.validation_set), 256):
        rows = range(start, min(start + 256, len(data.validation_set)))
        batch = data.validation_set.__getitems__(list(rows))
        targets, valid = next_tokens(batch.inputs, batch.mask)
        mask = None if batch.mask is None else batch.mask[:, :-1].to(DEVICE)
        nats = token_nats(logits_of(batch.inputs[:, :-1].to(DEVICE), mask).cpu(), targets)
        total, count = total + float(nats[valid].double().sum()), count + int(valid.sum())
    return total / count


def compare_loss(data: TextData, stream: np.ndarray) -> dict[str, float]:
    """The loss of both after 2000 steps; prints a sample of ours."""
    ours = make_ours(data)
    train(ours, data, STEPS)
    ours.to(DEVICE).eval()
    theirs = train_nanogpt(stream, data.vocabulary["size"], STEPS, STEPS)[0].eval()
    found = {
        "ours": validation_nats(lambda ids, mask: ours.token_logits(ours.encoder(ids, mask).sequence).float(), data),
        "nanogpt": validation_nats(lambda ids, mask: theirs(ids), data),
    }
    print(f"\nnats per character after {STEPS} steps, whole validation split")
    for name, nats in found.items():
        print(f"{name:<28}{nats:>9.3f}")
    prompt = data.validation_set.__getitems__([0])
    print("\n" + data.decode(ours.generate(ours.transfer_batch_to_device(prompt, DEVICE, 0))[0].cpu()))
    return found


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="ssl_zoo's GPT next to nanoGPT on the characters of Python's manual.")
    parser.add_argument("--rounds", type=int, default=5, help="turns for everybody; 0 leaves the speed out")
    parser.add_argument("--steps", type=int, default=150, help="timed steps in a turn")
    parser.add_argument("--accuracy", action="store_true", help="also train both and compare their validation loss")
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.manual_seed(0)
    data = TextData(PythonDocs(), tokenizer="characters", length=CONTEXT + 1, batch_size=BATCH_SIZE)
    data.setup()
    stream, size = data.pretrain_set.tokens.values, data.vocabulary["size"]
    batch = data.pretrain_set.__getitems__(list(range(BATCH_SIZE)))
    steps, characters = WARMUP_STEPS + args.steps, BATCH_SIZE * CONTEXT
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: characters * train(make_ours(data), data, steps),
        "ours, float32": lambda: characters * train(make_ours(data), data, steps, "32-true"),
        "limit": lambda: characters * train_on_one_batch(make_ours(data), batch, steps),
        "nanogpt": lambda: train_nanogpt(stream, size, steps, STEPS)[1],
    }
    results: dict[str, Any] = {"device": DEVICE.type, "precision": PRECISION, "threads": torch.get_num_threads()}
    if args.rounds:
        results |= compare(turns, args.rounds, ["nanogpt"], "characters")
    if args.accuracy:
        results["nats_per_character"] = compare_loss(data, stream)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
