"""A bag of tokens by plain loops, and how it begins."""

import pytest
import torch

from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from tests.encoders.test_text import BEGIN, END, PAD, VOCABULARY

ROWS = torch.tensor([[BEGIN, 7, 9, END, BEGIN, 7, END], [BEGIN, 30, END, PAD, PAD, PAD, PAD], [END] * 7])
MASK = torch.tensor([[1, 1, 1, 1, 2, 2, 2], [1, 1, 1, 0, 0, 0, 0], [1] * 7])


@pytest.mark.parametrize("mask", [MASK, MASK > 0], ids=["packed", "padded"])
@pytest.mark.parametrize("unit_length", [True, False])
def test_a_text_is_the_mean_of_its_tokens_without_begin_end_and_padding(mask, unit_length):
    encoder = BagOfTokens(VOCABULARY, 6, unit_length)
    table = encoder.token_embedding.weight.detach()
    with torch.no_grad():
        encoded = encoder(ROWS, mask, layers=True)
    means = torch.stack([(table[7] + table[9] + table[7]) / 3, table[30], torch.zeros(6)])
    lengths = means.norm(dim=1, keepdim=True).clamp_min(1e-9) if unit_length else 1.0
    torch.testing.assert_close(encoded.pooled, means / lengths)
    assert torch.equal(encoded.sequence, table[ROWS]) and torch.equal(encoded.layers[0], encoded.sequence)
    assert torch.equal(encoded.mask, MASK > 0)


def test_it_begins_as_the_released_code_of_word2vec():
    values = BagOfTokens(VOCABULARY, 50).token_embedding.weight.detach() * 50
    assert -0.5 <= values.min() < -0.49 and 0.49 < values.max() <= 0.5 and abs(values.mean()) < 0.03
