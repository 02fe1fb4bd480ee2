import torch

from ssl_zoo.batch import Batch
from ssl_zoo.evaluation.features import extract, raw_inputs


def batches(labels: bool = True) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(
            torch.randn(8, 3, generator=generator) * 5 + 2, None, torch.arange(8) if labels else None, torch.arange(8)
        )
        for _ in range(4)
    ]


def test_extract_keeps_the_order_and_the_labels():
    found = extract(raw_inputs, batches(), torch.device("cpu"))
    assert torch.equal(found.vectors, torch.cat([batch.inputs for batch in batches()]))
    assert found.labels.tolist() == list(range(8)) * 4
    assert extract(raw_inputs, batches(labels=False), torch.device("cpu")).labels is None
