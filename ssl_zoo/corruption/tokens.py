"""BERT's corruption of tokens, for a whole batch at once, on its device and in shapes that are known beforehand."""

import torch
from torch import Tensor, nn

from ssl_zoo.corruption.hidden import Hidden
from ssl_zoo.corruption.places import RandomPlaces, RandomWords, words_of
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

# Of the tokens to be predicted, the share that the mask token hides and the share that a random token replaces; the
# others stay as they are, so that an encoder cannot know which of the tokens it sees are right.
HIDDEN, REPLACED = 0.8, 0.1

# What an example's keys are folded with; lower numbers are those of the places drawn.
CHANGE, TOKEN = 3, 4


class TokenCorruption(nn.Module):
    """Hides a part of the tokens, drawn anew at every step.

    As in BERT (Devlin et al., 2018, arXiv:1810.04805, section 3.1) of the tokens drawn 80 % become the mask token, 10 %
    a random token and 10 % stay, each on its own; as in RoBERTa (Liu et al., 2019, arXiv:1907.11692) every epoch draws
    others. Tokens that stand for no text, and padding, are never drawn. How many are, `RandomPlaces` and `RandomWords`
    say; with whole words, as in the later release of BERT, a word's pieces are drawn together.

    Args:
        vocabulary: Properties of the tokens.
        mask_ratio: Part of the text to predict, in (0, 1].
        whole_words: Draw words rather than tokens.
        hidden: Part of the tokens drawn that the mask token hides.
        replaced: Part of the tokens drawn that random tokens stand for; the rest of them stay.

    Raises:
        InputError: the vocabulary has no mask token, or `mask_ratio` is out of its range.
    """

    is_special: Tensor
    continues: Tensor
    ordinary: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        mask_ratio: float = 0.15,
        whole_words: bool = False,
        hidden: float = HIDDEN,
        replaced: float = REPLACED,
    ) -> None:
        super().__init__()
        if vocabulary["mask"] is None:
            raise InputError("The tokenizer has no mask token to hide tokens with: take another, like wordpiece.")
        self.mask_token, self.whole_words = vocabulary["mask"], whole_words
        self.hidden, self.replaced = hidden, replaced
        self.places, self.words = RandomPlaces(mask_ratio), RandomWords(mask_ratio)
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
        if self.whole_words:
            hidden = self.words(maskable, keys, words_of(self._joined(inputs, mask, maskable)))
        else:
            hidden = self.places(maskable, keys)

        truth = hidden.at(inputs)
        change, token = (uniform(fold_in(keys, number), truth.shape[1]) for number in (CHANGE, TOKEN))
        choice = (token * len(self.ordinary)).long().clamp(max=len(self.ordinary) - 1)
        shown = torch.where(change < self.hidden + self.replaced, self.ordinary[choice], truth)
        shown = torch.where(change < self.hidden, self.mask_token, shown)
        return inputs.scatter(1, hidden.positions, torch.where(hidden.valid, shown, truth)), hidden

    def _joined(self, inputs: Tensor, mask: Tensor | None, maskable: Tensor) -> Tensor:
        """``(B, T - 1)`` bool, whether each token but the first is a further piece of the word before it.

        A word does not reach over a special token, nor over the border of two documents.
        """
        joined = self.continues[inputs[:, 1:]] & maskable[:, 1:] & maskable[:, :-1]
        return joined if mask is None else joined & (mask[:, 1:] == mask[:, :-1])
