"""Encoders and batches on which methods that predict codes of places are tried, and a toy that they can learn."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.image import ViT
from ssl_zoo.methods.base import Method

LENGTHS = [6000, 4400, 3000, 6000]
RATE = 2000  # samples per second, and samples of a glide
ENCODERS: dict[str, Callable[[], Encoder]] = {
    "image": lambda: ViT(8, 2, dim=32, depth=2, heads=2, pooling="mean", positions="sincos"),
    "frames": lambda: Wav2Vec2Encoder(
        LogMel(40, strides=[], stack=2), dim=32, depth=2, heads=2, position_kernel=8, dropout=0.0, attention_dropout=0.0
    ),
    "patches": lambda: AudioViT(**AudioViT.tiny()),
}


def batch_for(name: str) -> Batch:
    """Images, or padded noise."""
    generator = torch.Generator().manual_seed(1)
    if name == "image":
        pixels = torch.randint(0, 256, (4, 3, 8, 8), generator=generator, dtype=torch.uint8)
        return Batch(pixels, None, None, torch.arange(5, 9))
    mask = torch.arange(6000) < torch.tensor(LENGTHS)[:, None]
    return Batch(0.1 * torch.randn(4, 6000, generator=generator) * mask, mask, None, torch.arange(5, 9))


def one(batch: Batch, row: int) -> Batch:
    """An example by itself, without padding."""
    inputs = batch.inputs[row : row + 1]
    if batch.mask is not None:
        inputs = inputs[:, : LENGTHS[row]]
    return Batch(inputs, None, None, batch.index[row : row + 1])


def fit_to(model: Method, batch: Batch, refits: int = 1) -> None:
    """The next of a method's refits, to one batch."""
    training = model.training
    model.eval()
    for _ in range(refits):
        refit = model.refits()[0]
        with torch.no_grad():
            vectors, counted = refit.collect(batch)
            refit.use(refit.fit(vectors[counted]))
    model.train(training)


def glides(count: int, seed: int) -> Batch:
    """Tones that rise or fall evenly from one pitch to another: a gap in them follows from both sides of it."""
    generator = torch.Generator().manual_seed(seed)
    first, last = 0.02 + 0.4 * torch.rand(2, count, 1, generator=generator)
    pitch = first + (last - first) * torch.arange(RATE) / RATE
    phase = torch.rand(count, 1, generator=generator) + pitch.cumsum(1)
    return Batch(torch.sin(2 * math.pi * phase), None, None, torch.arange(count) + count * seed)


def small_encoder() -> Encoder:
    """For glides."""
    front_end = LogMel(mels=16, strides=[], sample_rate=RATE)
    return Wav2Vec2Encoder(
        front_end, dim=32, depth=2, heads=2, position_kernel=16, position_groups=4, sample_rate=RATE, dropout=0.0,
        attention_dropout=0.0,
    )  # fmt: skip


def train_on_glides(model: Method, steps: int, refit_at: tuple[int, ...] = (0,)) -> dict[str, float]:
    """Trains on new ones at every step; the terms on some that it has not seen."""
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=2e-3, fused=True)
    for step in range(steps):
        if step in refit_at:
            fit_to(model, glides(64, 10**5))
        optimizer.zero_grad()
        model.losses(glides(16, step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return {name: float(value) for name, value in model.eval().losses(glides(100, 10**6)).items()}


def gradient_at_places(model: Method, batch: Batch) -> tuple[Tensor, Tensor]:
    """How much the loss depends on the local vector of every place ``(B, N)``, and which places are real."""
    embedded = model.encoder.embed(batch.inputs, batch.mask)
    leaf = embedded.vectors.detach().requires_grad_()
    model.encoder.embed = lambda inputs, mask: embedded._replace(vectors=leaf)
    model.losses(batch)["loss"].backward()
    real = torch.ones(leaf.shape[:2], dtype=torch.bool) if embedded.mask is None else embedded.mask
    return leaf.grad.abs().sum(2), real
