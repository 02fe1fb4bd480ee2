"""Methods on speech trace into one graph, which computes what they compute without it, bit for bit."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import CausalConvEncoder, GRUEncoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.recurrent import GRULayer
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.cpc import CPC
from ssl_zoo.methods.wav2vec import Wav2Vec
from ssl_zoo.methods.wav2vec2 import Wav2Vec2

# Few layers, as every one is traced.
WAVES = 16, [10, 8, 4], [5, 8, 4]
METHODS: dict[str, Callable[[], Method]] = {
    "wav2vec 2.0": lambda: Wav2Vec2(Wav2Vec2Encoder(WaveConvolutions(*WAVES), 32, 1, 2)),
    "wav2vec 2.0 with group norm": lambda: Wav2Vec2(Wav2Vec2Encoder(WaveConvolutions(*WAVES, norm="group"), 32, 1, 2)),
    "wav2vec 2.0 on log-mel": lambda: Wav2Vec2(Wav2Vec2Encoder(LogMel(dim=16), 32, 1, 2), targets="continuous"),
    "CPC": lambda: CPC(GRUEncoder(WaveConvolutions(16, [10, 8, 4], [5, 4, 2]), 32)),
    "CPC on log-mel": lambda: CPC(GRUEncoder(LogMel(dim=16), 32)),
    "wav2vec": lambda: Wav2Vec(CausalConvEncoder(LogMel(dim=16), 32, [3, 3])),
}


def batch(padded: bool) -> Batch:
    waves = 0.1 * torch.randn(4, 8000, generator=torch.Generator().manual_seed(0))
    if not padded:
        return Batch(waves, None, None, torch.arange(4))
    mask = torch.arange(8000) < torch.tensor([8000, 6000, 3000, 8000])[:, None]
    return Batch(waves * mask, mask, None, torch.arange(4))


# Where it traces a function with a backward pass of its own.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # PyTorch warns of itself
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_one_graph_and_gives_the_same_bits(name, padded):
    torch.manual_seed(0)
    model, given = METHODS[name]().train(), batch(padded)
    found = []
    torch._dynamo.reset()
    for losses in (model.losses, torch.compile(model.losses, fullgraph=True, backend="eager")):
        model.zero_grad()
        torch.manual_seed(1)  # dropout
        terms = losses(given)
        terms["loss"].backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append({**{name: value.detach() for name, value in terms.items()}, **gradients})
    plain, compiled = found
    assert plain.keys() == compiled.keys()
    assert [name for name in plain if not torch.equal(plain[name], compiled[name])] == []


def test_a_gru_layer_is_torchs_with_its_weights_and_their_names():
    torch.manual_seed(0)
    ours = GRULayer(8)
    torch.manual_seed(0)
    theirs = nn.GRU(8, 8, batch_first=True)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    vectors = torch.randn(3, 11, 8)
    assert torch.equal(ours(vectors), theirs(vectors)[0])
