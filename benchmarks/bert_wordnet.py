"""BERT on WordNet's definitions, next to Hugging Face's Trainer on the same machine: how fast does it train?

Everybody has a BERT of 4 layers, 256 wide, a vocabulary of 8192, rows of 128 tokens and batches of 32, 15 % of the
tokens hidden anew at every step, and AdamW. In tokens per second, measured in turns within one run so that a machine's
moods hit everybody alike:

- ours: ssl_zoo from the data to the optimizer step, under a Lightning Trainer with the callbacks that its command line
  always adds, in the machine's fastest precision and in float32;
- limit: ssl_zoo's method and optimizer in a bare loop on one ready-made batch, in the fastest precision;
- trainer: transformers' BertForMaskedLM, its DataCollatorForLanguageModeling and its Trainer, on the same rows, in
  float32, and in the fastest precision for information. It lets tokens see the other documents of their row; ours
  keeps documents apart.

The Trainer needs one more package, which is no dependency of the project:

    uv run --with accelerate python benchmarks/bert_wordnet.py

The last line is everything as JSON. A ratio is the median over rounds of the ratio within a round.
"""

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from timing import DEVICE, PRECISION, WARMUP_STEPS, compare, now, train, train_on_one_batch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.wordnet import WordNet
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.methods.bert import BERT

LENGTH, BATCH_SIZE, VOCABULARY, WIDTH, DEPTH, HEADS = 128, 32, 8192, 256, 4, 4
TOKENS = LENGTH * BATCH_SIZE


class Rows(Dataset[Any]):
    """Packed rows as the Trainer's collator wants them, one at a time."""

    def __init__(self, data: TextData) -> None:
        rows = data.pretrain_set.__getitems__(list(range(len(data.pretrain_set)))).inputs
        self.rows = [{"input_ids": row} for row in rows.tolist()]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def __getitem__(self, position: int) -> Any:
        """``{"input_ids": list}``."""
        return self.rows[position]


class TrainerClock(TrainerCallback):
    """The same clock for the Trainer."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Reads the clock before the first timed step and after each."""
        if state.global_step == WARMUP_STEPS:
            self.start = now()
        self.steps, self.end = state.global_step - WARMUP_STEPS, now()


def make_ours(data: TextData) -> BERT:
    """The method, untrained."""
    return BERT(BertEncoder(data.vocabulary, dim=WIDTH, depth=DEPTH, heads=HEADS, max_length=LENGTH))


def run_trainer(data: TextData, rows: Rows, steps: int, bfloat16: bool) -> float:
    """The Trainer's tokens per second."""
    names = {"pad_token": "[PAD]", "mask_token": "[MASK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=data.corpus.tokenizer.backend, **names)
    config = BertConfig(
        vocab_size=data.vocabulary["size"],
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
    )
    clock = TrainerClock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SIZE,
            max_steps=steps,
            bf16=bfloat16,
            use_cpu=DEVICE.type == "cpu",
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        )
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        Trainer(BertForMaskedLM(config), arguments, collator, rows, callbacks=[clock]).train()
    return clock.steps * TOKENS / (clock.end - clock.start)


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description="ssl_zoo's BERT next to Hugging Face's Trainer.")
    parser.add_argument("--rounds", type=int, default=3, help="turns for everybody")
    parser.add_argument("--steps", type=int, default=15, help="timed steps in a turn")
    args = parser.parse_args()

    warnings.filterwarnings("ignore", module="lightning")  # its advice would stand between the lines of the table
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.manual_seed(0)
    data = TextData(WordNet(), vocab_size=VOCABULARY, length=LENGTH, batch_size=BATCH_SIZE)
    data.setup()
    rows, steps = Rows(data), WARMUP_STEPS + args.steps
    batch = data.pretrain_set.__getitems__(list(range(BATCH_SIZE)))
    turns: dict[str, Callable[[], float]] = {
        "ours": lambda: TOKENS * train(make_ours(data), data, steps),
        "ours, float32": lambda: TOKENS * train(make_ours(data), data, steps, "32-true"),
        "limit": lambda: TOKENS * train_on_one_batch(make_ours(data), batch, steps),
        "trainer, float32": lambda: run_trainer(data, rows, steps, bfloat16=False),
        "trainer, fastest precision": lambda: run_trainer(data, rows, steps, bfloat16=PRECISION == "bf16-mixed"),
    }
    results = compare(turns, args.rounds, ["trainer, float32"], "tokens")
    print(json.dumps({"device": DEVICE.type, "precision": PRECISION, "threads": torch.get_num_threads(), **results}))


if __name__ == "__main__":
    main()
