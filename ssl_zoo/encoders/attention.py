"""Attention of the transformers library's models, in the precision that the device does it fastest in."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.errors import InputError

NAME = "ssl_zoo"


def use_fast_attention(model: Any) -> None:
    """Lets every layer of a `PreTrainedModel` attend by `attend`; a saved model's configuration knows nothing of it."""
    use_attention(model, NAME, attend)


def use_attention(model: Any, name: str, function: Callable[..., tuple[Tensor, None]]) -> None:
    """The same by another function.

    Args:
        model: the `PreTrainedModel`.
        name: what the library knows the function by.
        function: takes what `attend` takes, and gives what it gives.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, sdpa_mask)  # for the library's own forward pass, as in writing texts
    model.set_attn_implementation(name)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention, on CPUs always in float32.

    PyTorch's backward pass of attention in bfloat16 takes two to four times as long as that in float32 on a CPU for
    sequences of up to about a hundred, with AMX too, and never less. Autocast would choose bfloat16.

    Args:
        module: the layer that asks, which knows whether it is causal.
        query: ``(B, H, T, D / H)``.
        key: the same shape.
        value: the same shape.
        attention_mask: broadcasts to ``(B, H, T, T)``, bool (True where a position may be seen) or added to the scores.
        **settings: of the library's `sdpa_attention_forward`.

    Returns:
        ``(B, T, H, D / H)`` in the dtype of `query`, and None in place of the weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if query.device.type != "cpu" or query.dtype == torch.float32:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    with torch.autocast("cpu", enabled=False):
        vectors, weights = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), attention_mask, **settings
        )
    return vectors.to(query.dtype), weights


def check_heads(encoder: str, dim: int, heads: int) -> None:
    """Raise `InputError` unless `dim` can be divided among so many attention heads."""
    if min(dim, heads) < 1 or dim % heads:
        raise InputError(f"{encoder}: dim {dim} is not a multiple of heads {heads}; choose numbers that divide.")
