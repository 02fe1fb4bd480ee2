"""How an exported encoder is loaded, in words and in code."""

from typing import NamedTuple

from ssl_zoo.encoders.normalize import Normalize


class Loading(NamedTuple):
    """One way to load an exported encoder; it becomes a section of the model card.

    Attributes:
        title: what it takes, such as `transformers`.
        text: what a reader should know, in Markdown.
        code: Python that runs in the exported folder and defines `encode`, which returns pooled vectors ``(B, D)`` and
            the sequence ``(B, N, D)``.
    """

    title: str
    text: str
    code: str


def statistics(normalize: Normalize) -> tuple[list[float], list[float]]:
    """Mean and standard deviation that images are normalised with, one number or one per channel.

    They are as they were given: float32 has made 0.4914 to 0.49140000343322754.
    """
    mean, std = ([float(f"{each:.7g}") for each in value.flatten()] for value in (normalize.mean, normalize.std))
    return mean, std
