"""What a language model writes, as text."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import data_of
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.methods.gpt import GPT
from ssl_zoo.runs import files

SAMPLES = 4


class GeneratedText(L.Callback):
    """Writes a few of a GPT's samples to samples.txt when training ends, and all that it predicts to generated.txt.

    Every text is shown with its prompt, a bar between them. The first samples are printed.
    """

    def __init__(self) -> None:
        self._written: list[str] = []

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Continues the first documents of the validation set."""
        if not isinstance(pl_module, GPT):
            return
        data = data_of(trainer)
        directory = trainer.log_dir  # the ranks agree on it: all of them have to ask, and equally often
        sampling, tokens = pl_module.sampling, data.tokens()
        room = pl_module.prompt_tokens + sampling.max_new_tokens
        if tokens is None or directory is None or not trainer.is_global_zero:
            return
        if sampling.beams > 1 and room > pl_module.encoder.max_length:
            return  # refused with the reason when somebody asks for a prediction
        batch = data.validation_set.__getitems__(list(range(min(SAMPLES, len(data.validation_set)))))
        batch = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
        was_training = pl_module.training
        pl_module.eval()
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            texts = decode(pl_module.generate(batch), pl_module.prompt_lengths(batch), tokens)
        pl_module.train(was_training)
        write(texts, Path(directory) / files.SAMPLES)

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects texts."""
        if not isinstance(pl_module, GPT):
            return
        tokens = data_of(trainer).tokens()
        assert tokens is not None, "what a GPT reads are tokens"
        self._written += decode(outputs, pl_module.prompt_lengths(batch), tokens)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes this rank's texts, and prints the first."""
        if not isinstance(pl_module, GPT):
            return
        path = Path(trainer.log_dir or ".") / files.GENERATED
        if trainer.world_size > 1:
            path = path.with_stem(f"{path.stem}-{trainer.global_rank}")
        write(self._written, path)
        self._written = []
        if trainer.is_global_zero:
            print(f"\nAll texts: {path}", flush=True)


def decode(ids: Tensor, prompt_lengths: Tensor, tokens: Tokens) -> list[str]:
    """The texts of ``(B, L)`` token ids, with a bar where the prompt ends."""
    rows, text_of = zip(ids.tolist(), prompt_lengths.tolist(), strict=True), tokens.tokenizer.decode
    return [f"{text_of(row[:length])}│{text_of(row[length:])}" for row, length in rows]


def write(texts: list[str], path: Path) -> None:
    """Writes texts, a line between them, and prints the first few."""
    separator = "\n" + "─" * 80 + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(separator.join(texts) + "\n", encoding="utf-8")
    print(separator + separator.join(texts[:SAMPLES]) + separator, flush=True)
