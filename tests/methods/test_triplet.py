import math

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.encoders.image import MLP, ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.triplet import Triplet
from ssl_zoo.optim import Optimizer
from ssl_zoo.views.image import DigitViews
from tests.objectives.test_triplet import chosen


@torch.no_grad()
@pytest.mark.parametrize("margin", [0.05, 0.5])
def test_the_loss_by_plain_loops_over_all_views(margin):
    torch.manual_seed(0)
    views = DigitViews(degrees=20, translate=0.15, scale=(0.7, 1.3), shear=25, gain=0.7, noise=0.2)
    model = Triplet(ResNet(10, 8, channels=1), views, margin, projection_hidden=64, projection_dim=32).eval()
    batch = Batch(torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), None, None, torch.arange(6))
    z = model.projector(model.encoder(*model.make_views(batch)).pooled).double()
    triplets = chosen([[each / math.hypot(*row) for each in row] for row in z.tolist()], 6)
    terms = model.losses(batch)
    expected = sum(max(0.0, positive - negative + margin) for positive, negative in triplets) / 12
    assert float(terms["loss"]) == pytest.approx(expected, abs=1e-5)
    assert float(terms["hard"]) == pytest.approx(sum(n <= p for p, n in triplets) / 12)
    cosine = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2).fill_diagonal_(-2)
    assert float(terms["accuracy"]) == pytest.approx(
        sum(int(cosine[view].argmax()) == (view + 6) % 12 for view in range(12)) / 12
    )


SETTINGS = {"projection_hidden": 128, "projection_dim": 64, "optimizer": Optimizer(learning_rate=3e-3)}


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    whole, broken = (Triplet(toy.encoder(), views(), **SETTINGS) for views in (toy.views, toy.swapped))
    assert not any("collapsed" in message for message in toy.train(whole, 200, [Alarms()]))
    toy.train(broken, 100)
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.2 + max(pixels, toy.learnt(broken))


def test_a_single_example_has_no_negatives_and_a_margin_that_is_none_is_refused():
    model = Triplet(MLP([8], image_size=8), DigitViews(), projection_hidden=8)
    assert model.has_no_negatives(1) and not model.has_no_negatives(2)
    for margin in (0.0, -0.2):
        with pytest.raises(InputError, match=f"margin is {margin}; give a number above 0"):
            Triplet(MLP([8], image_size=8), DigitViews(), margin)
