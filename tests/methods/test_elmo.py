"""ELMo's loss by a loop over tokens, what it must not see, and what it learns."""

import math

import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.errors import InputError
from ssl_zoo.methods.bert import BERT
from ssl_zoo.methods.elmo import ELMo
from tests.encoders.test_elmo import LENGTHS, SPELLING, VOCABULARY, make, padded


def batch() -> Batch:
    ids, mask = padded()
    return Batch(ids, mask, None, torch.arange(3))


@torch.no_grad()
def test_the_loss_is_that_of_both_directions_token_by_token():
    torch.manual_seed(1)
    method, data = ELMo(make()), batch()
    method.bias.normal_()
    ahead, back = [], []
    for row, length in enumerate(LENGTHS):
        text = data.inputs[row, :length]
        sequence = method.encoder(text[None]).sequence[0]
        for place in range(1, length):
            for found, vector, target in (
                (ahead, sequence[place - 1, :8], text[place]),
                (back, sequence[place, 8:], text[place - 1]),
            ):
                found.append(float(F.cross_entropy(method.table @ vector + method.bias, target)))
    forward, backward = (sum(each) / len(each) for each in (ahead, back))
    terms = method.losses(data)
    assert float(terms["loss"]) == pytest.approx((forward + backward) / 2, abs=1e-5)
    assert float(terms["forward_perplexity"]) == pytest.approx(math.exp(forward), rel=1e-5)
    assert float(terms["backward_perplexity"]) == pytest.approx(math.exp(backward), rel=1e-5)
    assert float(terms["perplexity"]) == pytest.approx(math.exp((forward + backward) / 2), rel=1e-5)


def test_it_starts_at_chance_and_every_parameter_learns():
    torch.manual_seed(0)
    method = ELMo(make())
    loss = method.losses(batch())["loss"]
    assert float(loss.detach()) == pytest.approx(method.chance_loss(3), abs=0.5)
    loss.backward()
    assert [name for name, p in method.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_it_learns_what_follows_and_not_what_cannot_be_known():
    """Texts of pairs a b: the second token of a pair follows from the first, the first is drawn at random.

    Whoever sees what it is to predict gets every token right.
    """
    torch.manual_seed(0)
    method = ELMo(make(depth=2, cells=24))
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2, fused=True)

    def texts(seed: int, rows: int) -> Batch:
        first = torch.randint(5, 12, (rows, 5), generator=torch.Generator().manual_seed(seed))
        pairs = torch.stack([first, (first - 5 + 3) % 7 + 5], dim=2).flatten(1)
        return Batch(pairs, None, None, torch.arange(rows))

    for step in range(120):
        optimizer.zero_grad()
        method.losses(texts(step, 32))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        found = method.losses(texts(10**6, 400))
    # Of nine predictions in either direction five follow from one token, four are one of seven.
    least = math.log(7) * 4 / 9
    for name in ("forward_perplexity", "backward_perplexity"):
        assert least - 0.03 < math.log(float(found[name])) < least + 0.15


def test_other_encoders_are_refused_in_a_sentence():
    with pytest.raises(
        InputError, match=r"^ELMo predicts [^.]* BagOfTokens does not have: take ElmoEncoder, for texts\.$"
    ):
        ELMo(BagOfTokens(VOCABULARY, 8))
    with pytest.raises(InputError, match="bidirectional text encoder, which ElmoEncoder is not"):
        BERT(make())
    assert len(SPELLING) == VOCABULARY["size"]
