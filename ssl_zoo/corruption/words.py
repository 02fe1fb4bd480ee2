"""Words of a text that are hidden whole, one by one or several in a row, in shapes that are known beforehand."""

import math
from abc import abstractmethod
from itertools import accumulate
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.corruption.hidden import Hidden, require_mask_ratio
from ssl_zoo.corruption.masking import Masking, require_several
from ssl_zoo.corruption.places import ORDER, in_order, number_hidden
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform

# Words of more pieces count as several words.
LONGEST_WORD = 8

# What an example's keys are folded with, so that its draws are independent of each other; places and the changes of
# tokens have the others.
LAST_WORD, LENGTHS = 2, 5


class Words(NamedTuple):
    """Where the words of a batch of texts begin.

    Attributes:
        begin: ``(B, N)`` int64, where the word of each place begins.
        apart: ``(B, N)`` bool, True where a place does not go on with the text of the one before it: at a row's first
            place, and between two documents.
    """

    begin: Tensor
    apart: Tensor

    @classmethod
    def of(cls, follows: Tensor, continues: Tensor) -> Self:
        """The words of texts.

        Args:
            follows: ``(B, N - 1)`` bool, whether each place but the first goes on with the text before it.
            continues: ``(B, N - 1)`` bool, whether what is at each place but the first can only be a further piece of a
                word. Where there is no word before it, it begins one.
        """
        starts = F.pad(~(follows & continues), (1, 0), value=True)
        place = torch.arange(starts.shape[1], device=starts.device).expand_as(starts)
        first = torch.where(starts, place, 0).cummax(1).values
        return cls(place - (place - first) % LONGEST_WORD, F.pad(~follows, (1, 0), value=True))


class WordMasking(Masking):
    """Hides whole words, drawn anew at every step, so that a word's other pieces do not give one away.

    As `RandomPlaces`, with the same expectation, but all pieces of a word are hidden or none. Words are taken in random
    order while they fit into the row's number of places. The first that does not fit is taken with the probability that
    keeps the expectation, and is the last: a row has at most `LONGEST_WORD` - 1 places more than its number. Of several
    words one is left, unless the ratio is 1.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1].

    Raises:
        InputError: `mask_ratio` is out of its range.
    """

    def __init__(self, mask_ratio: float = 0.15) -> None:
        require_mask_ratio(mask_ratio)
        self.mask_ratio = mask_ratio

    def slots(self, places: int) -> int:
        """The most places of so many that can be hidden, K."""
        return min(places, math.ceil(self.mask_ratio * places) + LONGEST_WORD)

    @abstractmethod
    def together(self, keys: Tensor, words: Words) -> Tensor:
        """``(B, N)`` int64, where the words begin that are hidden one after the other; ``(B,)`` keys."""

    def __call__(
        self, maskable: Tensor, keys: Tensor, grid: tuple[int, int] | None = None, words: Words | None = None
    ) -> Hidden:
        """Draws the words of a batch; arguments as in `Masking`.

        Args:
            maskable: ``(B, N)`` bool, True where a place may be hidden.
            keys: ``(B,)`` int64; what a row gets depends on its key, on `maskable` and on its words alone.
            grid: plays no part.
            words: words of the texts.

        Raises:
            InputError: there are no words.
        """
        if words is None:
            raise InputError(
                f"{type(self).__name__} hides words, and this method knows of none: take RandomPlaces or RandomSpans, "
                "or a method that reads words, such as BERT."
            )
        places = maskable.shape[1]
        require_several(type(self).__name__, places)
        # What is hidden together has the draw of its first piece.
        draws = uniform(fold_in(keys, ORDER), places).gather(1, self.together(keys, words))
        positions = in_order(draws, maskable)[:, : self.slots(places)]
        # From here on slots lie in a row, sorted by word.
        word = words.begin.gather(1, positions)
        size = torch.zeros_like(words.begin).scatter_add(1, words.begin, maskable.long()).gather(1, word)
        slot = torch.arange(positions.shape[1], device=keys.device).expand_as(positions)
        before = torch.where(F.pad(word[:, 1:] != word[:, :-1], (1, 0), value=True), slot, 0).cummax(1).values
        room = number_hidden(maskable, keys, self.mask_ratio) - before
        some_left = before + size < maskable.sum(1, keepdim=True)
        rounded_up = (uniform(fold_in(keys, LAST_WORD), 1) * size < room) & some_left
        rounded_up = (room > 0) & (rounded_up | (before == 0))
        valid = maskable.gather(1, positions) & ((size <= room) | rounded_up)
        return Hidden.of_slots(positions, valid, places)


class RandomWords(WordMasking):
    """Hides single words, as the later release of BERT (Devlin et al., 2018, arXiv:1810.04805).

    Words are taken in random order while they fit into ``floor(mask_ratio * n + u)`` of a row's n places, u uniform in
    [0, 1). The first that does not fit is taken with the probability that keeps the expectation, and is the last.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1].

    Raises:
        InputError: `mask_ratio` is out of its range, or the method knows of no words.
    """

    def together(self, keys: Tensor, words: Words) -> Tensor:
        """As in `WordMasking`: every word by itself."""
        return words.begin


class RandomNGrams(WordMasking):
    """Hides one to three words in a row, the more the rarer, as ALBERT (Lan et al., 2019, arXiv:1909.11942, section 4).

    Of what is hidden at once, the part that has n words, n at most `longest`, is

        p(n) = (1/n) / sum over k = 1..longest of 1/k

    A text is cut into stretches of that many words, anew at every step, as if it began somewhere in a longer one, and
    stretches are taken in random order until the row's number of places is reached; of the last one only the first
    words that fit. No stretch reaches over the end of a document. Two can be neighbours, as they can in
    the authors' code, which draws beginnings instead and leaves out what overlaps: that takes one draw after the other.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1].
        longest: The most words in a row that are hidden at once.

    Raises:
        InputError: an argument is out of its range, or the method knows of no words.
    """

    def __init__(self, mask_ratio: float = 0.15, longest: int = 3) -> None:
        super().__init__(mask_ratio)
        require_longest("RandomNGrams", longest)
        self.longest, self.shares = longest, [1 / number for number in range(1, longest + 1)]

    def together(self, keys: Tensor, words: Words) -> Tensor:
        """As in `WordMasking`: stretches of words."""
        return stretches(words, *lengths(self.shares, keys, words.begin.shape[1]))


class RandomWordSpans(WordMasking):
    """Hides spans of words of geometric length, as SpanBERT (Joshi et al., 2019, arXiv:1907.10529, section 3.1).

    Of the spans, the part that has n words, n at most `longest`, is

        p(n) = stop * (1 - stop)**(n - 1) / (1 - (1 - stop)**longest)

    which is 3.8 words on average with the paper's numbers. All else is as in `RandomNGrams`. Every token of a span is
    replaced or left on its own, where the paper decides for all of a span.

    Args:
        mask_ratio: Part of the places to hide, in (0, 1].
        stop: Probability that a span ends with a word, in (0, 1].
        longest: The most words of a span.

    Raises:
        InputError: an argument is out of its range, or the method knows of no words.
    """

    def __init__(self, mask_ratio: float = 0.15, stop: float = 0.2, longest: int = 10) -> None:
        super().__init__(mask_ratio)
        require_longest("RandomWordSpans", longest)
        if not 0 < stop <= 1:
            raise InputError(f"RandomWordSpans: stop is {stop}; give a probability above 0 and at most 1.")
        self.stop, self.longest = stop, longest
        self.shares = [(1 - stop) ** number for number in range(longest)]

    def together(self, keys: Tensor, words: Words) -> Tensor:
        """As in `WordMasking`: stretches of words."""
        return stretches(words, *lengths(self.shares, keys, words.begin.shape[1]))


def require_longest(kind: str, longest: int) -> None:
    """Raise `InputError` unless it is a number of words."""
    if longest < 1:
        raise InputError(f"{kind}: longest is {longest}; give a number of words of at least 1.")


def lengths(shares: list[float], keys: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """How many words stretches have.

    Args:
        shares: in proportion to the probabilities of 1, 2, ... words.
        keys: ``(B,)`` int64.
        number: most words that a row has.

    Returns:
        ``(B, number)`` int64 twice: drawn in these shares, and what is left of such a one behind a word of a long text
        that is drawn at random, so that a text's first words are in none more often than others. Both are of the same
        draws, and only one of them is to be taken of each.
    """
    draws = uniform(fold_in(keys, LENGTHS), number)
    # Of a stretch of n words each number from 1 to n is left as often.
    left = [sum(shares[number:]) for number in range(len(shares))]
    return _drawn(draws, shares), _drawn(draws, left)


def _drawn(draws: Tensor, shares: list[float]) -> Tensor:
    """Numbers 1, 2, ... in proportion to these shares; draws in [0, 1)."""
    number = torch.ones_like(draws, dtype=torch.int64)
    # One comparison for each edge: a table of them would have to be brought to the device at every step.
    for edge in accumulate(shares[:-1]):
        number = number + (draws * sum(shares) >= edge)
    return number


def stretches(words: Words, lengths: Tensor, first: Tensor) -> Tensor:
    """Cuts texts into stretches of whole words.

    Args:
        words: words of the texts.
        lengths: ``(B, N)`` int64, number of words of the stretch that begins with a row's first, second, ... word, if
            one does. It ends with the text in any case.
        first: the same of a stretch that begins with the text.

    Returns:
        ``(B, N)`` int64, where the stretch of each place begins.
    """
    places = lengths.shape[1]
    number = torch.arange(places + 1, device=lengths.device)  # of words; the last one stands for the end of the row
    starts = words.begin == number[:-1]
    word = starts.cumsum(1) - 1
    begins = F.pad(torch.zeros_like(word).scatter_add(1, word, (starts & words.apart).long()), (0, 1), value=1) > 0
    text_end = torch.where(begins, number, places).flip(1).cummin(1).values.flip(1)[:, 1:]
    reach = number[:-1] + torch.where(begins[:, :-1], first, lengths)
    following = F.pad(torch.minimum(reach, text_end), (0, 1), value=places)
    # Which words begin a stretch depends on which did before. The way from each to the one after it is walked in steps
    # of twice the length every time, so that a row takes as many steps as its length has binary digits.
    for _ in range(places.bit_length()):
        begins = begins | (torch.zeros_like(following).scatter_add(1, following, begins.long()) > 0)
        following = following.gather(1, following)
    begin = torch.where(begins, number, 0).cummax(1).values.gather(1, word)
    return torch.zeros_like(word).scatter(1, word, words.begin).gather(1, begin)
