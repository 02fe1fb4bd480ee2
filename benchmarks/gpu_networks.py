"""The six networks whose speed is measured: each a method as its paper has it, and a batch in main memory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gpu_peers
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.front_ends import WaveConvolutions
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.bert import BERT
from ssl_zoo.methods.gpt import GPT
from ssl_zoo.methods.moco_v3 import MoCoV3
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.methods.wav2vec2 import Wav2Vec2
from ssl_zoo.views.image import SimCLRViews
from ssl_zoo.vocabulary import Vocabulary

RATE = 16000
FIRST_WORD = 5  # token ids below it are special


class Network(NamedTuple):
    """What is measured.

    Attributes:
        name: in the table.
        unit: what is counted: images, tokens or seconds of audio.
        units: of them in a batch.
        method: makes the method, untrained.
        batch: makes the batch, in main memory.
        peers: other libraries' same step, by name: each makes it from the batch and the device.
    """

    name: str
    unit: str
    units: float
    method: Callable[[], Method]
    batch: Callable[[], Batch]
    peers: dict[str, Callable[[Batch, torch.device], Callable[[], Any]]]


def images(count: int, side: int) -> Callable[[], Batch]:
    """A batch of noise in colour."""
    return lambda: Batch(
        torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8), None, None, torch.arange(count)
    )


def tokens(count: int, length: int, size: int) -> Callable[[], Batch]:
    """A batch of rows of random tokens, nothing padded."""
    return lambda: Batch(torch.randint(FIRST_WORD, size, (count, length)), None, None, torch.arange(count))


def waveforms(count: int, samples: int) -> Callable[[], Batch]:
    """A batch of noise."""
    return lambda: Batch(0.1 * torch.randn(count, samples).clamp(-3, 3), None, None, torch.arange(count))


def vocabulary(size: int) -> Vocabulary:
    """Of so many tokens, the first of them special."""
    names: Any = {"pad": 0, "begin": 1, "end": 2, "unknown": 3, "mask": 4}
    return {"size": size, **names, "special": list(range(FIRST_WORD)), "continuations": [], "hash": "0" * 16}


def networks(smoke: bool) -> list[Network]:
    """All of them; in a smoke test tiny ones of the same kinds."""
    small, large, side = (8, 8, 32) if smoke else (512, 256, 224)
    texts, length, words = (2, 32, 200) if smoke else (32, 512, 30522)
    long, longer, more = (2, 32, 200) if smoke else (16, 1024, 50257)
    recordings, samples = (2, RATE) if smoke else (8, 15 * RATE)
    sizes: dict[str, Any] = {"dim": 32, "depth": 1, "heads": 2} if smoke else {"dim": 768, "depth": 12, "heads": 12}
    width = 8 if smoke else 64
    front = WaveConvolutions(32 if smoke else 512)
    vit: dict[str, Any] = sizes if smoke else {"dim": 384, "depth": 12, "heads": 12}
    return [
        Network(
            "SimCLR, ResNet-18, 32x32", "images", small,
            lambda: SimCLR(ResNet(18, width), SimCLRViews(0.5, blur=0.0)),
            images(small, 32), {"lightly, ready views": gpu_peers.lightly_resnet18},
        ),
        Network(
            f"SimCLR, ResNet-50, {side}x{side}", "images", large,
            lambda: SimCLR(ResNet(50, width, "large"), SimCLRViews(), temperature=0.1),
            images(large, side), {"lightly, ready views": gpu_peers.lightly_resnet50},
        ),
        Network(
            f"MoCo v3, ViT-S/16, {side}x{side}", "images", large,
            lambda: MoCoV3(ViT(side, 16, **vit), SimCLRViews(crop_scale=(0.2, 1.0))),
            images(large, side), {},
        ),
        Network(
            "BERT-base", "tokens", texts * length,
            lambda: BERT(BertEncoder(vocabulary(words), **sizes)),
            tokens(texts, length, words), {"transformers": gpu_peers.transformers_bert},
        ),
        Network(
            "GPT-2 124M", "tokens", long * longer,
            lambda: GPT(GPT2Encoder(vocabulary(more), max_length=longer, **sizes)),
            tokens(long, longer, more), {"transformers": gpu_peers.transformers_gpt2},
        ),
        Network(
            "wav2vec 2.0 base", "audio-s", recordings * samples / RATE,
            lambda: Wav2Vec2(Wav2Vec2Encoder(front, **sizes)),
            waveforms(recordings, samples), {"transformers": gpu_peers.transformers_wav2vec2},
        ),
    ]  # fmt: skip
