"""Translation without a dictionary: the difference of two languages' mean vectors is added to every token's vector."""

from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.analysis.words import LanguageVectors
from ssl_zoo.data.text.raw import texts_of
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.methods.bert import BERT


class Shifted(NamedTuple):
    """What the tokens of some texts are predicted to be once their vectors are shifted.

    Attributes:
        strength: how many times the difference of the means was added.
        target_share: the share of the predicted tokens that the target language has more often than the source.
        precision: the share of them that stand in the text's translation, each as often as there at most: BLEU-1
            without its penalty for short texts. Without a shift it is what both languages write alike.
    """

    strength: float
    target_share: float
    precision: float


@torch.no_grad()
def shift_tokens(
    bert: BERT,
    tokens: Tokens,
    pairs: list[tuple[str, str]],
    source: LanguageVectors,
    target: LanguageVectors,
    strengths: list[float],
    at_once: int = 16,
) -> list[Shifted]:
    """Shifts the last layer's vectors of texts from one language's mean to another's, and reads what tokens they are.

    Unsupervised token translation of C.-L. Liu, T.-Y. Hsu, Y.-S. Chuang and H.-Y. Lee, 2020, arXiv:2010.10041: with
    R_L the mean of a language's token vectors, the head that BERT fills in blanks with is given
    h + strength (R_target - R_source). Nothing is masked, and no special token counts or is predicted.

    Args:
        bert: in evaluation mode.
        tokens: how texts become inputs of its encoder.
        pairs: texts of the source language, and their translations.
        source: vectors of the source language, of other texts.
        target: vectors of the target language, likewise.
        strengths: how many times to add the difference; 0 adds nothing.
        at_once: texts of a batch.
    """
    special = bert.encoder.vocabulary["special"]
    device = bert.head_bias.device
    difference = (target.means[-1] - source.means[-1]).to(device)
    preferred = target.tokens / target.tokens.sum() > source.tokens / source.tokens.sum()
    predicted: dict[float, list[list[Tensor]]] = {strength: [] for strength in strengths}
    references: list[Tensor] = []
    tokens = tokens._replace(length=min(tokens.length, bert.encoder.max_length))
    for first in range(0, len(pairs), at_once):
        some = pairs[first : first + at_once]
        batch = texts_of([text for text, _ in some], tokens)
        mask = None if batch.mask is None else batch.mask.to(device)
        sequence = bert.encoder(batch.inputs.to(device), mask).sequence
        for strength, rows in predicted.items():
            logits = bert.token_logits(sequence + strength * difference)
            logits[..., special] = -torch.inf
            rows.append(_real(logits.argmax(2).cpu(), batch.inputs, batch.mask, special))
        translated = texts_of([text for _, text in some], tokens)
        references += _real(translated.inputs, translated.inputs, translated.mask, special)
    found = []
    for strength, rows in predicted.items():
        flat = [row for batch_rows in rows for row in batch_rows]
        share = float(preferred[torch.cat(flat)].double().mean())
        found.append(Shifted(strength, share, clipped_precision(flat, references)))
    return found


def clipped_precision(predicted: list[Tensor], references: list[Tensor]) -> float:
    """The share of predicted tokens that their reference has, each token as often as there at most.

    Args:
        predicted: ``(n,)`` int64 of every text.
        references: ``(m,)`` int64 of every text.
    """
    right = 0
    for tokens, reference in zip(predicted, references, strict=True):
        size = int(torch.cat([tokens, reference]).max()) + 1 if len(tokens) + len(reference) else 0
        right += int(torch.minimum(tokens.bincount(minlength=size), reference.bincount(minlength=size)).sum())
    return right / max(1, sum(map(len, predicted)))


def _real(found: Tensor, inputs: Tensor, mask: Tensor | None, special: list[int]) -> list[Tensor]:
    """Of every row of `found` ``(B, T)`` what stands where `inputs` have real tokens that are not special."""
    real = ~torch.isin(inputs, torch.tensor(special))
    if mask is not None:
        real &= mask
    return [row[here] for row, here in zip(found, real, strict=True)]
