"""How a decoder of tokens writes: the likeliest token each time."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssl_zoo.decoders.stepwise import StepwiseDecoder

# Vectors ``(B, 1, D)`` of tokens ``(B, 1)``, and logits ``(B, V)`` of vectors ``(B, D)``.
Function = Callable[[Tensor], Tensor]


@torch.no_grad()
def write(
    decoder: StepwiseDecoder,
    memory: Tensor,
    memory_mask: Tensor | None,
    before: Tensor,
    embed: Function,
    logits: Function,
    end: int | None,
    positions: Tensor | None = None,
    summary: Tensor | None = None,
) -> Tensor:
    """Token ids ``(B, L)`` int64, of which those behind a row's first `end` mean nothing; L is at most T.

    Args:
        decoder: the decoder, in evaluation mode.
        memory: ``(B, N, D)``, the encoder's sequence.
        memory_mask: ``(B, N)`` bool, where that is real; None where all is.
        before: ``(B, T)`` int64, what is read to predict each token; -1 where that is the token written last.
        embed: gives vectors of tokens.
        logits: gives what tokens could be next.
        end: the token that ends a text; None where all T are to be written.
        positions: ``(B, T)`` int64, where what is read stands; None where that is 0, 1, 2 and so on.
        summary: ``(B, D)``, the encoder's pooled vector, where the decoder wants it.
    """
    state, written = decoder.begin(memory, summary), before[:, :0]
    ended = torch.zeros_like(before[:, 0], dtype=torch.bool)
    for number in range(before.shape[1]):
        read = before[:, number]
        if number:
            read = torch.where(read < 0, written[:, -1], read)
        place = None if positions is None else positions[:, number : number + 1]
        vectors, state = decoder.step(embed(read[:, None]), state, memory_mask, place)
        written = torch.cat([written, logits(vectors[:, 0]).argmax(1, keepdim=True)], dim=1)
        ended = ended | (written[:, -1] == end)
        if end is not None and ended.all():
            break
    return written
