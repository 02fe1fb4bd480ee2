"""The same steps by lightly and transformers, in bfloat16 autocast, in a bare loop on one batch on the device.

Each gives what its own examples would: lightly's SimCLR on ready-made views, as its transforms are made by a CPU's
workers, and transformers' pretraining models with AdamW.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch

PREFIXES = ("lightly", "transformers")
SMALL_IMAGES = 64  # up to this side a ResNet begins with a small convolution and no pooling
TINY_BATCH = 8  # of a smoke test, whose networks are tiny, too
MASKED = 0.15


def stepping(model: nn.Module, optimizer: Any, loss: Callable[[], Tensor], device: torch.device) -> Callable[[], Any]:
    """One training step."""

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    model.train()
    return step


def adamw(model: nn.Module, device: torch.device) -> Any:
    """Fused where that exists."""
    return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type == "cuda")


def lightly_simclr(depth: int, batch: Batch, device: torch.device) -> Callable[[], Any]:
    """Lightly's SimCLR on a torchvision ResNet and one pair of ready-made views."""
    import torchvision
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    backbone = getattr(torchvision.models, f"resnet{depth}")()
    width, backbone.fc = backbone.fc.in_features, nn.Identity()
    if batch.inputs.shape[-1] <= SMALL_IMAGES:
        backbone.conv1, backbone.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    model = nn.Sequential(backbone, SimCLRProjectionHead(width, 2048, 128))
    model = model.to(device, memory_format=torch.channels_last)
    views = torch.cat([batch.inputs, batch.inputs]).to(device).float().div_(255)
    views = views.contiguous(memory_format=torch.channels_last)
    criterion = NTXentLoss(0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    return stepping(model, optimizer, lambda: criterion(*model(views).chunk(2)), device)


def lightly_resnet18(batch: Batch, device: torch.device) -> Callable[[], Any]:
    """See `lightly_simclr`."""
    return lightly_simclr(18, batch, device)


def lightly_resnet50(batch: Batch, device: torch.device) -> Callable[[], Any]:
    """See `lightly_simclr`."""
    return lightly_simclr(50, batch, device)


def transformers_bert(batch: Batch, device: torch.device) -> Callable[[], Any]:
    """Masked language modelling of BertForMaskedLM."""
    from transformers import BertConfig, BertForMaskedLM

    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForMaskedLM(BertConfig(**(tiny if len(batch.inputs) <= TINY_BATCH else {}))).to(device)
    tokens = batch.inputs.to(device)
    labels = tokens.masked_fill(torch.rand(tokens.shape, device=device) > MASKED, -100)
    return stepping(model, adamw(model, device), lambda: model(tokens, labels=labels).loss, device)


def transformers_gpt2(batch: Batch, device: torch.device) -> Callable[[], Any]:
    """Next tokens of GPT2LMHeadModel."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tiny = {"n_embd": 32, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**(tiny if len(batch.inputs) <= TINY_BATCH else {}))).to(device)
    tokens = batch.inputs.to(device)
    return stepping(model, adamw(model, device), lambda: model(tokens, labels=tokens).loss, device)


def transformers_wav2vec2(batch: Batch, device: torch.device) -> Callable[[], Any]:
    """Wav2Vec2ForPreTraining with one draw of masks and negatives, which it makes on a CPU."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
    from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices, _sample_negative_indices

    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "conv_dim": [32] * 7}
    settings: dict[str, Any] = tiny if len(batch.inputs) < TINY_BATCH else {}
    model = Wav2Vec2ForPreTraining(Wav2Vec2Config(layerdrop=0.0, **settings)).to(device).train()
    waveforms = batch.inputs.to(device)
    shape = (len(waveforms), int(model._get_feat_extract_output_lengths(waveforms.shape[1])))
    masked = _compute_mask_indices(shape, 0.65, 10, min_masks=2)
    negatives = torch.from_numpy(_sample_negative_indices(shape, 100, masked)).to(device)
    places, count = torch.from_numpy(masked).to(device), int(masked.sum())

    def loss() -> Tensor:
        return model(waveforms, mask_time_indices=places, sampled_negative_indices=negatives).loss / count

    return stepping(model, adamw(model, device), loss, device)
