"""BERT's corruption of tokens, for a whole batch at once, on its device and in shapes that are known beforehand."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

# Of the tokens to be predicted, the share that the mask token hides and the share that a random token replaces; the
# others stay as they are, so that an encoder cannot know which of the tokens it sees are right.
HIDDEN, REPLACED = 0.8, 0.1

# Words of more pieces count as several words.
LONGEST_WORD = 8

# What an example's keys are folded with, so that its draws are independent of each other.
ORDER, BUDGET, LAST_WORD, CHANGE, TOKEN = range(5)


class Masked(NamedTuple):
    """Corrupted tokens and what they were.

    Attributes:
        inputs: ``(B, T)`` int64, the corrupted token ids.
        positions: ``(B, K)`` int64, where the tokens to predict are, in no order; all different in a row.
        targets: ``(B, K)`` int64, the true tokens there.
        valid: ``(B, K)`` bool, True where a token is to be predicted; the other slots are unused.
    """

    inputs: Tensor
    positions: Tensor
    targets: Tensor
    valid: Tensor


class TokenMasking(nn.Module):
    """Hides a part of the tokens, drawn anew at every step.

    As in BERT (Devlin et al., 2018, arXiv:1810.04805, section 3.1) of the tokens drawn 80 % become the mask token, 10 %
    a random token and 10 % stay; as in RoBERTa (Liu et al., 2019, arXiv:1907.11692) every epoch draws others. A row
    with n tokens of text gets ``floor(fraction * n + u)`` of them drawn, u uniform in [0, 1), so that the expectation
    is exactly the fraction; but at least one. Tokens that stand for no text, and padding, are never drawn.

    With `whole_words`, as in the later release of BERT, a word's pieces are drawn together (each of them is hidden,
    replaced or left on its own). Words are taken in random order while they fit into the row's number. The first that
    does not fit is taken with the probability that keeps the expectation, and is the last: a row has at most
    `LONGEST_WORD` - 1 tokens more than its number, as words of more pieces count as several.

    So the number K of slots depends on the length T alone: ``min(T, ceil(fraction * T) + 1)``, with whole words
    `LONGEST_WORD` - 1 more.

    Args:
        vocabulary: of the tokens.
        fraction: of the text to predict, in (0, 1].
        whole_words: draw words rather than tokens.

    Raises:
        InputError: the vocabulary has no mask token, or `fraction` is out of its range.
    """

    is_special: Tensor
    continues: Tensor
    ordinary: Tensor

    def __init__(self, vocabulary: Vocabulary, fraction: float = 0.15, whole_words: bool = False) -> None:
        super().__init__()
        if vocabulary["mask"] is None:
            raise InputError("The tokenizer has no mask token to hide tokens with: take another, like wordpiece.")
        if not 0.0 < fraction <= 1.0:
            raise InputError(f"mask_fraction is {fraction}; give a number above 0 and at most 1.")
        self.mask_token, self.fraction, self.whole_words = vocabulary["mask"], fraction, whole_words
        special, continues = (
            torch.zeros(vocabulary["size"], dtype=torch.bool).index_fill_(0, torch.tensor(ids, dtype=torch.int64), True)
            for ids in (vocabulary["special"], vocabulary["continuations"])
        )
        # They come back with the constructor; a checkpoint needs no copy.
        self.register_buffer("is_special", special, persistent=False)
        self.register_buffer("continues", continues, persistent=False)
        self.register_buffer("ordinary", (~special).nonzero()[:, 0], persistent=False)

    def slots(self, length: int) -> int:
        """How many tokens of a row of so many can be drawn, K."""
        spare = LONGEST_WORD if self.whole_words else 1
        return min(length, math.ceil(self.fraction * length) + spare)

    def forward(self, inputs: Tensor, mask: Tensor | None, keys: Tensor) -> Masked:
        """Corrupts a batch.

        Args:
            inputs: ``(B, T)`` int64 token ids.
            mask: ``(B, T)``, as in `ssl_zoo.batch.Batch`, or None.
            keys: ``(B,)`` int64, one per example; what a row gets depends on nothing else than its key and its tokens.
        """
        maskable = ~self.is_special[inputs]
        if mask is not None:
            maskable = maskable & (mask > 0)
        draws = uniform(fold_in(keys, ORDER), inputs.shape[1])
        count = maskable.sum(1)
        rounding = uniform(fold_in(keys, BUDGET), 1)[:, 0]
        budget = torch.floor(self.fraction * count + rounding).long().clamp(min=1).minimum(count)[:, None]

        slot = torch.arange(self.slots(inputs.shape[1]), device=inputs.device)
        if self.whole_words:
            words = self._words(inputs, mask, maskable)
            draws = draws.gather(1, words)  # a word's draw is that of its first piece
        positions = draws.masked_fill(~maskable, 2.0).argsort(dim=1, stable=True)[:, : len(slot)]
        valid = slot < budget
        if self.whole_words:
            valid = self._complete(words, positions, maskable, budget, uniform(fold_in(keys, LAST_WORD), 1))

        targets = inputs.gather(1, positions)
        change, token = uniform(fold_in(keys, CHANGE), len(slot)), uniform(fold_in(keys, TOKEN), len(slot))
        choice = (token * len(self.ordinary)).long().clamp(max=len(self.ordinary) - 1)
        shown = torch.where(change < HIDDEN + REPLACED, self.ordinary[choice], targets)
        shown = torch.where(change < HIDDEN, self.mask_token, shown)
        shown = torch.where(valid, shown, targets)
        return Masked(inputs.scatter(1, positions, shown), positions, targets, valid)

    def _words(self, inputs: Tensor, mask: Tensor | None, maskable: Tensor) -> Tensor:
        """``(B, T)`` int64, the position of the first piece of every token's word."""
        position = torch.arange(inputs.shape[1], device=inputs.device).expand_as(inputs)
        # A word does not reach over a special token, nor over the border of two documents.
        joined = self.continues[inputs[:, 1:]] & maskable[:, 1:] & maskable[:, :-1]
        if mask is not None:
            joined = joined & (mask[:, 1:] == mask[:, :-1])
        starts = F.pad(~joined, (1, 0), value=True)
        first = torch.where(starts, position, 0).cummax(1).values
        return position - (position - first) % LONGEST_WORD

    def _complete(self, words: Tensor, positions: Tensor, maskable: Tensor, budget: Tensor, draw: Tensor) -> Tensor:
        """``(B, K)`` bool: which slots to use so that words are whole, given slots sorted by word."""
        pieces = torch.zeros_like(words).scatter_add(1, words, maskable.long())
        word = words.gather(1, positions)
        size = pieces.gather(1, word)
        slot = torch.arange(positions.shape[1], device=positions.device).expand_as(positions)
        before = torch.where(F.pad(word[:, 1:] != word[:, :-1], (1, 0), value=True), slot, 0).cummax(1).values
        room = budget - before
        fits = size <= room
        rounded_up = (room > 0) & ((draw * size < room) | (before == 0))
        return maskable.gather(1, positions) & (fits | rounded_up)
