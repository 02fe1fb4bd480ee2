"""A recurrent decoder of tokens, with attention to an encoder's vectors or without."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ssl_zoo.decoders.stepwise import StepwiseDecoder
from ssl_zoo.encoders.recurrent import GRULayer
from ssl_zoo.errors import InputError


class Read(NamedTuple):
    """What a recurrent decoder knows after some tokens.

    Attributes:
        states: ``(L, B, D)``, of each of its GRUs.
        memory: ``(B, N, D)``, the encoder's vectors.
        keys: ``(B, N, D)``, what attention compares with; None without attention.
    """

    states: Tensor
    memory: Tensor
    keys: Tensor | None

    def select(self, rows: Tensor) -> "Read":
        """The same of other rows ``(B',)`` int64."""
        return Read(self.states[:, rows], self.memory[rows], None if self.keys is None else self.keys[rows])


class RecurrentDecoder(StepwiseDecoder):
    """Gated recurrent units that begin with the encoder's pooled vector (Cho et al., 2014, arXiv:1406.1078).

    With y the vector of the token before, s the last GRU's state, h_j the encoder's vectors and a weight of each,
    a = softmax over j of a score of its own in every kind of attention, and c = sum of a_j h_j,

        none:      s_t = GRU(y, s_(t-1)), of which tanh(W s_t) is predicted (as Sutskever et al., 2014, arXiv:1409.3215)
        additive:  score = v tanh(W_a s_(t-1) + U_a h_j), s_t = GRU([y; c], s_(t-1)), and tanh(W [s_t; c; y]) is
                   predicted (Bahdanau et al., 2014, arXiv:1409.0473, appendix A)
        general:   s_t = GRU(y, s_(t-1)), score = s_t W_a h_j, and tanh(W [s_t; c]) is predicted (Luong et al., 2015,
                   arXiv:1508.04025, section 3.1, global attention without input feeding)

    Without attention all that it knows of the other text is in its first state. Additive attention decides what the
    GRU reads, so that training, too, goes token by token; general attention is of all tokens at once. Padding is left
    out before the softmax.

    Args:
        dim: size of the vectors and of the states.
        depth: GRUs on top of each other.
        attention: `none`, `additive` (Bahdanau) or `general` (Luong).
        dropout: rate of dropout on what enters each GRU and on what is predicted, in training.

    Raises:
        InputError: a size is below 1.
    """

    def __init__(
        self,
        dim: int = 256,
        depth: int = 1,
        attention: Literal["none", "additive", "general"] = "additive",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if min(dim, depth) < 1:
            raise InputError(f"RecurrentDecoder: dim is {dim} and depth {depth}; give numbers of at least 1.")
        self.dim, self.depth, self.kind = dim, depth, attention
        self.first = nn.Linear(dim, depth * dim)
        wide = {"none": 1, "general": 2, "additive": 3}[attention]
        self.grus = nn.ModuleList(
            GRULayer(dim, 2 * dim if attention == "additive" and number == 0 else dim) for number in range(depth)
        )
        self.output, self.dropout = nn.Linear(wide * dim, dim), nn.Dropout(dropout)
        if attention != "none":
            self.key = nn.Linear(dim, dim, bias=False)
        if attention == "additive":
            self.query, self.score = nn.Linear(dim, dim), nn.Linear(dim, 1, bias=False)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 32}

    def forward(
        self,
        vectors: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        positions: Tensor | None = None,
        summary: Tensor | None = None,
    ) -> Tensor:
        """What is to be predicted next, ``(B, T, D)``, given the tokens before; as in `StepwiseDecoder`."""
        return self._read(vectors, self.begin(memory, summary), memory_mask)[0]

    def begin(self, memory: Tensor, summary: Tensor | None = None) -> Read:
        """The state before anything is written; as in `StepwiseDecoder`."""
        assert summary is not None, "a recurrent decoder begins with what the encoder has pooled"
        states = self.first(summary).float().tanh().unflatten(1, (self.depth, self.dim)).transpose(0, 1)
        return Read(states, memory, None if self.kind == "none" else self.key(memory))

    def step(
        self, vectors: Tensor, state: Read, memory_mask: Tensor | None, positions: Tensor | None = None
    ) -> tuple[Tensor, Read]:
        """What is to be predicted after one more token, and the state after it; as in `StepwiseDecoder`."""
        found, _, state = self._read(vectors, state, memory_mask)
        return found, state

    def attention(
        self, vectors: Tensor, memory: Tensor, memory_mask: Tensor | None, summary: Tensor | None = None
    ) -> Tensor | None:
        """As in `StepwiseDecoder`."""
        return self._read(vectors, self.begin(memory, summary), memory_mask)[1]

    def _read(self, vectors: Tensor, state: Read, mask: Tensor | None) -> tuple[Tensor, Tensor | None, Read]:
        """What is predicted after each token, the weights ``(B, T, N)`` of attention, and the state after the last."""
        if self.kind == "additive":
            tops, contexts, weights = [], [], []
            for place in range(vectors.shape[1]):
                assert state.keys is not None
                asked = self.query(state.states[-1])[:, None] + state.keys
                weight = _weights(self.score(asked.tanh())[..., 0], mask)[:, None]
                contexts.append(weight @ state.memory)
                weights.append(weight)
                top, states = self._recur(torch.cat([vectors[:, place : place + 1], contexts[-1]], dim=2), state.states)
                tops.append(top)
                state = state._replace(states=states)
            parts = [torch.cat(tops, dim=1), torch.cat(contexts, dim=1), vectors]
            return self._predict(parts), torch.cat(weights, dim=1), state
        top, states = self._recur(vectors, state.states)
        state = state._replace(states=states)
        if state.keys is None:
            return self._predict([top]), None, state
        mask = None if mask is None else mask[:, None]
        found = _weights(top @ state.keys.transpose(1, 2), mask)
        return self._predict([top, found @ state.memory]), found, state

    def _recur(self, vectors: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """The last GRU's states, and those of all after the last token."""
        ends = []
        for gru, start in zip(self.grus, starts, strict=True):
            # A state that is added to at every token wants float32; products need it not.
            vectors = gru(self.dropout(vectors.float()), start.contiguous())
            ends.append(vectors[:, -1])
        return vectors, torch.stack(ends)

    def _predict(self, parts: list[Tensor]) -> Tensor:
        return self.dropout(self.output(torch.cat(parts, dim=2)).tanh())


def _weights(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last dimension in float32, where `mask` is True or None."""
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).float().softmax(-1)
