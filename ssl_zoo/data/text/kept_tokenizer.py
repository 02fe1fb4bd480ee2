"""A tokenizer in plain values, as checkpoints keep it: a run reads texts also where what it was trained on is gone."""

from typing import Any

from tokenizers import Tokenizer

from ssl_zoo.data.text.tokenizer import TextTokenizer


def as_kept(tokenizer: TextTokenizer) -> dict[str, Any]:
    """What `from_kept` makes the same tokenizer of: the content of tokenizer.json, and the ids of special tokens."""
    return {"json": tokenizer.backend.to_str(), "special": dict(tokenizer.special)}


def from_kept(kept: dict[str, Any]) -> TextTokenizer:
    """The tokenizer that `as_kept` has described."""
    return TextTokenizer(Tokenizer.from_str(kept["json"]), kept["special"])
