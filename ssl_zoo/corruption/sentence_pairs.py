"""Pairs of text segments for BERT's second task, made on the device from single documents."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather, rank, world_size
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

# What an example's keys are folded with, so that its draws are independent of each other.
CUT, CLASS, PARTNER = range(3)


# Where segments start and stop in their documents, each ``(B,)`` int64.
Segment = tuple[Tensor, Tensor]


class Pairs(NamedTuple):
    """Two segments in a row, `[CLS] first [SEP] second [SEP]`.

    Attributes:
        inputs: ``(B, T + 1)`` int64 token ids.
        mask: ``(B, T + 1)`` bool, True where real.
        labels: ``(B,)`` int64, 0 where the second segment follows the first, else 1.
        valid: ``(B,)`` bool, False where the label means nothing.
    """

    inputs: Tensor
    mask: Tensor
    labels: Tensor
    valid: Tensor


class SentencePairs(nn.Module):
    """Cuts documents in two and, for half of them, spoils the pair.

    `nsp` is next-sentence prediction (Devlin et al., 2018, arXiv:1810.04805, section 3.1): in a spoilt pair the second
    segment is the end of another document of the global batch. That document is the next in the order of numbers that
    are drawn for all examples, so the choice does not depend on how examples lie in the batch or on which rank. `sop`
    is sentence-order prediction (Lan et al., 2019, arXiv:1909.11942, section 3.1): a spoilt pair has its segments
    swapped.

    Lengths say nothing of the class, which is drawn when they are fixed. A cut is drawn among the beginnings of words,
    from the second word on, as a segment that began within a word would give the answer away; and among those only
    that leave a spoilt pair the same lengths: with `nsp` the other document has a cut, too, from which as many tokens
    are left, and with `sop` there is a cut that leaves as many tokens before it as this one leaves behind it. Where
    there is no such cut the example is cut anywhere, or left whole if it has less than two words, and does not count;
    nor does one that is alone in the global batch count with `nsp`.

    Args:
        vocabulary: vocabulary of the tokens.
        task: kind of the pairs: `nsp` for following or not, `sop` for the right order or not.
        max_length: the most tokens a document has on any rank. Documents that ranks exchange are padded to it.

    Raises:
        InputError: the vocabulary has no token that begins a document.
    """

    continues: Tensor

    def __init__(self, vocabulary: Vocabulary, task: Literal["nsp", "sop"], max_length: int) -> None:
        super().__init__()
        if vocabulary["begin"] is None:
            raise InputError(
                "Sentence pairs need a tokenizer whose documents begin with a token of their own, like wordpiece."
            )
        self.begin, self.end, self.pad = vocabulary["begin"], vocabulary["end"], vocabulary["pad"]
        self.task, self.max_length = task, max_length
        inner = torch.tensor([*vocabulary["special"], *vocabulary["continuations"]], dtype=torch.int64)
        continues = torch.zeros(vocabulary["size"], dtype=torch.bool).index_fill_(0, inner, True)
        self.register_buffer("continues", continues, persistent=False)  # comes back with the constructor

    def forward(self, inputs: Tensor, mask: Tensor | None, keys: Tensor) -> Pairs:
        """Makes a pair of every document.

        Args:
            inputs: ``(B, T)`` int64 token ids of single documents, `[CLS] tokens [SEP]`.
            mask: ``(B, T)`` bool, or None.
            keys: ``(B,)`` int64, one per example.
        """
        length = inputs.shape[1]
        place = torch.arange(length, device=inputs.device)
        # Where the end token is, before which the text ends.
        end = (torch.full_like(keys, length) if mask is None else mask.sum(1)) - 1
        cuts = self._cuts(inputs, end)
        if self.task == "nsp":
            partner, partner_end, is_other = self._partners(inputs, end, keys)
            same_length = place + (partner_end - end)[:, None]  # from there on the partner has as many tokens left
            fair = cuts & _take(self._cuts(partner, partner_end), same_length) & is_other[:, None]
        else:
            fair = cuts & _take(cuts, end[:, None] + 1 - place)
        valid = fair.any(1)
        cuts = torch.where(valid[:, None], fair, cuts)
        cut = uniform(fold_in(keys, CUT), length).masked_fill(~cuts, -1.0).argmax(1)
        is_cut = cuts.any(1)
        spoilt = valid & (uniform(fold_in(keys, CLASS), 1)[:, 0] < 0.5)

        first, second = (torch.ones_like(cut), torch.where(is_cut, cut, end)), (cut, end)
        source = inputs
        if self.task == "nsp":
            second = _choose(spoilt, (cut + partner_end - end, partner_end), second)
            source = torch.where(spoilt[:, None], partner, _widen(inputs, partner.shape[1], self.pad))
        else:
            first, second = _choose(spoilt, second, first), _choose(spoilt, first, second)

        place = torch.arange(length + 1, device=inputs.device).expand(len(inputs), -1)
        middle = (first[1] - first[0] + 1)[:, None]  # where the first end token goes
        last = torch.where(is_cut[:, None], middle + (second[1] - second[0] + 1)[:, None], middle)
        from_first = _take(inputs, first[0][:, None] + place - 1)
        from_second = _take(source, second[0][:, None] + place - middle - 1)
        pairs = torch.where(place < middle, from_first, from_second)
        pairs = pairs.masked_fill((place == middle) | (place == last), self.end).masked_fill(place == 0, self.begin)
        return Pairs(pairs.masked_fill(place > last, self.pad), place <= last, spoilt.long(), valid)

    def _cuts(self, documents: Tensor, ends: Tensor) -> Tensor:
        """``(B, W)`` bool, where documents ``(B, W)`` with their end tokens at ``(B,)`` may be cut."""
        place = torch.arange(documents.shape[1], device=documents.device)
        return ~self.continues[documents] & (place > 1) & (place < ends[:, None])

    def _partners(self, inputs: Tensor, end: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For every example another document ``(B, W)``, where it ends ``(B,)``, and whether it is another ``(B,)``."""
        documents, ends, all_keys = inputs, end, keys
        if world_size() > 1:
            documents = all_gather(_widen(inputs, self.max_length, self.pad))
            ends, all_keys = all_gather(end), all_gather(keys)
        order = fold_in(all_keys, PARTNER).argsort()
        following = torch.empty_like(order).scatter(0, order, order.roll(-1))
        partner = following[rank() * len(keys) :][: len(keys)]
        # The same example twice in the global batch is no partner, and neither is the only one itself.
        return documents[partner], ends[partner], all_keys[partner] != keys


def _choose(condition: Tensor, segment: Segment, otherwise: Segment) -> Segment:
    return torch.where(condition, segment[0], otherwise[0]), torch.where(condition, segment[1], otherwise[1])


def _take(documents: Tensor, place: Tensor) -> Tensor:
    """Tokens at these places; anything where there is no such place."""
    return documents.gather(1, place.clamp(0, documents.shape[1] - 1))


def _widen(documents: Tensor, width: int, pad: int) -> Tensor:
    return F.pad(documents, (0, width - documents.shape[1]), value=pad)
