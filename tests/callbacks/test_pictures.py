import math
import warnings
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from PIL import Image

from ssl_zoo.callbacks.alarms import Alarms
from ssl_zoo.callbacks.health import Health
from ssl_zoo.callbacks.pictures import MethodPictures
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.decoders.image import MLPDecoder
from ssl_zoo.encoders.image import MLP, ViT
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.mae import MAE
from ssl_zoo.methods.vae import VAE
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.latent_space import interpolate, manifold

NAMES = ("reconstructions", "samples", "interpolations", "manifold")


class Pictures(CSVLogger):
    """A logger that keeps pictures, with the method W&B's has for it."""

    def log_image(self, key: str, images: list[str]) -> None:
        self.kept = {**getattr(self, "kept", {}), key: images}


def fit(folder: Path, latent_dim: int = 3, steps: int = 2, logger: CSVLogger | None = None, **settings) -> L.Trainer:
    torch.manual_seed(0)
    return train(
        VAE(MLP([16], 1, 8), MLPDecoder(latent_dim, [16], 1, 8), "bernoulli", **settings), folder, steps, logger
    )


def train(method: Method, folder: Path, steps: int = 2, logger: CSVLogger | None = None) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=steps,
        val_check_interval=min(steps, 20),
        check_val_every_n_epoch=None,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[Health(), Alarms(), MethodPictures()],
        logger=logger or CSVLogger(folder, "logs", "one"),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # the data lies in memory
        trainer.fit(method, datamodule=ImageData(batch_size=64))
    return trainer


def test_pictures_that_a_method_draws_itself_are_saved_too(tmp_path):
    encoder = ViT(8, 2, dim=16, depth=1, heads=2, channels=1, pooling="mean")
    train(MAE(encoder, decoder_dim=16, decoder_depth=1, decoder_heads=2), tmp_path)
    with Image.open(tmp_path / "logs" / "one" / "figures" / "reconstructions.png") as picture:
        width, height = picture.size
        assert width > 8 * (10 * 12 + 2) + 40 and height == 8 * (10 * 3 + 2)  # with the names of the rows
    assert len(list((tmp_path / "logs" / "one" / "figures").iterdir())) == 1


def test_the_pictures_are_saved_and_reach_every_logger_that_keeps_pictures(tmp_path):
    logger = Pictures(tmp_path, "logs", "one")
    fit(tmp_path, logger=logger)
    figures = tmp_path / "logs" / "one" / "figures"
    assert logger.kept == {f"generation/{name}": [str(figures / f"{name}.png")] for name in NAMES}
    for name, rows, columns in zip(NAMES, (2, 8, 8, 15), (12, 8, 10, 15), strict=True):
        with Image.open(figures / f"{name}.png") as picture:
            width, height = picture.size
        names = width - 8 * (10 * columns + 2)  # on the left, where rows have some
        assert names > 40 if name == "reconstructions" else names == 0
        assert height == 8 * (10 * rows + 2)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_small_latent_spaces_are_drawn_too(tmp_path, latent_dim):
    fit(tmp_path, latent_dim)
    assert {path.stem for path in (tmp_path / "logs" / "one" / "figures").iterdir()} == set(NAMES)


def test_two_runs_show_the_same_pictures_and_no_random_number_is_used_up(tmp_path):
    after = []
    for name in ("first", "second"):
        torch.manual_seed(0)
        trainer = fit(tmp_path / name)
        before = torch.get_rng_state()
        (drawer,) = (callback for callback in trainer.callbacks if type(callback).__name__ == "MethodPictures")
        drawer.on_train_end(trainer, trainer.lightning_module)
        assert torch.equal(torch.get_rng_state(), before)
        after.append(tmp_path / name / "logs" / "one" / "figures")
    for name in NAMES:
        assert (after[0] / f"{name}.png").read_bytes() == (after[1] / f"{name}.png").read_bytes()


def test_an_interpolation_runs_along_the_arc_between_its_ends():
    first, second = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    points = interpolate(first, second, 5)[0]
    torch.testing.assert_close(points[0], first[0])
    torch.testing.assert_close(points[-1], second[0], atol=1e-6, rtol=0)
    expected = [(3 * math.cos(a), 3 * math.sin(a)) for a in (math.pi / 8, math.pi / 4, 3 * math.pi / 8)]
    torch.testing.assert_close(points[1:4], torch.tensor(expected))


@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_an_interpolation_between_collinear_vectors_is_the_line(factor):
    first = torch.tensor([[1.0, 2.0, -1.0]])
    points = interpolate(first, factor * first, 3)[0]
    torch.testing.assert_close(points, torch.stack([first[0], (1 + factor) / 2 * first[0], factor * first[0]]))


def test_a_two_dimensional_manifold_is_evenly_spaced_in_probability():
    grid = manifold(torch.randn(50, 2), 5).view(5, 5, 2)
    chances = torch.distributions.Normal(0.0, 1.0).cdf(grid[:, 0, 0])
    torch.testing.assert_close(chances, torch.linspace(0.025, 0.975, 5))
    torch.testing.assert_close(grid[:, :, 0].T, grid[:, :, 1])


def test_a_manifold_in_more_dimensions_lies_where_the_posterior_means_spread_most():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.1, 2.0, 0.05, 0.5])
    means = 1 + spread * torch.randn(5000, 4, generator=generator)
    grid = manifold(means, 9)
    torch.testing.assert_close(grid[40], means.mean(0), atol=1e-4, rtol=0)
    extent = (grid.max(0).values - grid.min(0).values) / (2 * 1.96)
    torch.testing.assert_close(extent[[1, 3]], spread[[1, 3]], atol=0.05, rtol=0.05)
    assert extent[[0, 2]].max() < 0.1


def test_a_collapsed_posterior_is_reported_once_and_a_healthy_one_is_not(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # they are asserted on, not hidden
        trainer = fit(tmp_path / "collapsed", steps=100, beta=1000.0, optimizer=Optimizer(learning_rate=3e-3))
    said = [str(warning.message) for warning in caught if "posterior has collapsed" in str(warning.message)]
    assert len(said) == 1 and said[0].startswith("The posterior has collapsed: 0 of 3 latent dimensions")
    assert trainer.callback_metrics["health/active_units"] == 0
    trainer = fit(tmp_path / "healthy", steps=100, optimizer=Optimizer(learning_rate=3e-3))  # warnings are errors here
    assert trainer.callback_metrics["health/active_units"] > 0
