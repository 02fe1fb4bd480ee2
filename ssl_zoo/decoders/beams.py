"""Search by beams: the likeliest text as a whole, or nearly, and not the likeliest token each time."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.decoders.stepwise import StepwiseDecoder
from ssl_zoo.decoders.writing import Function


class Found(NamedTuple):
    """The best text of every row.

    Attributes:
        ids: ``(B, L)`` int64, with its end if it has one, then padding.
        score: ``(B,)`` float32, the sum of its tokens' log-probabilities over its length to the power of the penalty.
    """

    ids: Tensor
    score: Tensor


class Memory(NamedTuple):
    """What an encoder has made of the other text.

    Attributes:
        vectors: ``(B, N, D)``, its sequence.
        mask: ``(B, N)`` bool, where that is real; None where all is.
        summary: ``(B, D)``, its pooled vector.
    """

    vectors: Tensor
    mask: Tensor | None
    summary: Tensor


@torch.no_grad()
def search(
    decoder: StepwiseDecoder,
    memory: Memory,
    embed: Function,
    logits: Function,
    begin: int,
    end: int,
    pad: int,
    length: int,
    beams: int,
    penalty: float,
) -> Found:
    """The best of the texts that a search by beams finds (Sutskever et al., 2014, arXiv:1409.3215, section 3.2).

    Of all texts of one more token the `beams` likeliest are kept; one that ends leaves the beam, which is narrower from
    then on. With one beam that is the likeliest token each time. At last the best score wins, among those that have
    ended and those that were cut at `length`. A longer text has a smaller probability, and without a `penalty` would
    always lose (Wu et al., 2016, arXiv:1609.08144, section 7, has another such).

    Args:
        decoder: the decoder, in evaluation mode.
        memory: what it looks at.
        embed: gives vectors ``(B, 1, D)`` of tokens ``(B, 1)``.
        logits: gives what tokens could be next, ``(B, V)`` of ``(B, D)``; -inf where one cannot.
        begin: the token that a text begins with, which is not written.
        end: the token that ends a text.
        pad: the token that fills rows up.
        length: the most tokens of a text.
        beams: texts kept at a time.
        penalty: power of the length by which a score is divided; 0 prefers short texts.
    """
    rows, device = len(memory.vectors), memory.vectors.device
    first = torch.arange(rows, device=device)[:, None] * beams  # of every row's beams
    spread = torch.arange(rows, device=device).repeat_interleave(beams)
    state = decoder.begin(memory.vectors[spread], memory.summary[spread])
    mask = None if memory.mask is None else memory.mask[spread]
    total = torch.full((rows, beams), -torch.inf, device=device)
    total[:, 0] = 0.0  # all beams are alike at first
    written = torch.full((rows, beams, 0), pad, device=device)
    left = torch.full((rows, 1), beams, device=device)
    best, score = torch.full((rows, length), pad, device=device), torch.full((rows,), -torch.inf, device=device)
    read = torch.full((rows * beams, 1), begin, device=device)
    for number in range(1, length + 1):
        vectors, state = decoder.step(embed(read), state, mask)
        gains = logits(vectors[:, 0]).float().log_softmax(1).view(rows, beams, -1)
        size = gains.shape[2]
        total, chosen = (total[..., None] + gains).flatten(1).topk(beams)
        # A beam that is not there any more has a probability of 0.
        total = total.masked_fill(torch.arange(beams, device=device) >= left, -torch.inf)
        parent, token = chosen // size, chosen % size
        written = torch.cat([written.gather(1, parent[..., None].expand(-1, -1, number - 1)), token[..., None]], dim=2)
        alive = total > -torch.inf
        over = alive & ((token == end) | (number == length))
        scores = (total / number**penalty).masked_fill(~over, -torch.inf)
        highest, place = scores.max(1)
        better = highest > score
        now = written.gather(1, place[:, None, None].expand(-1, -1, number))[:, 0]
        best[better] = torch.nn.functional.pad(now, (0, length - number), value=pad)[better]
        score = torch.where(better, highest, score)
        left = left - over.sum(1, keepdim=True)
        total = total.masked_fill(over, -torch.inf)
        if not (left > 0).any():
            break
        state, read = state.select((first + parent).flatten()), token.view(-1, 1)
    return Found(best[:, : int((best != pad).sum(1).max())] if rows else best, score)
