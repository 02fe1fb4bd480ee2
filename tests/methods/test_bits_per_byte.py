"""Bits per byte of a whole part of the data, against loops over single tokens."""

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import lightning as L
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from ssl_zoo.data.text import corpus
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.base import Document, TextSource
from ssl_zoo.encoders.text import GPT2Encoder
from ssl_zoo.methods.gpt import GPT

WORDS = ["moon", "Star", "orbit.", "bread", "milk", "soup,", "</s>", "[SEP]"]


class Made(TextSource):
    """Documents of very different lengths."""

    name, licence = "Made", "none"

    def fingerprint(self) -> str:
        return "made"

    def documents(self) -> Iterator[Document]:
        draw = Random(0)
        for number in range(60):
            yield Document("  ".join(draw.choices(WORDS, k=draw.choice([1, 2, 5, 30]))) + "\n" * (number % 2))


def ready_made(kind: str, path: Path) -> str:
    """The file of a tokenizer that others have made."""
    if kind == "unigram":
        pieces = ["<unk>", "<s>", "</s>", "▁", "▁moon", "▁Star", "or", "bi", *"abdeiklmnoprstuvS<>/[]EP.,\n"]
        backend = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0))
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
    else:  # without a token that begins documents
        words = ["<unk>", "</s>", *WORDS[:6], "[SEP]"]
        backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(path / "tokenizer.json"))
    return str(path / "tokenizer.json")


def tokens_and_bytes(data: TextData, text: str) -> list[tuple[int, int]]:
    """The tokens of one document and the bytes of each, found by looking for one after the other in the text."""
    special, backend = data.corpus.tokenizer.special, data.corpus.tokenizer.splitter
    found = [] if special["begin"] is None else [(special["begin"], 0)]
    at = 0
    for token in backend.encode(text, add_special_tokens=False).ids:
        word = backend.id_to_token(token).removeprefix("##").replace("▁", " ").replace("Ġ", " ").replace("Ċ", "\n")
        if token == special["unknown"]:  # of a whole word, as these words are
            rest = text[at:].lstrip()
            word = rest.split()[0] if data.tokenizer.endswith(".json") else rest[0]
        if data.tokenizer not in ("bpe", "characters"):
            word = word.strip() or word
        if word == " " and text[at] != " ":  # which SentencePiece puts in front of a text
            word = ""
        until = text.lower().index(word.lower(), at) + len(word)
        found.append((token, until - at))
        at = until
    return [*found, (special["end"], len(text) - at)]


@pytest.mark.filterwarnings("ignore:.*exact copies:UserWarning")  # made to be alike
@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "characters", "unigram", "words"])
def test_all_nats_over_all_bytes_of_the_tokens_that_are_predicted(
    kind: str, packing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "CACHE", tmp_path / "cache")
    tokenizer = kind if kind in ("wordpiece", "bpe", "characters") else ready_made(kind, tmp_path)
    data = TextData(Made(), tokenizer, 300, length=16, packing=packing, batch_size=3)
    data.setup()
    torch.manual_seed(0)
    method = GPT(GPT2Encoder(data.vocabulary, dim=16, depth=1, heads=2, max_length=16, dropout=0.0)).eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.mul_(5)  # so that tokens are not all equally likely

    documents = [tokens_and_bytes(data, document.text) for document in Made().documents()]
    chosen = TextData(Made(), tokenizer, 300, length=16, packing=False)
    chosen.setup()
    held_out = [documents[position] for position in chosen.validation_set.chosen.tolist()]
    if packing:
        # Row by row; what stands before in the same row and the same document is what a token is predicted from.
        numbered = [(number, *entry) for number, document in enumerate(held_out) for entry in document]
        rows = [numbered[first : first + 16] for first in range(0, len(numbered) - 15, 16)]
        pieces = [[entry[1:] for entry in row if entry[0] == number] for row in rows for number in {e[0] for e in row}]
    else:
        pieces = [document[:16] for document in held_out]
    nats, size = 0.0, 0
    for piece in pieces:
        ids = torch.tensor([[token for token, _ in piece]])
        with torch.no_grad():
            logs = method.token_logits(method.encoder(ids).sequence)[0].log_softmax(-1)
        for place in range(1, len(piece)):
            nats -= float(logs[place - 1, piece[place][0]])
            size += piece[place][1]

    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    (found,) = trainer.validate(method, data, verbose=False)
    assert found["val/bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-4)
