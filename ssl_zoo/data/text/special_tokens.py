"""Special tokens: which ids they are, and how to keep a text from having any."""

import hashlib
import json
from typing import TypedDict

from tokenizers import Tokenizer

# What others call theirs, where nothing but their tokenizer.json is known.
USUAL_NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "begin": ("[CLS]", "<s>", "<bos>", "<|begin_of_text|>"),
    "end": ("[SEP]", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
    "unknown": ("[UNK]", "<unk>"),
}


class SpecialIds(TypedDict):
    """The ids of a tokenizer's special tokens, None for those it lacks."""

    pad: int
    begin: int | None
    end: int
    mask: int | None
    unknown: int | None


def find_special_ids(backend: Tokenizer, known: dict[str, int | None] | None = None) -> SpecialIds:
    """The special tokens' ids, by their usual names where they are not `known`.

    A token with two roles keeps the end of a document: GPT-2 has one token for everything.
    """
    found = {}
    for role, names in USUAL_NAMES.items():
        found[role] = first_of((known or {}).get(role), *(backend.token_to_id(name) for name in names))
    end = found["end"]
    for role in ("begin", "mask", "unknown"):
        found[role] = None if found[role] == end else found[role]
    found["pad"] = first_of(found["pad"], end)
    return SpecialIds(**found)  # type: ignore[typeddict-item]  # `end` is None only until `load_tokenizer` refuses it


def first_of(*ids: int | None) -> int | None:
    """The first id that is one."""
    return next((token for token in ids if token is not None), None)


def unmarked(tokenizer: Tokenizer, special: set[int]) -> Tokenizer:
    """A copy that turns texts into the same ids, but for texts that speak about special tokens.

    The library can be asked not to look for special tokens in a text. Yet their names stand among a model's words,
    where Unigram, WordLevel and merges find them again, and some tokenizers do not say that theirs are special. So the
    copy has other names for them, which no text has.

    Args:
        tokenizer: any.
        special: ids that stand for no text.
    """
    described = json.loads(tokenizer.to_str())
    words = {token: word for word, token in tokenizer.get_vocab(with_added_tokens=True).items()}
    names = {words[token]: _nowhere(words[token]) for token in special & words.keys()}
    model = described["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(word, word): token for word, token in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(word, word), score] for word, score in model["vocab"]]
    if model.get("unk_token") is not None:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    if "merges" in model:
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in pairs if not names.keys() & {*pair, "".join(pair)}]
    for added in described["added_tokens"]:
        if added["content"] in names:
            added.update(content=names[added["content"]], special=True)
    described["post_processor"] = None  # it knows special tokens by name, and frames no document here
    copy = Tokenizer.from_str(json.dumps(described))
    copy.encode_special_tokens = True
    return copy


def _nowhere(name: str) -> str:
    """A name that stands in no text: U+FDD0 is no character, and who would write what follows it?"""
    return f"\ufdd0{hashlib.sha256(name.encode()).hexdigest()}"
