"""Tests of the encoder: `python -m pytest test_my_encoder.py`."""

import torch
from my_encoder import MyEncoder

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.own_contracts import check_encoder


def made() -> tuple[MyEncoder, torch.Tensor]:
    """The encoder and a few images."""
    torch.manual_seed(0)
    return MyEncoder(channels=1, image_size=16).eval(), torch.rand(4, 1, 16, 16)


def test_it_keeps_the_contract() -> None:
    """Shapes are those that it says, as every run checks before it begins."""
    encoder, images = made()
    check_encoder(encoder, Batch(images, None, None, torch.arange(4)))


@torch.no_grad()
def test_the_order_of_a_batch_does_not_matter() -> None:
    """An image has the same vector whatever stands beside it."""
    encoder, images = made()
    torch.testing.assert_close(encoder(images.flip(0)).pooled, encoder(images).pooled.flip(0), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_vector_depends_on_its_place() -> None:
    """The same vector at all places leaves as different ones: what `maskable` promises."""
    encoder, images = made()
    embedded = encoder.embed(images)
    alike = embedded._replace(vectors=torch.ones_like(embedded.vectors))
    sequence = encoder.contextualize(alike).sequence
    assert not torch.allclose(sequence[:, 0], sequence[:, 1])


@torch.no_grad()
def test_patches_may_be_left_out() -> None:
    """Those that are left stand where they stood: what `droppable` promises."""
    encoder, images = made()
    embedded, every = encoder.embed(images), torch.arange(16).expand(4, -1)
    whole = encoder.contextualize(embedded)
    torch.testing.assert_close(encoder.contextualize(embedded.at(every), places=every).sequence, whole.sequence)
    some = every[:, ::2]
    assert encoder.contextualize(embedded.at(some), places=some).sequence.shape == (4, 8, 64)
