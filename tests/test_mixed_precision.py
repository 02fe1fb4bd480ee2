"""A loss of one's own is as exact as a built-in one, though the encoder computes in bfloat16."""

import inspect

import lightning as L
import pytest
import torch

import ssl_zoo.methods
from ssl_zoo.batch import Batch
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.parts.teacher import Teacher
from ssl_zoo.views.image import DigitViews
from tests.contracts.found import concrete

IMAGES = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, None, None, torch.arange(8))


class Similar(Method):
    """Products and sums of all vectors, which bfloat16 rounds; keeps what they are made of."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.head = torch.nn.Linear(encoder.dim, encoder.dim)
        self.teacher = Teacher(encoder, 0.9)

    def losses(self, batch):
        self.vectors, self.aims = self.encoder(batch.inputs).pooled, self.teacher(batch.inputs).pooled
        return {"loss": value(self.head, self.vectors, self.aims)}


class Rough(Similar):
    """The same, which wants its head in bfloat16, too."""

    @heads_in_mixed_precision
    def losses(self, batch):
        return super().losses(batch)


class Careful(SimCLR):
    """Of a method that takes care itself, with a loss that does not."""

    def losses(self, batch):
        vectors = self.encoder(batch.inputs).pooled
        self.kept = vectors, vectors @ vectors.T
        return {"loss": self.kept[1].mean()}


def value(head, vectors, aims):
    return (head(vectors) @ aims.T).logsumexp(1).mean()


def encoder():
    torch.manual_seed(0)
    return ResNet(10, 8, channels=1)


def losses_of(method):
    with torch.autocast("cpu", torch.bfloat16):
        return method.losses_in_precision(BATCH)["loss"]


def test_in_bfloat16_it_is_its_float32_value_on_the_same_embeddings():
    method = Similar(encoder())
    loss = losses_of(method)
    assert method.vectors.dtype == method.aims.dtype == torch.float32
    assert torch.equal(method.vectors, method.vectors.bfloat16().float())  # the encoder itself computed in bfloat16
    assert torch.equal(loss, value(method.head, method.vectors, method.aims))
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.encoder.parameters())


def test_a_loss_that_takes_care_of_precision_itself_is_left_alone():
    method = Rough(encoder())
    loss = losses_of(method)
    assert method.vectors.dtype == torch.bfloat16 and loss != value(
        method.head, method.vectors.float(), method.aims.float()
    )


def test_a_loss_of_ones_own_in_a_built_in_method_is_safe():
    method = Careful(encoder(), DigitViews())
    losses_of(method)
    vectors, products = method.kept
    assert torch.equal(products, vectors @ vectors.T) and products.dtype == torch.float32


@pytest.mark.parametrize("method", concrete(Method, ssl_zoo.methods))
def test_every_built_in_method_computes_as_it_says(method):
    assert getattr(method.losses, "heads_in_mixed_precision", False), inspect.getsourcefile(method)


def test_it_is_so_in_training_and_validation(tmp_path):
    found = []

    class Spy(Similar):
        def losses(self, batch):
            terms = super().losses(batch)
            found.append((terms["loss"].detach(), value(self.head, self.vectors, self.aims).detach()))
            return terms

    trainer = L.Trainer(
        max_steps=2, precision="bf16-mixed", accelerator="cpu", limit_val_batches=1, num_sanity_val_steps=1,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, default_root_dir=tmp_path,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Spy(encoder()), ImageData(batch_size=16, train_size=32))
    assert len(found) >= 3 and all(one == exact for one, exact in found)


def test_nothing_changes_where_nothing_is_mixed():
    method = Similar(encoder())
    assert torch.equal(method.losses_in_precision(BATCH)["loss"], method.losses(BATCH)["loss"])
