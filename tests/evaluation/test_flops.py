"""The count of a training step against what pen and paper give."""

import pytest
import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.evaluation.flops import training_flops
from ssl_zoo.methods.base import Method

LENGTH, WIDTH, OUT = 6, 8, 5
BATCH = Batch(torch.randn(4, LENGTH, WIDTH), None, torch.zeros(4), torch.arange(4))


class Attending(Encoder):
    """One linear layer, and attention of every position to every other where it is wanted."""

    modality, dim, num_layers, stride = "image", OUT, 1, 1

    def __init__(self, attention: bool) -> None:
        super().__init__()
        self.attention, self.linear = attention, nn.Linear(WIDTH, OUT, bias=False)

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        return Embedded(self.linear(inputs))

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        vectors = embedded.vectors
        if self.attention:
            heads = vectors[:, None]
            vectors = nn.functional.scaled_dot_product_attention(heads, heads, heads)[:, 0]
        return Encoded(vectors, vectors.mean(1), None)


class Squares(Method):
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        assert self.training and batch.labels is None
        return {"loss": nn.functional.dropout(self.encoder(batch.inputs).pooled).square().mean()}


class NeedsTrainer(Squares):
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        assert self.trainer.max_steps
        return super().losses(batch)


def test_a_linear_layer_costs_two_products():
    """Forward and the gradient of the weights; nothing asks for the gradient of the inputs."""
    assert training_flops(Squares(Attending(False)).eval(), BATCH) == 2 * (2 * LENGTH * WIDTH * OUT)


def test_attention_costs_two_products_forward_and_four_backward_on_a_cpu_too():
    linear = 2 * (2 * LENGTH * WIDTH * OUT)
    assert training_flops(Squares(Attending(True)), BATCH) == linear + 6 * (2 * LENGTH * LENGTH * OUT)


def test_counting_draws_nothing_from_the_global_generator():
    method = Squares(Attending(True))
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    training_flops(method, BATCH)
    assert torch.equal(torch.rand(3), wanted)


def test_a_loss_that_needs_a_trainer_is_not_counted_and_a_broken_one_is_not_hidden():
    assert training_flops(NeedsTrainer(Attending(False)), BATCH) is None
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        training_flops(Squares(Attending(False)), BATCH._replace(inputs=torch.randn(4, LENGTH, WIDTH + 1)))
