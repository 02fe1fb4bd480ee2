"""What a method writes, as text."""

from itertools import groupby
from pathlib import Path
from typing import Any

import lightning as L

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.shown_examples import show_examples
from ssl_zoo.data.base import data_of
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.methods.base import Method
from ssl_zoo.parts.texts import Texts
from ssl_zoo.runs import files

SAMPLES = 4


class MethodTexts(L.Callback):
    """Writes `Method.texts` of a few validation examples to samples.txt when training ends.

    All that a method predicts as texts goes to generated.txt. A bar stands between what a method was given and what it
    has written. The first texts are printed.
    """

    def __init__(self) -> None:
        self._written: list[str] = []

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks for the texts of the first documents of the validation set, where the data has a tokenizer."""
        assert isinstance(pl_module, Method)
        data = data_of(trainer)
        directory = trainer.log_dir  # the ranks agree on it: all of them have to ask, and equally often
        tokens = data.tokens()
        if tokens is None or directory is None or not trainer.is_global_zero:
            return
        texts = show_examples(trainer, pl_module, data.validation_set, range(SAMPLES), pl_module.texts)
        if texts is not None:
            print(f"\n{type(pl_module).__name__} on validation texts, │ between what it was given and what it wrote:")
            write(decode(texts, tokens), Path(directory) / files.SAMPLES)

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
        if isinstance(outputs, Texts):
            tokens = data_of(trainer).tokens()
            assert tokens is not None, "what is written in tokens was read in tokens"
            self._written += decode(outputs, tokens)

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes this rank's texts, and prints the first."""
        directory = trainer.log_dir  # all ranks have to ask
        if not self._written:
            return
        path = Path(directory or ".") / files.GENERATED
        if trainer.world_size > 1:
            path = path.with_stem(f"{path.stem}-{trainer.global_rank}")
        write(self._written, path)
        self._written = []
        if trainer.is_global_zero:
            print(f"\nAll texts: {path}", flush=True)


def decode(texts: Texts, tokens: Tokens) -> list[str]:
    """Texts in words, a bar wherever what was given and what the method has written meet."""
    found = []
    for ids, own in zip(texts.ids.tolist(), texts.own.tolist(), strict=True):
        groups = groupby(zip(ids, own, strict=True), key=lambda token: token[1])
        parts = [(written, tokens.tokenizer.decode([token for token, _ in group])) for written, group in groups]
        if len(parts) > 1 and parts[-1] == (False, ""):  # what fills a row up
            parts.pop()
        found.append("│".join(text for _, text in parts))
    return found


def write(texts: list[str], path: Path) -> None:
    """Writes texts, a line between them, and prints the first few."""
    separator = "\n" + "─" * 80 + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(separator.join(texts) + "\n", encoding="utf-8")
    print(separator + separator.join(texts[:SAMPLES]) + separator, flush=True)
