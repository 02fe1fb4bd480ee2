"""The contract of decoders that write a text one token after the other, given what an encoder has made of another."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from ssl_zoo.rebuilding import Rebuildable


class StepwiseDecoder(Rebuildable, nn.Module, ABC):
    """Writes one token after the other; what is to be predicted depends on those before and on an encoder's vectors.

    Attributes:
        dim: size D of the vectors that it reads and gives, those of the encoder among them.
    """

    dim: int

    @abstractmethod
    def forward(
        self,
        vectors: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        positions: Tensor | None = None,
        summary: Tensor | None = None,
    ) -> Tensor:
        """What is to be predicted next, ``(B, T, D)``, given the tokens before.

        Args:
            vectors: ``(B, T, D)`` of the tokens before those that are predicted; padding is on the right.
            memory: ``(B, N, D)``, the encoder's sequence.
            memory_mask: ``(B, N)`` bool, True where it is real; None where all is. Every row has something real.
            positions: ``(B, T)`` int64, where the vectors stand; None where that is 0, 1, 2 and so on. Recurrent
                decoders have no positions.
            summary: ``(B, D)``, the encoder's pooled vector, which a recurrent decoder begins with; others need none.
        """

    @abstractmethod
    def begin(self, memory: Tensor, summary: Tensor | None = None) -> Any:
        """The state before anything is written; its `select` gives that of other rows ``(B',)`` int64.

        Args:
            memory: ``(B, N, D)``, the encoder's sequence.
            summary: ``(B, D)``, the encoder's pooled vector, for a recurrent decoder.
        """

    @abstractmethod
    def step(
        self, vectors: Tensor, state: Any, memory_mask: Tensor | None, positions: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """What is to be predicted after one more token, as `forward` gives it, and the state after it.

        Args:
            vectors: ``(B, 1, D)`` of that token.
            state: what `begin` or the step before gave.
            memory_mask: ``(B, N)`` bool, True where the encoder's sequence is real; None where all is.
            positions: ``(B, 1)`` int64, where the token stands; None where that is behind the others.
        """

    @abstractmethod
    def attention(
        self, vectors: Tensor, memory: Tensor, memory_mask: Tensor | None, summary: Tensor | None = None
    ) -> Tensor | None:
        """How much of each of the encoder's vectors every prediction takes, ``(B, T, N)`` float32, 1 in all.

        None of a decoder that sees none of them; arguments as those of `forward`.
        """
