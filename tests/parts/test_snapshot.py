import pytest
import torch

from ssl_zoo.parts.snapshot import Snapshot
from tests.methods.coded import ENCODERS, batch_for


@pytest.mark.parametrize("name", ENCODERS)
@torch.no_grad()
def test_it_gives_a_layer_as_it_was_and_costs_no_later_ones(name):
    torch.manual_seed(0)
    encoder, batch = ENCODERS[name](), batch_for(name)
    for layer in (1, 2):
        snapshot = Snapshot(encoder, layer)
        before = encoder.eval()(batch.inputs, batch.mask, layers=True)
        encoder.train()
        found = snapshot.train()(batch.inputs, batch.mask, layers=True)
        assert torch.equal(found.layers[layer], before.layers[layer])
        assert len(list(snapshot.parameters())) < len(list(encoder.parameters())) or layer == 2
        for parameter in encoder.parameters():
            parameter.mul_(1.1)
        snapshot.follow(0.5)
        assert torch.equal(snapshot(batch.inputs, batch.mask, layers=True).layers[layer], before.layers[layer])
        snapshot.take()
        after = encoder.eval()(batch.inputs, batch.mask, layers=True).layers[layer]
        assert torch.equal(snapshot(batch.inputs, batch.mask, layers=True).layers[layer], after)
        assert not torch.equal(after, before.layers[layer])
