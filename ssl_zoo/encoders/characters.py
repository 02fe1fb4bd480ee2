"""What characters say of a token: a convolutional network on its spelling, as in ELMo."""

from typing import cast

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError

# Symbols besides the 256 bytes of UTF-8; from SPECIAL on every special token has one of its own.
BEGIN, END, PADDING, SPECIAL = 256, 257, 258, 259
HIGHWAYS = 2
# Of a highway's gate: at first what enters leaves nearly as it is.
CARRIED = -2.0


class CharacterCNN(nn.Module):
    """Convolutions over a token's characters (Kim et al., 2015, arXiv:1508.06615, section 2.2; ELMo, arXiv:1802.05365).

    A token is the bytes of its spelling between a symbol for its begin and one for its end. Of each filter's outputs
    along them the largest is kept. Two highway layers follow, and a linear one.

    Args:
        spelling: how every token of the vocabulary is written, in the order of the ids; None for one that stands for no
            text, which gets a symbol of its own.
        dim: size of the vectors.
        filters: width in characters and number of the filters of each convolution.
        character_dim: size of the vectors of characters.
        most_characters: bytes that are read of a token; what comes after them is not.

    Raises:
        InputError: a filter or the number of characters is out of its range.
    """

    symbols: Tensor

    def __init__(
        self,
        spelling: list[str | None],
        dim: int,
        filters: list[list[int]],
        character_dim: int = 16,
        most_characters: int = 50,
    ) -> None:
        super().__init__()
        if not filters or any(len(each) != 2 or min(each) < 1 for each in filters):
            raise InputError(f"filters is {filters}; give pairs of a width and a number, like [[1, 32], [2, 32]].")
        if most_characters < 1:
            raise InputError(f"most_characters is {most_characters}; give a number of at least 1.")
        table = spelt(spelling, most_characters, max(width for width, _ in filters))
        self.register_buffer("symbols", table, persistent=False)  # comes back with the constructor
        self.characters = nn.Embedding(int(table.max()) + 1, character_dim)
        self.convolutions = nn.ModuleList(nn.Conv1d(character_dim, number, width) for width, number in filters)
        total = sum(number for _, number in filters)
        self.highways = nn.ModuleList(nn.Linear(total, 2 * total) for _ in range(HIGHWAYS))
        for highway in self.highways:
            nn.init.constant_(cast(nn.Linear, highway).bias[total:], CARRIED)
        self.projection = nn.Linear(total, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors ``(..., dim)`` of token ids ``(...)`` int64."""
        characters = self.characters(self.symbols[tokens.flatten()]).mT  # (tokens, character_dim, characters)
        vectors = torch.cat([convolution(characters).amax(2) for convolution in self.convolutions], dim=1).relu()
        for highway in self.highways:
            changed, gate = highway(vectors).chunk(2, dim=1)
            gate = gate.sigmoid()
            vectors = gate * changed.relu() + (1 - gate) * vectors
        return self.projection(vectors).unflatten(0, tokens.shape)


def spelt(spelling: list[str | None], most: int, least: int) -> Tensor:
    """Every token as symbols, ``(V, C)`` int64, C what the longest takes, with padding on the right.

    Args:
        spelling: how every token is written, None for those that stand for no text.
        most: bytes that are read of a token.
        least: least width C of the result, that of the widest filter.
    """
    rows, special = [], SPECIAL
    for written in spelling:
        if written is None:
            rows.append([BEGIN, special, END])
            special += 1
        else:
            rows.append([BEGIN, *written.encode("utf-8", "replace")[:most], END])
    length = max(least, *map(len, rows))
    return torch.tensor([[*row, *[PADDING] * (length - len(row))] for row in rows])
