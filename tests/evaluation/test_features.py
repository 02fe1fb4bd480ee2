import torch
from torch import nn

from ssl_zoo.batch import Batch
from ssl_zoo.evaluation.features import estimate_batch_norm, extract, raw_inputs


def batches(labels: bool = True) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        Batch(
            torch.randn(8, 3, generator=generator) * 5 + 2, None, torch.arange(8) if labels else None, torch.arange(8)
        )
        for _ in range(4)
    ]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, inputs, mask=None):
        return self.norm(inputs)


def test_extract_keeps_the_order_and_the_labels():
    found = extract(raw_inputs, batches(), torch.device("cpu"))
    assert torch.equal(found.vectors, torch.cat([batch.inputs for batch in batches()]))
    assert found.labels.tolist() == list(range(8)) * 4
    assert extract(raw_inputs, batches(labels=False), torch.device("cpu")).labels is None


def test_batch_norm_gets_the_plain_average_over_batches_whatever_its_momentum_and_past():
    data = batches()
    for momentum in (0.01, 0.9):
        network = Network()
        network.norm.momentum = momentum
        network(torch.randn(8, 3) * 100)
        estimate_batch_norm(network, data, torch.device("cpu"))
        torch.testing.assert_close(
            network.norm.running_mean, torch.stack([batch.inputs.mean(0) for batch in data]).mean(0)
        )
        torch.testing.assert_close(
            network.norm.running_var, torch.stack([batch.inputs.var(0) for batch in data]).mean(0)
        )
        assert network.norm.momentum == momentum and not network.training and not network.norm.training
