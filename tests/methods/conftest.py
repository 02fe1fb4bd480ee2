"""A toy that separates methods that work from broken ones within seconds.

The upper half of an image is a linear picture of its content, the lower half is louder and means nothing; a view draws
the lower half anew. Neighbours by pixels therefore share noise; neighbours in what a working method has learnt share
content, whose signs are the eight classes.
"""

import warnings
from collections.abc import Callable

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.image import MLP
from ssl_zoo.methods.base import Method
from ssl_zoo.probes.knn import knn_predict
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.base import Views

CONTENT, CLASSES, BATCH, BATCHES, STEPS = 6, 8, 128, 16, 200


class NoisyHalves(Views):
    """Two views: a little noise above, something new below."""

    views_per_example = 2

    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        views = []
        for number in (1, 2):
            noise = uniform(fold_in(keys, number), *inputs.shape[1:])
            upper = inputs[:, :, :4] + 0.1 * (noise[:, :, :4] - 0.5)
            views.append(torch.cat([upper, noise[:, :, 4:]], dim=2))
        return torch.cat(views)


class SwappedPositives(NoisyHalves):
    """A slip in the indices: every image's second view is another image's."""

    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        first, second = super().forward(inputs, keys).chunk(2)
        return torch.cat([first, second.roll(1, 0)])


def examples(count: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    content = torch.randn(count, CONTENT, generator=generator)
    picture = torch.randn(CONTENT, 32, generator=torch.Generator().manual_seed(0))
    upper = 0.5 + 0.04 * content @ picture
    images = torch.cat([upper, torch.rand(count, 32, generator=generator)], dim=1).view(count, 1, 8, 8)
    labels = (content[:, :3] > 0).long() @ torch.tensor([1, 2, 4])
    return Batch(images, None, labels, torch.arange(count))


class Toy:
    """Trains and evaluates methods."""

    views, swapped = NoisyHalves, SwappedPositives

    @staticmethod
    def encoder() -> MLP:
        torch.manual_seed(0)
        return MLP(image_size=8, channels=1, hidden=[128, 64])

    @staticmethod
    def train(model: Method, steps: int = STEPS, callbacks: list[L.Callback] | None = None, **settings) -> list[str]:
        """Trains, with a validation every 50 steps; returns what was warned of."""
        everything = examples(BATCH * BATCHES, seed=1)
        batches = [Batch(*(None if x is None else x[i::BATCHES] for x in everything)) for i in range(BATCHES)]
        trainer = L.Trainer(
            accelerator="cpu",
            max_steps=steps,
            val_check_interval=50,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **settings,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")  # they are returned, not hidden
            trainer.fit(model, *(DataLoader(part, batch_size=None) for part in (batches, batches[:2])))
        return [str(warning.message) for warning in caught]

    @staticmethod
    def accuracy(represent: Callable[[Batch], Tensor]) -> float:
        """Of the nearest neighbours on unseen images."""
        bank, queries = examples(1024, seed=2), examples(1024, seed=3)
        with torch.no_grad():
            predicted = knn_predict(represent(queries), represent(bank), bank.labels, neighbours=20, temperature=0.07)
        return float((predicted == queries.labels).float().mean())

    @staticmethod
    def learnt(method: Method) -> float:
        """The same of a method's representations."""
        method.eval()
        return Toy.accuracy(lambda batch: method.encode(batch).pooled)


@pytest.fixture(scope="session")
def toy() -> type[Toy]:
    return Toy
