"""The colours that images are made of: few enough to be codes, as those of image GPT."""

import torch

from ssl_zoo.data.examples import Examples
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.parts.k_means import k_means
from ssl_zoo.randomness import uniform

IMAGES, PIXELS = 1024, 2**16  # looked at; more change no colour that matters


def colour_palette(examples: Examples, colours: int) -> list[list[float]]:
    """The centres of clusters of pixels, by k-means (Chen et al., 2020, "Generative pretraining from pixels").

    Args:
        examples: images.
        colours: how many centres; fewer where there are not so many colours.

    Returns:
        A list of colours, each of C numbers in [0, 1], the same at every call.
    """
    images = examples.__getitems__(fixed_order(len(examples))[:IMAGES].tolist()).inputs
    pixels = images.transpose(0, 1).flatten(1).T
    chosen = pixels[(uniform(torch.zeros(1, dtype=torch.int64), PIXELS)[0].double() * len(pixels)).long()]
    values = chosen.float() if chosen.is_floating_point() else chosen / 255
    distinct = values.unique(dim=0)
    found = distinct if len(distinct) <= colours else k_means(values, colours, torch.tensor(0))
    return found.clamp(0, 1).tolist()
