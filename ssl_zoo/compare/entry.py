"""One row of a leaderboard."""

from typing import NamedTuple

from ssl_zoo.compare.runs import RunRecord
from ssl_zoo.compare.statistics import Estimate
from ssl_zoo.runs.results import ALL, LINEAR

METHOD, BASELINE, CEILING = "method", "baseline", "ceiling"

ByLabels = dict[str, Estimate]


class Entry(NamedTuple):
    """A row of a leaderboard.

    Attributes:
        kind: METHOD, BASELINE or CEILING.
        label: what the row is called, unique in its leaderboard.
        method: name of the method, or of the baseline.
        encoder: name of the encoder, empty for a baseline without one.
        modality: modality of the encoder.
        rank: place in the order, from 1 on; None for baselines and ceiling.
        runs: seeds of one experiment; for baselines and ceiling all runs that measured them.
        accuracy: accuracies by probe and by labels per class.
        costs: seconds, samples, flops, peak_memory and parameters, as far as they are known.
        health: health figures by name.
        finetuning: results of fine-tuning by kind, row (the method's or the untrained encoder's), figure and number of
            examples.
        differences: settings that most of the other rows have otherwise, in words.
        bleu: BLEU of translations, from 0 to 100, by part of the sources, the whole of them first.
    """

    kind: str
    label: str
    method: str
    encoder: str
    modality: str
    rank: int | None
    runs: list[RunRecord]
    accuracy: dict[str, ByLabels]
    costs: dict[str, Estimate]
    health: dict[str, Estimate]
    finetuning: dict[str, dict[str, dict[str, ByLabels]]]
    differences: list[str]
    bleu: dict[str, Estimate]

    def score(self, probe: str = LINEAR, labels: str = ALL) -> float:
        """Mean accuracy in [0, 1], or -1 where there is none."""
        found = self.accuracy.get(probe, {}).get(labels)
        return -1.0 if found is None else found.mean
