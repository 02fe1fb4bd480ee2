"""What the feed-forward parts of a transformer's layers give, on the way through an encoder."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError


@contextmanager
def recorded(encoder: Encoder) -> Iterator[list[Tensor]]:
    """Within, the list fills with the feed-forward output of every layer ``(B, K, D)``, without the prefix.

    The encoder is to be called once, in evaluation mode: some layers drop parts of that output before it can be read.

    Args:
        encoder: a transformer.

    Raises:
        InputError: a part of its `feed_forwards` was not called exactly once.
    """
    outputs: list[Tensor] = []
    handles = [
        part.register_forward_hook(lambda _part, _inputs, output: outputs.append(output[:, encoder.prefix :]))
        for part in encoder.feed_forwards()
    ]
    try:
        yield outputs
        if len(outputs) != len(handles):
            raise InputError(
                f"{type(encoder).__name__}: the {len(handles)} parts that its feed_forwards() names were called"
                f" {len(outputs)} times in one pass: name parts that it calls once in evaluation mode, too, which "
                "nn.TransformerEncoderLayer's fast path does not (torch.backends.mha.set_fastpath_enabled(False))."
            )
    finally:
        for handle in handles:
            handle.remove()


def require_feed_forwards(encoder: Encoder, method: str) -> None:
    """Raise `InputError` unless an encoder's layers have feed-forward parts, whose outputs a method predicts."""
    if not encoder.feed_forwards():
        raise InputError(
            f"{method} predicts the feed-forward outputs of a transformer's layers, and {type(encoder).__name__} has "
            "none: take a transformer, such as ViT, BertEncoder or Wav2Vec2Encoder."
        )
