import json

import torch
from torch import nn
from transformers import BertConfig, BertModel

from ssl_zoo.encoders.attention import attend, use_fast_attention


def reference(query, key, value, mask):
    """Softmax of scaled products, in float64."""
    query, key, value = (each.double() for each in (query, key, value))
    scores = query @ key.mT / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2)


def layer(causal: bool) -> nn.Module:
    module = nn.Module()
    module.is_causal = causal
    return module


def test_it_is_softmax_attention_in_float32_even_where_autocast_wants_bfloat16():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4).bfloat16().requires_grad_() for _ in range(3))
    padding = torch.arange(7) < torch.tensor([7, 4])[:, None]
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    for is_causal, mask, seen in (
        (False, None, None),
        (False, padding[:, None, None], padding[:, None, None]),
        (True, None, causal),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            found, _ = attend(layer(is_causal), query, key, value, mask)
        assert found.dtype == torch.bfloat16
        expected = reference(query, key, value, seen)
        # Computed in float32, the result is the true one rounded once.
        torch.testing.assert_close(found, expected.bfloat16(), atol=1e-6, rtol=2**-8)
        gradients = torch.autograd.grad(found.float().square().sum(), (query, key, value))
        exact = torch.autograd.grad(expected.square().sum(), (query, key, value))
        for one, other in zip(gradients, exact, strict=True):
            torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


def test_a_saved_model_is_one_that_anybody_can_load(tmp_path):
    sizes = {"vocab_size": 8, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1}
    model = BertModel(BertConfig(**sizes, num_attention_heads=2))
    use_fast_attention(model)
    model.save_pretrained(tmp_path)
    assert "ssl_zoo" not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
    ids = torch.arange(8)[None]
    loaded = BertModel.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == "sdpa"
    torch.testing.assert_close(loaded.eval()(ids).last_hidden_state, model.eval()(ids).last_hidden_state)
