"""A linear probe of every layer, since what a pretext task leaves in the middle may say more than what is at the end.

Masked language models and rotation prediction are known for it; a table of last layers alone would hide it.
"""

from typing import NamedTuple

from torch import Tensor

from ssl_zoo.probes.accuracy import accuracy
from ssl_zoo.probes.features import choose_examples
from ssl_zoo.probes.linear import fit_linear

# Of every part at most so many examples: layers times examples have to fit in memory, and every layer is fitted.
EXAMPLES = 10_000


class ByLayer(NamedTuple):
    """What the layers of one representation reach.

    Attributes:
        validation: accuracy on validation data, by layer from the first layer's input on.
        test: accuracy on test data, by layer from the first layer's input on.
        chosen: the layer that is best on validation data, the last one of equals: nothing of the test part enters.
    """

    validation: list[float]
    test: list[float]
    chosen: int


def choose_layered(total: int) -> Tensor:
    """``(min(total, EXAMPLES),)`` int64, ascending positions of the examples of a part that layers are probed on."""
    return choose_examples(total, EXAMPLES)


def probe_layers(layers: dict[str, list[Tensor]], labels: dict[str, Tensor], classes: int) -> ByLayer:
    """Fits a linear probe on every layer, with all the labels that there are; validation data chooses its penalty.

    Args:
        layers: features by part, ``(N, D_layer)`` of every layer, of any floating type.
        labels: labels by part, ``(N,)`` int64.
        classes: number of classes.
    """
    validation, test = [], []
    for known, held, wanted in zip(*(layers[part] for part in ("train", "validation", "test")), strict=True):
        probe, _ = fit_linear(known.float(), labels["train"], classes, (held.float(), labels["validation"]))
        validation.append(accuracy(probe.predict(held.float()), labels["validation"]))
        test.append(accuracy(probe.predict(wanted.float()), labels["test"]))
    chosen = max(range(len(validation)), key=lambda layer: (validation[layer], layer))
    return ByLayer(validation, test, chosen)
