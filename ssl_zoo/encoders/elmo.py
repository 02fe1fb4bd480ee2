"""ELMo's encoder: characters make tokens, and two stacks of LSTMs that never meet read them from both sides."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.base import Embedded, Encoded, Encoder, mean_over_places
from ssl_zoo.encoders.characters import CharacterCNN
from ssl_zoo.encoders.lstm import ProjectedLSTM
from ssl_zoo.encoders.text_base import check_sizes
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary

# Width in characters and number of filters: the paper's, without those of more characters than most pieces of words.
FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128]]


class ElmoEncoder(Encoder):
    """ELMo's two-way language model (Peters et al., 2018, arXiv:1802.05365, section 3) without its softmax.

    A network of its characters makes x_t of token t. One stack of LSTMs reads the text forward and another one
    backward, each on its own; an LSTM's output is projected, and from the second on added to what has entered it. A
    vector's first half is the forward stack's, which has seen the token and those before it, its second half the
    backward stack's, which has seen the token and those behind it. The layers are [x; x] and what each pair of LSTMs
    gives, of which a task takes ``gamma * sum over j of softmax(w)_j h_j`` (eq. 1). Both stacks begin a text with
    zeros, where the authors carry the state on into the next batch; cells and projections are not clipped.

    With `dim` 1024, `cells` 4096 and `filters` [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]] it
    is the paper's. Texts are single documents: two in a row would see each other.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        spelling: how every token is written, None for those that stand for no text; from the data.
        dim: size of the vectors, half for either direction; even.
        cells: size of every LSTM's cell.
        depth: LSTMs on top of each other, in either direction.
        filters: width in characters and number of filters of each convolution over the characters of a token; None
            takes the paper's first four, [[1, 32], [2, 32], [3, 64], [4, 128]].
        dropout: rate of dropout on what enters each LSTM, in training.
        max_length: the most tokens that a text may have.

    Raises:
        InputError: `dim` is odd or a size is out of its range.
    """

    modality = "text"
    stride = 1
    two_way = stepwise = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        spelling: list,
        dim: int = 256,
        cells: int = 512,
        depth: int = 2,
        filters: list[list[int]] | None = None,
        dropout: float = 0.1,
        max_length: int = 512,
    ) -> None:
        super().__init__()
        if dim % 2 or min(dim, cells, depth) < 1:
            raise InputError(
                f"ElmoEncoder: dim is {dim}, cells {cells} and depth {depth}; give numbers of at least 1, of which dim "
                "is even, as each direction has half of it."
            )
        check_sizes("ElmoEncoder", max_length=max_length)
        if dim // 2 >= cells:
            raise InputError(
                f"ElmoEncoder: cells is {cells}, which a projection to the {dim // 2} dimensions of a direction does "
                "not make smaller: raise cells, or lower dim."
            )
        self.vocabulary, self.dim, self.num_layers, self.max_length = vocabulary, dim, depth + 1, max_length
        self.tokens = CharacterCNN(spelling, dim // 2, FILTERS if filters is None else filters)
        self.dropout = nn.Dropout(dropout)
        self.forwards, self.backwards = (
            nn.ModuleList(ProjectedLSTM(dim // 2, cells) for _ in range(depth)) for _ in range(2)
        )

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 32, "cells": 24, "filters": [[1, 8], [2, 8]]}

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """What the characters of each token say, ``(B, T, dim / 2)``, and the mask as given."""
        if mask is not None and mask.dtype != torch.bool:
            raise InputError("ElmoEncoder reads single documents, not packed rows: set data.packing to false.")
        if inputs.shape[1] > self.max_length:
            raise InputError(
                f"ElmoEncoder: texts of {inputs.shape[1]} tokens, but max_length is {self.max_length}; lower "
                "data.length or raise the encoder's max_length."
            )
        return Embedded(self.tokens(inputs), mask)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Tokens with what is before them, and with what is behind them."""
        self.require_all(places)
        vectors, mask = embedded.vectors, embedded.mask
        order = from_behind(vectors, mask)
        ahead = self._read(vectors.float(), self.forwards)
        back = [at(state, order) for state in self._read(at(vectors.float(), order), self.backwards)]
        states = [torch.cat(both, dim=2) for both in zip(ahead, back, strict=True)]
        return Encoded(states[-1], mean_over_places(states[-1], mask), mask, tuple(states) if layers else ())

    def _read(self, vectors: Tensor, lstms: nn.ModuleList) -> list[Tensor]:
        """What enters a stack ``(B, T, dim / 2)``, and what each of its LSTMs gives."""
        states = [vectors]
        for number, lstm in enumerate(lstms):
            read = lstm(self.dropout(states[-1]))
            states.append(read if number == 0 else read + states[-1])
        return states

    def parameter_layers(self) -> list[list[str]]:
        """Characters, then every pair of LSTMs."""
        pairs = [[f"forwards.{number}", f"backwards.{number}"] for number in range(len(self.forwards))]
        return [["tokens"], *pairs]


def from_behind(vectors: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, T)`` int64, the places from the last real one to the first, then padding: its own inverse."""
    place = torch.arange(vectors.shape[1], device=vectors.device).expand(vectors.shape[:2])
    count = vectors.shape[1] if mask is None else mask.sum(1, keepdim=True)
    return torch.where(place < count, count - 1 - place, place)


def at(vectors: Tensor, places: Tensor) -> Tensor:
    """Vectors ``(B, T, D)`` in another order, ``(B, T)``."""
    return torch.take_along_dim(vectors, places[..., None], dim=1)
