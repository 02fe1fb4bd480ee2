"""Runs as `load_run` gives them, but never trained: weights are random, and batch norm has seen something."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_causal import CausalConvEncoder, GRUEncoder
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.bag_of_tokens import BagOfTokens
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.encoders.modern_bert import ModernBertEncoder
from ssl_zoo.encoders.patch_resnet import PatchResNet
from ssl_zoo.encoders.split_resnet import SplitResNet
from ssl_zoo.encoders.switch import SwitchBertEncoder
from ssl_zoo.encoders.text import BertEncoder, GPT2Encoder
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.bert import BERT
from ssl_zoo.methods.gpt import GPT
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.methods.wav2vec import Wav2Vec
from ssl_zoo.methods.wav2vec2 import Wav2Vec2
from ssl_zoo.methods.word2vec import Word2Vec
from ssl_zoo.runs.run import Run
from ssl_zoo.views.audio import AudioViews
from ssl_zoo.views.image import SimCLRViews
from tests.made import Tones

SIZE, LENGTH = 32, 16
WORDS = "cat dog cow pig bread milk rice jam".split()


class Noise(ImageSource):
    """Random images."""

    name, licence, image_size = "Noise", "CC0-1.0", SIZE

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def load(self) -> LoadedImages:
        pixels = torch.randint(256, (60, self.channels, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
        return LoadedImages(ArrayImages(pixels.byte(), torch.arange(60) % 3), None, None, ["a", "b", "c"])


def images(channels: int) -> ImageData:
    data = ImageData(Noise(channels), batch_size=10)
    data.setup()
    return data


def texts(folder: Path, kind: str) -> TextData:
    """Documents of many lengths, some too long, some that speak of special tokens."""
    draw = torch.Generator().manual_seed(0)
    lines = []
    for number in range(40):
        chosen = torch.randint(len(WORDS), (int(torch.randint(1, 30, (), generator=draw)),), generator=draw)
        text = " ".join([*(WORDS[word] for word in chosen), str(number), "[SEP] [PAD] Ünknöwn 日"[: number % 22]])
        lines.append(json.dumps({"text": text, "label": number % 2}))
    folder.mkdir(exist_ok=True)
    (folder / "texts.jsonl").write_text("\n".join(lines))
    data = TextData(TextFiles(folder / "texts.jsonl"), tokenizer=kind, vocab_size=300, length=LENGTH, batch_size=5)
    data.setup()
    return data


def vit(channels: int, pooling: str, mean: float | list[float]) -> ViT:
    settings = {"patch_size": 8, "dim": 32, "depth": 2, "heads": 2, "channels": channels}
    return ViT(image_size=SIZE, pooling=pooling, mean=mean, std=0.3, **settings)


def grey(encoder: Encoder, folder: Path) -> tuple[SimCLR, ImageData]:
    return SimCLR(encoder, SimCLRViews()), images(1)


def colour(encoder: Encoder, folder: Path) -> tuple[SimCLR, ImageData]:
    return SimCLR(encoder, SimCLRViews()), images(3)


def bert(make: Callable[..., Encoder], kind: str, folder: Path, **settings: str | int) -> tuple[BERT, TextData]:
    data = texts(folder, kind)
    return BERT(make(data.vocabulary, **{"dim": 32, "depth": 2, "heads": 2, "max_length": 40, **settings})), data


def gpt(folder: Path) -> tuple[GPT, TextData]:
    data = texts(folder, "bpe")
    return GPT(GPT2Encoder(data.vocabulary, dim=32, depth=2, heads=2, max_length=40)), data


def word2vec(folder: Path) -> tuple[Word2Vec, TextData]:
    data = texts(folder, "wordpiece")
    return Word2Vec(BagOfTokens(data.vocabulary, dim=32)), data


def speech() -> AudioData:
    data = AudioData(Tones(), crop_seconds=0.3, batch_size=8)
    data.prepare_data()
    data.setup()
    return data


def wav2vec2(depth: int, **settings: str | bool) -> Wav2Vec2Encoder:
    front_end = WaveConvolutions(16, [10, 4, 3], [5, 4, 2], **settings)  # every further layer takes long to trace
    return Wav2Vec2Encoder(front_end, dim=32, depth=depth, heads=2, position_kernel=8, position_groups=4)


def gru() -> tuple[Wav2Vec, AudioData]:
    strides = [2, 2, 2]  # a loop over few frames is traced soon
    return Wav2Vec(GRUEncoder(LogMel(dim=16, strides=strides), dim=16), steps=2), speech()


# One run of every kind of encoder, and of every kind of torchvision network.
KINDS = {
    "ResNet, as torchvision has it": lambda folder: colour(
        ResNet(18, stem="large", mean=[0.49, 0.48, 0.45], std=[0.2, 0.3, 0.25]), folder
    ),
    "ResNet, narrow": lambda folder: grey(ResNet(10, 8, channels=1), folder),
    "ResNet, bottlenecks": lambda folder: colour(ResNet(50, 8, "large"), folder),
    "PatchResNet": lambda folder: grey(PatchResNet(8, 0.5, 10, 4, channels=1), folder),
    "SplitResNet": lambda folder: colour(SplitResNet(10, 4), folder),
    "ViT": lambda folder: colour(vit(3, "cls", [0.49, 0.48, 0.45]), folder),
    "ViT, grey": lambda folder: grey(vit(1, "mean", 0.5), folder),
    "MLP": lambda folder: grey(MLP([24, 16], image_size=SIZE), folder),
    "BERT": lambda folder: bert(BertEncoder, "wordpiece", folder),
    "BERT, first token": lambda folder: bert(BertEncoder, "characters", folder, pooling="cls", depth=1),
    "ModernBERT": lambda folder: bert(ModernBertEncoder, "wordpiece", folder, window=4),
    "SwitchBertEncoder": lambda folder: bert(SwitchBertEncoder, "wordpiece", folder, experts=3),
    "BagOfTokens": lambda folder: word2vec(folder),
    "GPT-2": lambda folder: gpt(folder),
    "wav2vec 2.0": lambda folder: (Wav2Vec2(wav2vec2(depth=2)), speech()),
    "wav2vec 2.0, norm over time": lambda folder: (
        Wav2Vec2(wav2vec2(depth=1, norm="group", bias=False, normalize=False)),
        speech(),
    ),
    "Wav2Vec2Encoder on log-mel": lambda folder: (
        Wav2Vec2(Wav2Vec2Encoder(LogMel(dim=16), 32, 1, 2, position_kernel=8, position_groups=4)),
        speech(),
    ),
    "CausalConvEncoder": lambda folder: (Wav2Vec(CausalConvEncoder(LogMel(dim=16), 16, [3, 3]), steps=2), speech()),
    "AudioResNet": lambda folder: (SimCLR(AudioResNet(10, 8), AudioViews(0.2)), speech()),
}


def make_run(kind: str, folder: Path) -> Run:
    torch.manual_seed(0)
    method, data = KINDS[kind](folder / "data")
    return a_run(method, data, folder)


def a_run(method: Method, data: DataModule, folder: Path) -> Run:
    with torch.no_grad():
        method.encoder.train()
        method.encoder(*data.train_set.__getitems__(list(range(16)))[:2])
    directory = folder / "runs" / "kinds" / "a"
    directory.mkdir(parents=True)
    callbacks = {"Throughput": {"samples": 1280, "seconds": 64.0, "hardware": "Abacus 3000, 2 cores"}}
    return Run(directory, method.eval(), data, {"global_step": 128, "callbacks": callbacks})
