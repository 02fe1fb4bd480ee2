"""A decoder of tokens: it writes a text one token after the other, and looks at what an encoder has made of another."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import attend, check_heads
from ssl_zoo.errors import InputError


class Known(NamedTuple):
    """What attention looks at.

    Attributes:
        keys: ``(B, H, N, D / H)``.
        values: the same shape.
    """

    keys: Tensor
    values: Tensor

    def select(self, rows: Tensor) -> "Known":
        """The same of other rows ``(B',)`` int64, as a search by beams needs."""
        return Known(self.keys[rows], self.values[rows])


class State(NamedTuple):
    """What every layer has looked at so far, for decoding step by step.

    Attributes:
        written: keys and values of the tokens before.
        memory: those of the encoder's vectors.
    """

    written: list[Known]
    memory: list[Known]

    def select(self, rows: Tensor) -> "State":
        """The same of other rows ``(B',)`` int64."""
        return State([each.select(rows) for each in self.written], [each.select(rows) for each in self.memory])


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017, arXiv:1706.03762, section 3.2.2).

    Args:
        dim: size of the vectors, a multiple of `heads`.
        heads: attention heads.
        dropout: rate of dropout on the weights, in training.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))

    def look_up(self, vectors: Tensor) -> Known:
        """Keys and values of vectors ``(B, N, D)``."""
        return Known(self._split(self.key(vectors)), self._split(self.value(vectors)))

    def forward(self, vectors: Tensor, known: Known, mask: Tensor | None, causal: bool = False) -> Tensor:
        """What vectors ``(B, T, D)`` find in what is known.

        Args:
            vectors: what asks.
            known: keys and values of N places.
            mask: broadcasts to ``(B, H, T, N)``, True where a place may be seen; None where all may be.
            causal: whether place t sees the places up to t alone; without a mask.
        """
        rate = self.dropout if self.training else 0.0
        found, _ = attend(self, self._split(self.query(vectors)), *known, mask, dropout=rate, is_causal=causal)
        return self.output(found.flatten(2))

    def _split(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(2, (self.heads, -1)).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Attention to what is written so far, attention to the encoder's vectors, and two linear layers with GELU.

    Args:
        dim: size of the vectors, a multiple of `heads`.
        heads: attention heads.
        dropout: rate of dropout on attention and on what each part adds, in training.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.own, self.other = Attention(dim, heads, dropout), Attention(dim, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )
        self.own_norm, self.other_norm, self.last_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, vectors: Tensor, memory: Known, memory_mask: Tensor | None, before: Known | None
    ) -> tuple[Tensor, Known]:
        """The layer's vectors ``(B, T, D)``, and the keys and values of all that is written.

        Args:
            vectors: ``(B, T, D)``.
            memory: keys and values of the encoder's vectors.
            memory_mask: broadcasts to ``(B, H, T, N)``, True where the encoder's vector is real; None where all are.
            before: keys and values of the tokens before this one; None where these are the first.
        """
        normed = self.own_norm(vectors)
        written = self.own.look_up(normed)
        if before is not None:
            written = Known(*(torch.cat(pair, dim=2) for pair in zip(before, written, strict=True)))
        # Padding is on the right, where nothing real looks: causality is all the mask that is needed.
        vectors = vectors + self.dropout(self.own(normed, written, None, causal=before is None))
        vectors = vectors + self.dropout(self.other(self.other_norm(vectors), memory, memory_mask))
        return vectors + self.dropout(self.feed_forward(self.last_norm(vectors))), written


class TokenDecoder(nn.Module):
    """The decoder of a transformer (Vaswani et al., 2017, arXiv:1706.03762), its norms before the layers.

    A vector sees those before it and all real ones of the encoder. Positions are learnt.

    Args:
        dim: size of the vectors, which is the encoder's.
        depth: transformer layers.
        heads: attention heads; must divide `dim`.
        max_length: the most tokens of a text.
        dropout: rate of dropout, in training.

    Raises:
        InputError: sizes do not fit each other, or there is no layer.
    """

    def __init__(self, dim: int, depth: int = 4, heads: int = 4, max_length: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        check_heads("The decoder", dim, heads)
        if depth < 1 or max_length < 1:
            raise InputError(
                f"The decoder has {depth} layers and reads {max_length} tokens at most: give at least 1 of both."
            )
        self.max_length = max_length
        self.positions = nn.Parameter(0.02 * torch.randn(max_length, dim))
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, dropout) for _ in range(depth))
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)

    def no_weight_decay(self) -> list[str]:
        """The positions."""
        return ["positions"]

    def forward(
        self, vectors: Tensor, memory: Tensor, memory_mask: Tensor | None, positions: Tensor | None = None
    ) -> Tensor:
        """What is to be predicted next, ``(B, T, D)``, given the tokens before.

        Args:
            vectors: ``(B, T, D)`` of the tokens before those that are predicted; padding is on the right.
            memory: ``(B, N, D)``, the encoder's sequence.
            memory_mask: ``(B, N)`` bool, True where it is real; None where all is. Every row has something real.
            positions: ``(B, T)`` int64, where the vectors stand; None where that is 0, 1, 2 and so on.
        """
        self._check_length(vectors.shape[1])
        return self._through(vectors, positions, memory_mask, self.begin(memory))[0]

    def begin(self, memory: Tensor) -> State:
        """The state before anything is written, given the encoder's sequence ``(B, N, D)``."""
        return State([], [cast(DecoderLayer, layer).other.look_up(memory) for layer in self.layers])

    def step(
        self, vectors: Tensor, state: State, memory_mask: Tensor | None, positions: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """What is to be predicted after one more token, as `forward` gives it, and the state after it.

        Args:
            vectors: ``(B, 1, D)`` of that token.
            state: what `begin` or the step before gave.
            memory_mask: ``(B, N)`` bool, True where the encoder's sequence is real; None where all is.
            positions: ``(B, 1)`` int64, where the token stands; None where that is behind the others.
        """
        if positions is None:
            number = state.written[0].keys.shape[2] if state.written else 0
            self._check_length(number + 1)
            positions = torch.full((len(vectors), 1), number, device=vectors.device)
        return self._through(vectors, positions, memory_mask, state)

    def _through(
        self, vectors: Tensor, positions: Tensor | None, memory_mask: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        placed = self.positions[: vectors.shape[1]] if positions is None else self.positions[positions]
        vectors, written = self.dropout(vectors + placed), []
        mask = None if memory_mask is None else memory_mask[:, None, None]
        for number, layer in enumerate(self.layers):
            before = state.written[number] if state.written else None
            vectors, now = layer(vectors, state.memory[number], mask, before)
            written.append(now)
        return self.norm(vectors), State(written, state.memory)

    def _check_length(self, length: int) -> None:
        if length > self.max_length:
            raise InputError(f"The decoder reads {self.max_length} tokens at most, but a text has {length}: raise it.")
