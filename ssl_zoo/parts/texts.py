"""Texts that a method has written, as tokens; whoever has the tokenizer makes words of them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Texts(NamedTuple):
    """Texts, some of whose tokens a method has written.

    Attributes:
        ids: ``(B, L)`` int64 token ids; special tokens are not shown.
        own: ``(B, L)`` bool, whether the method has written a token itself; the others it was given.
    """

    ids: Tensor
    own: Tensor


def filled_in(shown: Tensor, written: Tensor, size: int, end: int, pad: int, mask: int | None = None) -> Texts:
    """Texts with gaps, in which stands what was written for them; what was written for no gap comes last.

    Padding stands in a gap for which nothing was written, so that it is seen, and behind what was given where nothing
    was written at all.

    Args:
        shown: ``(B, S)`` int64 token ids; those from `size` on are sentinels, each of which stands for a gap.
        written: ``(B, L)`` int64 token ids, what belongs into a gap behind its sentinel.
        size: number of tokens.
        end: the token that ends what was written.
        pad: the token that fills rows up.
        mask: the token that stands for a gap of which nobody says what was written for it; None where there is none.
    """
    rows: list[list[tuple[int, bool]]] = []
    for given, made in zip(shown.tolist(), written.tolist(), strict=True):
        gap, gaps = -1, dict[int, list[int]]({-1: []})
        for token in made[: made.index(end)] if end in made else made:
            if token >= size:
                gap = token
                gaps.setdefault(gap, [])
            else:
                gaps[gap].append(token)
        if not any(gaps.values()):
            gaps[-1] = [pad]
        row: list[tuple[int, bool]] = []
        for token in given:
            is_gap = token >= size or token == mask
            row += [(each, True) for each in gaps.pop(token, None) or [pad]] if is_gap else [(token, False)]
        row += [(token, True) for rest in gaps.values() for token in rest]
        rows.append(row)
    width = max(map(len, rows), default=0)
    filled = [row + [(pad, False)] * (width - len(row)) for row in rows]
    ids, own = ([[token[column] for token in row] for row in filled] for column in (0, 1))
    return Texts(
        torch.tensor(ids, dtype=torch.int64, device=shown.device),
        torch.tensor(own, dtype=torch.bool, device=shown.device),
    )
