"""BERT's corruption of tokens, for a whole batch at once, on its device and in shapes that are known beforehand."""

import torch
from torch import Tensor, nn

from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.words import WordMasking, Words
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

# Of the tokens to be predicted, the share that the mask token hides and the share that a random token replaces; the
# others stay as they are, so that an encoder cannot know which of the tokens it sees are right.
HIDDEN, REPLACED = 0.8, 0.1

# What an example's keys are folded with; other numbers are those of the places drawn.
CHANGE, TOKEN = 3, 4


class TokenCorruption(nn.Module):
    """Hides a part of the tokens, drawn anew at every step.

    As in BERT (Devlin et al., 2018, arXiv:1810.04805, section 3.1) of the tokens drawn 80 % become the mask token, 10 %
    a random token and 10 % stay, each on its own; as in RoBERTa (Liu et al., 2019, arXiv:1907.11692) every epoch draws
    others. Tokens that stand for no text, and padding, are never drawn. Which of the others are, and how many, the
    masking says.

    Args:
        vocabulary: Properties of the tokens.
        masking: What is drawn: single tokens, words, or several of them in a row.
        hidden: Part of the tokens drawn that the mask token hides.
        replaced: Part of the tokens drawn that random tokens stand for; the rest of them stay.

    Raises:
        InputError: the vocabulary has no mask token.
    """

    is_special: Tensor
    continues: Tensor
    ordinary: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        masking: Masking,
        hidden: float = HIDDEN,
        replaced: float = REPLACED,
    ) -> None:
        super().__init__()
        if vocabulary["mask"] is None:
            raise InputError("The tokenizer has no mask token to hide tokens with: take another, like wordpiece.")
        self.mask_token, self.masking = vocabulary["mask"], masking
        self.hidden, self.replaced = hidden, replaced
        special, continues = (
            torch.zeros(vocabulary["size"], dtype=torch.bool).index_fill_(0, torch.tensor(ids, dtype=torch.int64), True)
            for ids in (vocabulary["special"], vocabulary["continuations"])
        )
        # They come back with the constructor; a checkpoint needs no copy.
        self.register_buffer("is_special", special, persistent=False)
        self.register_buffer("continues", continues, persistent=False)
        self.register_buffer("ordinary", (~special).nonzero()[:, 0], persistent=False)

    def forward(self, inputs: Tensor, mask: Tensor | None, keys: Tensor) -> tuple[Tensor, Hidden]:
        """Corrupts a batch.

        Args:
            inputs: ``(B, T)`` int64 token ids.
            mask: ``(B, T)``, as in `ssl_zoo.batch.Batch`, or None.
            keys: ``(B,)`` int64, one per example; what a row gets depends on nothing else than its key and its tokens.

        Returns:
            The corrupted token ids ``(B, T)`` int64, and which of them are to be predicted.
        """
        maskable = ~self.is_special[inputs]
        if mask is not None:
            maskable = maskable & (mask > 0)
        if isinstance(self.masking, WordMasking):
            hidden = self.masking(maskable, keys, words=self._words(inputs, mask, maskable))
        else:
            hidden = self.masking(maskable, keys)

        truth = hidden.at(inputs)
        change, token = (uniform(fold_in(keys, number), truth.shape[1]) for number in (CHANGE, TOKEN))
        choice = (token * len(self.ordinary)).long().clamp(max=len(self.ordinary) - 1)
        shown = torch.where(change < self.hidden + self.replaced, self.ordinary[choice], truth)
        shown = torch.where(change < self.hidden, self.mask_token, shown)
        return inputs.scatter(1, hidden.positions, torch.where(hidden.valid, shown, truth)), hidden

    def _words(self, inputs: Tensor, mask: Tensor | None, maskable: Tensor) -> Words:
        """A word, and a text, does not reach over a special token, nor over the border of two documents."""
        follows = maskable[:, 1:] & maskable[:, :-1]
        if mask is not None:
            follows = follows & (mask[:, 1:] == mask[:, :-1])
        return Words.of(follows, self.continues[inputs[:, 1:]])
