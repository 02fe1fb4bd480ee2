"""Batches in chunks have the loss and the gradient of whole ones, and keep less for the backward pass."""

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.encoders.switch import SwitchBertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.views.image import DigitViews
from tests.encoders.test_text import VOCABULARY
from tests.two_processes import in_group

IMAGES = 10


def make(chunk_size: int | None, dropout: float = 0.0) -> SimCLR:
    torch.manual_seed(0)
    encoder = ViT(8, 4, 16, 2, 2, 1, "mean", dropout)
    views = DigitViews(degrees=20, translate=0.15, scale=(0.7, 1.3), shear=25, gain=0.7, noise=0.2)
    return SimCLR(encoder, views, 0.2, 32, 16, chunk_size).train()


def batch(part: slice = slice(None)) -> Batch:
    images = torch.rand(IMAGES, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return Batch(images[part], None, None, torch.arange(IMAGES)[part])


def gradients(model: SimCLR, part: slice = slice(None)) -> tuple[dict[str, float], dict[str, Tensor]]:
    torch.manual_seed(5)  # of dropout
    terms = model.losses(batch(part))
    terms["loss"].backward()
    found = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    return {name: float(value.detach()) for name, value in terms.items()}, found


@pytest.mark.parametrize("chunk_size", [1, 6, 20, 64])  # of 20 views
def test_loss_accuracy_and_gradient_are_those_of_the_whole_batch(chunk_size):
    expected, whole = gradients(make(None))
    terms, found = gradients(make(chunk_size))
    assert terms == pytest.approx(expected, rel=1e-5)
    assert found.keys() == whole.keys() and any(name.startswith("encoder") for name in found)
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)


def test_a_chunk_meets_the_same_dropout_when_its_gradient_is_taken():
    expected, whole = gradients(make(None, 0.5))
    terms, found = gradients(make(20, 0.5))
    assert terms == pytest.approx(expected, rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)
    assert expected != pytest.approx(gradients(make(None))[0], rel=1e-3)


def test_less_is_kept_for_the_backward_pass():
    def kept(chunk_size: int | None) -> int:
        numbers: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value: numbers.update({value.untyped_storage().data_ptr(): value.numel()}) or value, lambda v: v
        ):
            make(chunk_size).losses(batch())
        return sum(numbers.values())

    assert kept(2) < 0.2 * kept(None)


def without_batch_norm() -> SimCLR:
    """Of the projector, of which a run synchronises it."""
    model = make(3)
    model.projector = torch.nn.Linear(16, 8)
    return model


def of_a_rank() -> tuple[dict[str, float], dict[str, Tensor]]:
    half = IMAGES // 2
    return gradients(without_batch_norm(), slice(half * dist.get_rank(), half * dist.get_rank() + half))


def test_two_processes_have_the_gradient_of_one(two_processes):
    expected, whole = gradients(without_batch_norm())
    found = two_processes(in_group, of_a_rank)
    assert sum(terms["loss"] for terms, _ in found) / 2 == pytest.approx(expected["loss"], rel=1e-5)
    for name, gradient in whole.items():
        mean = sum(each[name] for _, each in found) / 2
        torch.testing.assert_close(mean, gradient, atol=1e-6, rtol=1e-4)


def test_encoders_whose_vectors_depend_on_the_batch_are_refused():
    views = DigitViews()
    with pytest.raises(
        InputError, match="SimCLR: with a chunk_size an example may not depend on its batch, and ResNet"
    ):
        SimCLR(ResNet(10, 8), views, chunk_size=4)
    SimCLR(ResNet(10, 8), views)
    with pytest.raises(InputError, match="SwitchBertEncoder has a loss of its own, which makes it so: set chunk_size"):
        SimCLR(SwitchBertEncoder(VOCABULARY, **SwitchBertEncoder.tiny()), views, chunk_size=4)
    with pytest.raises(InputError, match="chunk_size is 0; give a number of at least 1, or null for the whole batch"):
        make(0)
