"""How a causal language model goes on from some tokens, by the transformers library's `generate`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform


class Sampling(NamedTuple):
    """How the next tokens are chosen.

    Attributes:
        max_new_tokens: the most tokens to write.
        temperature: divides the logits before drawing; 0 draws nothing and takes the likeliest token each time.
        top_k: draw among so many of the likeliest tokens only; None draws among all.
        top_p: draw among the likeliest tokens that together have this probability (arXiv:1904.09751).
        beams: texts kept at a time in a search for the likeliest whole; more than 1 needs temperature 0.
    """

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float
    beams: int


@torch.no_grad()
def generate(encoder: TextEncoder, prompts: Tensor, real: Tensor, keys: Tensor, sampling: Sampling) -> Tensor:
    """Continues prompts, with a cache of keys and values.

    Where a text has filled the encoder's `max_length`, the next tokens are predicted from the last half of it, with
    which the cache is filled anew. What is drawn for a prompt depends on its key and on itself alone, not on the rest
    of the batch. Dropout is on when the encoder is in training mode.

    Args:
        encoder: a GPT-2 of the transformers library, whose token embeddings are the output layer too.
        prompts: ``(B, P)`` int64 token ids, padded on the left.
        real: ``(B, P)`` int64, 1 where a prompt is real.
        keys: ``(B,)`` int64, one per prompt.
        sampling: how the next tokens are chosen.

    Returns:
        ``(B, L)`` int64: prompt, new tokens up to the end token if one was written, padding. No other special token is
        written.

    Raises:
        InputError: a search by beams is to go on for longer than the encoder has positions for.
    """
    written, width, window = prompts, prompts.shape[1], encoder.max_length
    if sampling.beams > 1 and width + sampling.max_new_tokens > window:
        raise InputError(
            f"{width} tokens of prompt and {sampling.max_new_tokens} new ones are more than the encoder's "
            f"max_length, {window}, and beams are compared as wholes; lower max_new_tokens or prompt_tokens."
        )
    missing, pad, end = (1 - real).sum(1, keepdim=True), encoder.vocabulary["pad"], encoder.vocabulary["end"]
    model = language_model(encoder)
    ended = torch.zeros_like(missing, dtype=torch.bool)
    last = width + sampling.max_new_tokens
    while written.shape[1] < last and not ended.all():
        seen = written.shape[1] if written.shape[1] < window else window // 2
        with _no_advice():
            more = model.generate(
                written[:, -seen:],
                attention_mask=real[:, -seen:],
                generation_config=_configuration(encoder, min(window, last - written.shape[1] + seen) - seen, sampling),
                logits_processor=_processors(encoder, keys, seen - (written.shape[1] - width), sampling),
            )[:, seen:]
        written = torch.cat([written, more.masked_fill(ended, pad)], dim=1)
        real = torch.cat([real, torch.ones_like(more)], dim=1)
        ended = (written[:, width:] == end).any(1, keepdim=True)
    # Back to padding on the right.
    place = torch.arange(written.shape[1], device=written.device) + missing
    shifted = written.gather(1, place.clamp(max=written.shape[1] - 1))
    return shifted.masked_fill(place >= written.shape[1], pad)


@contextmanager
def _no_advice() -> Iterator[None]:
    """Within, the library does not ask for an attention mask that it has been given.

    It drops one that hides nothing, and then warns of the padding behind a text that has ended, which nobody reads.
    """
    logger = logging.getLogger("transformers.modeling_utils")

    def is_other(record: logging.LogRecord) -> bool:
        return "passing in an `attention_mask`" not in record.getMessage()

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def language_model(encoder: TextEncoder) -> Any:
    """The encoder's own trunk, with its embeddings as output layer, in the library's class that can write."""
    from transformers import GPT2LMHeadModel

    trunk: Any = encoder.model
    with torch.device("meta"):  # weights that are replaced at once
        model = GPT2LMHeadModel(deepcopy(trunk.config))
    model.transformer, model.lm_head.weight = trunk, encoder.token_embedding.weight
    return model


def _configuration(encoder: TextEncoder, tokens: int, sampling: Sampling) -> Any:
    """The library's settings for writing at most so many tokens."""
    from transformers import GenerationConfig

    end = encoder.vocabulary["end"]
    settings = GenerationConfig(
        max_new_tokens=tokens,
        use_cache=True,
        eos_token_id=end,
        pad_token_id=encoder.vocabulary["pad"],
        suppress_tokens=[token for token in encoder.vocabulary["special"] if token != end] or None,
    )
    if sampling.beams > 1:
        # Beams are ranked by their log-likelihood, not by its mean over tokens.
        settings.update(num_beams=sampling.beams, length_penalty=0.0)
    return settings


def _processors(encoder: TextEncoder, keys: Tensor, first: int, sampling: Sampling) -> list[Any]:
    """What is done to the next token's logits in turn, before the highest one is taken.

    Args:
        encoder: the encoder that writes.
        keys: ``(B,)`` int64, of the prompts.
        first: where the model would see the first new token; below 0 when it sees only later ones.
        sampling: how the next tokens are chosen.
    """
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    processors = LogitsProcessorList()
    if sampling.temperature == 0:
        return processors
    processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k is not None:
        processors.append(TopKLogitsWarper(min(sampling.top_k, encoder.vocabulary["size"])))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))

    def add_gumbel_noise(written: Tensor, logits: Tensor) -> Tensor:
        """The highest of logits plus Gumbel noise is a draw from their softmax (Gumbel, 1954)."""
        draws = uniform(fold_in(keys, written.shape[1] - first), logits.shape[1])
        return logits - torch.log(-torch.log(draws))

    processors.append(add_gumbel_noise)
    return processors
