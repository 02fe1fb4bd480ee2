"""Vision transformers of timm and torchvision under the transformers library's names."""

import math
from typing import Any

import torch
from torch import Tensor

from ssl_zoo.encoders.published import Released
from ssl_zoo.encoders.weights import PATCHES, POSITIONS, refuse_unknown
from ssl_zoo.errors import InputError

# In timm's names, besides the blocks and the last norm.
STEM, TOKENS = ("patch_embed.proj.",), ("cls_token", "pos_embed", "reg_token", "register_tokens")
# Where each block's parts are in timm's names and in those of the library's two kinds of ViT.
BLOCK = {
    "vit": {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.o_proj"},
    "dinov2": {
        "ls1.gamma": "layer_scale1.lambda1",
        "ls2.gamma": "layer_scale2.lambda1",
        "attn.proj": "attention.o_proj",
    },
}
TORCHVISION = {"ln_1": "norm1", "ln_2": "norm2", "self_attention.out_proj": "attn.proj", "mlp.0": "mlp.fc1",
               "mlp.3": "mlp.fc2", "mlp.linear_1": "mlp.fc1", "mlp.linear_2": "mlp.fc2",
               "self_attention.in_proj_": "attn.qkv."}  # fmt: skip


def rename_blocks(released: Released, heads: int | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Weights in which queries, keys and values are one matrix, under the transformers library's names.

    Args:
        released: weights in the names of timm or torchvision.
        heads: attention heads, which files of weights alone say nothing about.

    Returns:
        Settings of the library's model, and its weights; `antialias` among the settings is how timm resizes positions.

    Raises:
        InputError: the network is none that the library's ViT or DINOv2 could be.
    """
    source, network = released.source, released.network
    state = dict(released.state) if released.naming.startswith("timm") else _in_timms_names(released)
    refuse_unknown(source, [name for name in state if not name.startswith((*STEM, *TOKENS, "norm.", "blocks."))], "ViT")
    if not {"cls_token", "pos_embed"} <= set(state):
        raise InputError(
            f"pretrained: {source} has no class token or no positions, which this ViT needs; choose another."
        )
    facts = _facts(source, network, state, heads)
    kind = facts["model_type"]
    prefix = "layers" if kind == "vit" else "encoder.layer"
    weights: dict[str, Tensor] = {}
    for name, value in state.items():
        if not name.startswith("blocks."):
            continue
        _, number, part = name.split(".", 2)
        where = f"{prefix}.{number}"
        if part.startswith("attn.qkv."):
            for each, third in zip("qkv", value.chunk(3), strict=True):
                weights[f"{where}.attention.{each}_proj.{part.removeprefix('attn.qkv.')}"] = third
        else:
            for old, new in BLOCK["vit" if kind == "vit" else "dinov2"].items():
                part = part.replace(old, new) if part.startswith(old) else part
            weights[f"{where}.{part}"] = value
    plain = {"patch_embed.proj.weight": f"{PATCHES}.weight", "patch_embed.proj.bias": f"{PATCHES}.bias",
             "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias"}  # fmt: skip
    weights |= {new: state[old] for old, new in plain.items() if old in state}
    first = [state[name] for name in ("cls_token", "reg_token", "register_tokens") if name in state]
    weights |= _prefix_and_positions(first, state["pos_embed"], facts.pop("own_positions"))
    return facts, weights


def _prefix_and_positions(first: list[Tensor], positions: Tensor, own: int) -> dict[str, Tensor]:
    """Class token, registers and positions, whichever of them had positions of their own.

    Args:
        first: the class token ``(1, 1, D)``, and the registers ``(1, R, D)`` where there are some.
        positions: ``(1, own + N, D)``.
        own: how many of `positions` are for the vectors in `first`.

    Returns:
        By the transformers library's names, where the class token has a position and registers have none.
    """
    tokens, dim = torch.cat(first, dim=1), positions.shape[-1]
    before, patches = positions[:, :own], positions[:, own:]
    if own > 1:  # the same sum
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + before[:, 1:]], dim=1)
    of_class = before[:, :1] if own else positions.new_zeros(1, 1, dim)
    found = {"embeddings.cls_token": tokens[:, :1], POSITIONS: torch.cat([of_class, patches], dim=1)}
    return found | ({"embeddings.register_tokens": tokens[:, 1:]} if len(first) > 1 else {})


def _facts(source: str, network: Any, state: dict[str, Tensor], heads: int | None) -> dict[str, Any]:
    """Settings of the library's model, from the weights and, where there is one, from the network they came in."""
    if network is not None:
        block = next(iter(network.blocks)) if hasattr(network, "blocks") else network.encoder.layers[0]
        attention: Any = block.attn if hasattr(block, "attn") else block.self_attention
        heads, eps = attention.num_heads, (block.norm1 if hasattr(block, "norm1") else block.ln_1).eps
        activation = next((_activation(part) for part in block.mlp.modules() if "GELU" in type(part).__name__), "relu")
    else:
        eps, activation = 1e-6, "gelu"  # of everything that was published in files of these names
    if heads is None:
        raise InputError(f"pretrained: {source} does not say how many attention heads it has; set the encoder's heads.")
    kernel, hidden = state["patch_embed.proj.weight"], state.get("blocks.0.mlp.fc1.weight")
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3] or hidden is None:
        raise InputError(f"pretrained: {source} has no square patches or no plain feed-forward part; choose another.")
    dim, registers = kernel.shape[0], state.get("reg_token", state.get("register_tokens"))
    if dim % heads:
        raise InputError(
            f"ViT: dim {dim} of {source} is not a multiple of heads {heads}; choose a number that divides it."
        )
    scaled = "blocks.0.ls1.gamma" in state
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    count = state["pos_embed"].shape[1]
    first = 1 + (0 if registers is None else registers.shape[1])
    possible: tuple[int, ...] = (0, 1, first)
    if hasattr(network, "no_embed_class"):
        possible = (0,) if network.no_embed_class else (network.num_prefix_tokens,)
    own = next((own for own in possible if own <= count and math.isqrt(count - own) ** 2 == count - own), None)
    if own is None:
        raise InputError(f"pretrained: the patches of {source} do not form a square; choose another.")
    facts: dict[str, Any] = {
        "model_type": "vit" if not scaled else "dinov2" if registers is None else "dinov2_with_registers",
        "hidden_size": dim,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "hidden_act": activation,
        "layer_norm_eps": eps,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
        "patch_size": kernel.shape[2],
        "image_size": kernel.shape[2] * math.isqrt(count - own),
        "num_channels": kernel.shape[1],
        "antialias": True,
        "own_positions": own,
    }
    if not scaled:
        return facts | {"intermediate_size": hidden.shape[0]}
    return facts | {
        "mlp_ratio": hidden.shape[0] // dim,
        **({} if registers is None else {"num_register_tokens": registers.shape[1]}),
    }


def _activation(module: Any) -> str:
    """The transformers library's name of an activation of PyTorch's or timm's."""
    if type(module).__name__ == "QuickGELU":
        return "quick_gelu"
    tanh = type(module).__name__ == "GELUTanh" or getattr(module, "approximate", "none") == "tanh"
    return "gelu_pytorch_tanh" if tanh else "gelu"


def _in_timms_names(released: Released) -> dict[str, Tensor]:
    """The names of torchvision as timm's."""
    renamed = {"class_token": "cls_token", "encoder.pos_embedding": "pos_embed", "encoder.ln.": "norm.",
               "conv_proj.": "patch_embed.proj."}  # fmt: skip
    state = {}
    for name, value in released.state.items():
        if name.startswith("encoder.layers.encoder_layer_"):
            number, part = name.removeprefix("encoder.layers.encoder_layer_").split(".", 1)
            for old, new in TORCHVISION.items():
                part = new + part.removeprefix(old) if part.startswith(old) else part
            name = f"blocks.{number}.{part}"
        for old, new in renamed.items():
            name = new + name.removeprefix(old) if name.startswith(old) else name
        state[name] = value
    return state
