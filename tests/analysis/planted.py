"""Two languages whose vectors are known: a word and its translation differ by their languages' means alone."""

from types import SimpleNamespace

import torch
from torch import Tensor

from ssl_zoo.data.text.tokenizer import train_tokenizer
from ssl_zoo.data.tokens import Tokens

ENGLISH = "river stone bird cloud tree mouse house bread".split()
GERMAN = "Fluss Stein Vogel Wolke Baum Maus Haus Brot".split()
TEXTS = {"en": [" ".join(ENGLISH[k:] + ENGLISH[:k]) for k in range(8)] * 3}
TEXTS["de"] = [" ".join(GERMAN[k:] + GERMAN[:k]) for k in range(8)] * 3
PAIRS = list(zip(TEXTS["en"], TEXTS["de"], strict=True))
APART = 4.0


def planted_tokens(length: int = 16) -> Tokens:
    return Tokens(train_tokenizer("wordpiece", [*TEXTS["en"], *TEXTS["de"]], 400), length)


class PlantedEncoder:
    """Looks every token up in a table; its second layer is three times the first."""

    max_length = 32
    num_layers = 2

    def __init__(self, tokens: Tokens) -> None:
        tokenizer = tokens.tokenizer
        self.vocabulary = tokenizer.vocabulary()
        self.dim = len(ENGLISH) + 1
        table = torch.zeros(tokenizer.size, self.dim)
        for number, words in enumerate(zip(ENGLISH, GERMAN, strict=True)):
            for language, word in enumerate(words):
                (token,) = tokenizer.splitter.encode(word, add_special_tokens=False).ids
                table[token, number], table[token, -1] = 1, language * APART
        self.token_embedding = SimpleNamespace(weight=table)

    def __call__(self, inputs: Tensor, mask: Tensor | None, layers: bool = False) -> SimpleNamespace:
        vectors = self.token_embedding.weight[inputs]
        return SimpleNamespace(sequence=vectors, layers=[vectors, 3 * vectors])


class PlantedBert:
    """Predicts the token with the nearest vector."""

    def __init__(self, encoder: PlantedEncoder) -> None:
        self.encoder, self.head_bias = encoder, torch.zeros(1)

    def token_logits(self, vectors: Tensor) -> Tensor:
        return -torch.cdist(vectors, self.encoder.token_embedding.weight)
