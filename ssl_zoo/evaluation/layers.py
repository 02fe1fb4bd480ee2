"""A linear probe of every layer, since what a pretext task leaves in the middle may say more than what is at the end.

Masked language models and rotation prediction are known for it; a table of last layers alone would hide it.
"""

from torch import Tensor

from ssl_zoo.probes.accuracy import accuracy
from ssl_zoo.probes.features import choose_examples
from ssl_zoo.probes.linear import fit_linear
from ssl_zoo.runs.results import LayerScores

# Of every part at most so many examples: layers times examples have to fit in memory, and every layer is fitted.
EXAMPLES = 10_000


def choose_layered(total: int) -> Tensor:
    """``(min(total, EXAMPLES),)`` int64, ascending positions of the examples of a part that layers are probed on."""
    return choose_examples(total, EXAMPLES)


def probe_layers(layers: dict[str, list[Tensor]], labels: dict[str, Tensor], classes: int) -> LayerScores:
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
    return LayerScores(validation, test, chosen)
