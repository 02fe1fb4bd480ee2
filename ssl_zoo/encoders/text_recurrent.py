"""Recurrent encoders of texts, as the first that translated had them."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.elmo import at, from_behind
from ssl_zoo.encoders.recurrent import GRULayer
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary


class GRUTextEncoder(Encoder):
    """Gated recurrent units on tokens (Cho et al., 2014, arXiv:1406.1078; Bahdanau et al., 2014, arXiv:1409.0473).

    Pooled is the last state, which has read all of the text: that of the token at its end, at its beginning where it is
    read `backward`, and of `both` directions one beside the other. Texts are single documents: the state is carried
    along, and two in a row would see each other.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the vectors, of which each direction has half where there are both.
        depth: GRUs on top of each other; each reads all directions of the one below.
        directions: `forward`; `backward`, from the end of the text to its beginning, the reversed source of Sutskever
            et al. (2014, arXiv:1409.3215, section 3.3), by which the first words are near to their translation; or
            `both` (Bahdanau et al.).
        dropout: rate of dropout on what enters each GRU, in training.

    Raises:
        InputError: a size is out of its range, or `dim` is odd with both directions.
    """

    modality = "text"
    stride = 1
    stepwise = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        depth: int = 1,
        directions: Literal["forward", "backward", "both"] = "both",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if min(dim, depth) < 1 or (directions == "both" and dim % 2):
            raise InputError(
                f"GRUTextEncoder: dim is {dim} and depth {depth}; give numbers of at least 1, and an even dim for both "
                "directions."
            )
        self.vocabulary, self.dim, self.num_layers, self.directions = vocabulary, dim, depth + 1, directions
        self.causal = directions == "forward"
        self.token_embedding = nn.Embedding(vocabulary["size"], dim)
        nn.init.normal_(self.token_embedding.weight, std=dim**-0.5)
        self.dropout = nn.Dropout(dropout)
        each = dim // 2 if directions == "both" else dim
        ahead, back = (depth if directions in (one, "both") else 0 for one in ("forward", "backward"))
        self.ahead = nn.ModuleList(GRULayer(each, dim) for _ in range(ahead))
        self.back = nn.ModuleList(GRULayer(each, dim) for _ in range(back))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 32, "depth": 2}

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """Token embeddings ``(B, T, dim)``, and the mask as given."""
        if mask is not None and mask.dtype != torch.bool:
            raise InputError("GRUTextEncoder reads single documents, not packed rows: set data.packing to false.")
        return Embedded(self.token_embedding(inputs), mask)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Tokens with what is before them, behind them, or both."""
        self.require_all(places)
        states, mask = [embedded.vectors.float()], embedded.mask
        order = from_behind(states[0], mask)
        for number in range(self.num_layers - 1):
            read, found = self.dropout(states[-1]), []
            if self.ahead:
                found.append(self.ahead[number](read))
            if self.back:
                found.append(at(self.back[number](at(read, order)), order))
            states.append(torch.cat(found, dim=2))
        sequence = states[-1]
        last = sequence.shape[1] - 1 if mask is None else mask.sum(1) - 1
        at_end, at_begin = sequence[torch.arange(len(sequence), device=sequence.device), last], sequence[:, 0]
        half = self.dim // 2
        pooled = {
            "forward": at_end,
            "backward": at_begin,
            "both": torch.cat([at_end[:, :half], at_begin[:, half:]], dim=1),
        }[self.directions]
        return Encoded(sequence, pooled, mask, tuple(states) if layers else ())

    def parameter_layers(self) -> list[list[str]]:
        """Tokens, then the GRUs of every layer."""
        both = {"ahead": self.ahead, "back": self.back}
        layers = range(self.num_layers - 1)
        return [["token_embedding"], *([f"{name}.{n}" for name, grus in both.items() if len(grus)] for n in layers)]
