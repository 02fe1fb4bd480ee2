"""What masked methods ask of an encoder, and the sentences for those that cannot give it."""

from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError


def require_maskable(encoder: Encoder, method: str) -> None:
    """Raise `InputError` unless a method may replace the encoder's local vectors."""
    if not encoder.maskable:
        raise InputError(
            f"{method} replaces patches, tokens or frames before they see each other, and {type(encoder).__name__} has "
            "no such step: take a transformer, such as ViT, BertEncoder or Wav2Vec2Encoder."
        )


def require_droppable(encoder: Encoder, method: str) -> None:
    """Raise `InputError` unless a method may leave some of the encoder's local vectors out."""
    if not encoder.droppable:
        raise InputError(
            f"{method} leaves patches, tokens or frames out, and {type(encoder).__name__} cannot do without any: take "
            "a transformer, such as ViT, BertEncoder or Wav2Vec2Encoder."
        )


def require_contents(encoder: Encoder, method: str) -> None:
    """Raise `InputError` unless the encoder says what is at its places as numbers, which the method predicts."""
    if not encoder.content_dim:
        raise InputError(
            f"{method} predicts the pixels of patches or the log-mel frames of speech, and {type(encoder).__name__} "
            "has neither: take ViT for images, or AudioViT or Wav2Vec2Encoder for speech."
        )


def require_both_sides(encoder: Encoder, method: str) -> None:
    """Raise `InputError` unless every vector of the encoder sees what stands behind it, too."""
    if encoder.causal:
        raise InputError(
            f"{method} predicts what is hidden from both sides, of which {type(encoder).__name__} sees one: take ViT "
            "for images, or AudioViT or Wav2Vec2Encoder for speech."
        )
