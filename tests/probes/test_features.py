import torch
from torch.utils.data import Subset

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.probes.features import batches, extract, similar_lengths


class Rows(Examples):
    """Rows of ones, as many as their length, padded with zeros."""

    fetched_at_once = 4

    def __init__(self, lengths: list[int], labels: bool = True) -> None:
        self.lengths = torch.tensor(lengths)
        self.labels = torch.arange(100, 100 + len(lengths)) if labels else None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitems__(self, positions: list[int]) -> Batch:
        lengths = self.lengths[positions, None]
        mask = torch.arange(int(lengths.max())) < lengths
        labels = None if self.labels is None else self.labels[positions]
        return Batch(mask.float(), mask, labels, torch.tensor(positions))


LENGTHS = [3, 9, 1, 4, 9, 2, 7, 5, 6, 8, 3]


def lengths_and_positions(batch: Batch) -> torch.Tensor:
    return torch.stack([batch.inputs.sum(1), batch.index.float()], 1)


def test_extract_keeps_the_order_and_the_labels():
    found = extract(lengths_and_positions, Rows(LENGTHS), torch.device("cpu"))
    assert found.vectors.tolist() == [[length, position] for position, length in enumerate(LENGTHS)]
    assert found.labels.tolist() == list(range(100, 111))
    assert extract(lengths_and_positions, Rows(LENGTHS, labels=False), torch.device("cpu")).labels is None
    chosen = [7, 1, 10, 2, 0]
    part = extract(lengths_and_positions, Subset(Rows(LENGTHS), chosen), torch.device("cpu"))
    assert part.vectors.tolist() == [[LENGTHS[position], position] for position in chosen]
    assert part.labels.tolist() == [100 + position for position in chosen]


def test_examples_of_similar_length_are_encoded_together():
    data = Rows(LENGTHS)
    padded = [float((~batch.mask).sum()) for batch in batches(data, similar_lengths(data))]
    in_order = [float((~batch.mask).sum()) for batch in batches(data)]
    ordered = sorted(LENGTHS, reverse=True)
    least = [sum(max(part) - length for length in part) for part in (ordered[:4], ordered[4:8], ordered[8:])]
    assert padded == least and sum(in_order) > 2 * sum(least)
