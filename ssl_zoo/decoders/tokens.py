"""A decoder of tokens: it writes a text one token after the other, and looks at what an encoder has made of another."""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ssl_zoo.decoders.stepwise import StepwiseDecoder
from ssl_zoo.encoders.attention import attend, check_heads
from ssl_zoo.encoders.positions import line_positions
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

    def weights(self, vectors: Tensor, known: Known, mask: Tensor | None) -> Tensor:
        """How much of each place the vectors take, ``(B, T, N)`` float32, the mean over heads; arguments as above."""
        scores = self._split(self.query(vectors)).float() @ known.keys.float().transpose(2, 3)
        scores = scores / math.sqrt(known.keys.shape[3])
        return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(3).mean(1)

    def _split(self, vectors: Tensor) -> Tensor:
        return vectors.unflatten(2, (self.heads, -1)).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Attention to what is written so far, attention to the encoder's vectors, and two linear layers.

    Args:
        dim: size of the vectors, a multiple of `heads`.
        heads: attention heads.
        dropout: rate of dropout on attention and on what each part adds, in training.
        original: whether norms come after each sum and the linear layers have ReLU, as in the paper; otherwise norms
            come first and they have GELU.
    """

    def __init__(self, dim: int, heads: int, dropout: float, original: bool = False) -> None:
        super().__init__()
        self.original = original
        self.own, self.other = Attention(dim, heads, dropout), Attention(dim, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim),
            nn.ReLU() if original else nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * dim, dim),
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
        read = self._read(vectors, self.own_norm)
        written = self.own.look_up(read)
        if before is not None:
            written = Known(*(torch.cat(pair, dim=2) for pair in zip(before, written, strict=True)))
        # Padding is on the right, where nothing real looks: causality is all the mask that is needed.
        vectors = self._add(vectors, self.own(read, written, None, causal=before is None), self.own_norm)
        found = self.other(self._read(vectors, self.other_norm), memory, memory_mask)
        vectors = self._add(vectors, found, self.other_norm)
        return self._add(vectors, self.feed_forward(self._read(vectors, self.last_norm)), self.last_norm), written

    def _read(self, vectors: Tensor, norm: nn.Module) -> Tensor:
        """What a part reads."""
        return vectors if self.original else norm(vectors)

    def _add(self, vectors: Tensor, found: Tensor, norm: nn.Module) -> Tensor:
        """The vectors with what a part has found."""
        total = vectors + self.dropout(found)
        return norm(total) if self.original else total


class TokenDecoder(StepwiseDecoder):
    """The decoder of a transformer (Vaswani et al., 2017, arXiv:1706.03762).

    A vector sees those before it and all real ones of the encoder. Norms come before the layers and positions are
    learnt, as in most of its successors, unless it is to be the `original`.

    Args:
        dim: size of the vectors.
        depth: transformer layers.
        heads: attention heads; must divide `dim`.
        max_length: the most tokens of a text.
        dropout: rate of dropout, in training.
        original: whether it is as the paper has it: norms after each sum, ReLU, tokens times the square root of `dim`
            and sines and cosines for positions.

    Raises:
        InputError: sizes do not fit each other, or there is no layer.
    """

    positions: Tensor

    def __init__(
        self,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 512,
        dropout: float = 0.1,
        original: bool = False,
    ) -> None:
        super().__init__()
        check_heads("The decoder", dim, heads)
        if depth < 1 or max_length < 1:
            raise InputError(
                f"The decoder has {depth} layers and reads {max_length} tokens at most: give at least 1 of both."
            )
        self.dim, self.max_length, self.original = dim, max_length, original
        if original:  # it comes back with the constructor
            self.register_buffer("positions", line_positions(max_length, dim), persistent=False)
        else:
            self.positions = nn.Parameter(0.02 * torch.randn(max_length, dim))
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, dropout, original) for _ in range(depth))
        self.norm, self.dropout = nn.Identity() if original else nn.LayerNorm(dim), nn.Dropout(dropout)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 32, "depth": 2, "heads": 2, "max_length": 64}

    def no_weight_decay(self) -> list[str]:
        """The positions, if they are learnt."""
        return [] if self.original else ["positions"]

    def forward(
        self,
        vectors: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        positions: Tensor | None = None,
        summary: Tensor | None = None,
    ) -> Tensor:
        """What is to be predicted next, ``(B, T, D)``, given the tokens before; as in `StepwiseDecoder`."""
        self._check_length(vectors.shape[1])
        return self._through(vectors, positions, memory_mask, self.begin(memory))[0]

    def begin(self, memory: Tensor, summary: Tensor | None = None) -> State:
        """The state before anything is written, given the encoder's sequence ``(B, N, D)``."""
        return State([], [cast(DecoderLayer, layer).other.look_up(memory) for layer in self.layers])

    def step(
        self, vectors: Tensor, state: State, memory_mask: Tensor | None, positions: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """What is to be predicted after one more token, and the state after it; as in `StepwiseDecoder`."""
        if positions is None:
            number = state.written[0].keys.shape[2] if state.written else 0
            self._check_length(number + 1)
            positions = torch.full((len(vectors), 1), number, device=vectors.device)
        return self._through(vectors, positions, memory_mask, state)

    def attention(
        self, vectors: Tensor, memory: Tensor, memory_mask: Tensor | None, summary: Tensor | None = None
    ) -> Tensor:
        """The last layer's, as its heads take it on average; as in `StepwiseDecoder`."""
        last, seen = cast(DecoderLayer, self.layers[-1]).other, list[Any]()
        handle = last.register_forward_pre_hook(lambda module, given: seen.extend(given))
        try:
            self(vectors, memory, memory_mask)
        finally:
            handle.remove()
        return last.weights(*seen)

    def _through(
        self, vectors: Tensor, positions: Tensor | None, memory_mask: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        placed = self.positions[: vectors.shape[1]] if positions is None else self.positions[positions]
        if self.original:
            vectors = vectors * math.sqrt(self.dim)
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
