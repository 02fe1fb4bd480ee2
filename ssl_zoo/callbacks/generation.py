"""Pictures of what a method has learnt to make."""

from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.data.base import data_of
from ssl_zoo.data.pictures import as_colours
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.vae import VAE, as_unit_floats
from ssl_zoo.runs.files import FIGURES

RECONSTRUCTIONS = 12
SAMPLES, INTERPOLATIONS, MANIFOLD = 8, 8, 15  # rows
STEPS = 10  # images in an interpolation, both ends included
MAP_EXAMPLES = 1024  # whose posterior means span the plane of a manifold

Picture = tuple[Tensor, int]  # (N, C, H, W) in [0, 1], and how many make a row


class GenerationFigures(L.Callback):
    """Saves figures/NAME.png for all `Method.pictures` of a few validation examples when training ends.

    Those of a VAE are reconstructions, samples, interpolations and manifold.

    Loggers that keep images get them too, as generation/reconstructions and so on. Whatever is random comes from a
    generator of its own with a fixed seed: two runs show the same points of the latent space, and training is not
    disturbed.
    """

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws the pictures on the first rank."""
        assert isinstance(pl_module, Method)
        directory = trainer.log_dir
        if directory is None or not trainer.is_global_zero:
            return
        was_training = pl_module.training
        pl_module.eval()
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            if isinstance(pl_module, VAE):
                pictures = draw(trainer, pl_module)
            else:
                pictures = pl_module.pictures(_examples(trainer, pl_module, RECONSTRUCTIONS))
        pl_module.train(was_training)
        for name, (images, row) in pictures.items():
            path = Path(directory) / FIGURES / f"{name}.png"
            save(images, row, path)
            for logger in trainer.loggers:
                log_image: Callable[..., None] | None = getattr(logger, "log_image", None)
                if log_image is not None:
                    log_image(key=f"{metrics.GENERATION}/{name}", images=[str(path)])


def draw(trainer: L.Trainer, method: VAE) -> dict[str, Picture]:
    """The four pictures by name."""
    batch = _examples(trainer, method, MAP_EXAMPLES)
    means = torch.cat(
        [method.posterior(batch._replace(inputs=inputs, mask=None))[0] for inputs in batch.inputs.split(256)]
    )
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(SAMPLES**2, method.decoder.latent_dim, generator=generator).to(method.device)
    shown = as_unit_floats(method.decoder.observe(batch.inputs[:RECONSTRUCTIONS]))
    pairs = min(INTERPOLATIONS, len(means) // 2)
    between = interpolate(means[:pairs], means[pairs : 2 * pairs], STEPS)
    return {
        # Of the posterior's mean, without its noise.
        "reconstructions": (torch.cat([shown, method.decode(means[: len(shown)])]), len(shown)),
        "samples": (method.decode(prior), SAMPLES),
        "interpolations": (method.decode(between.flatten(0, 1)), STEPS),
        "manifold": (method.decode(manifold(means, MANIFOLD)), MANIFOLD),
    }


def _examples(trainer: L.Trainer, method: Method, most: int) -> Batch:
    """The first validation examples, at most so many, on the method's device."""
    data = data_of(trainer)
    examples = data.as_validated(data.validation_set)
    batch = examples.__getitems__(list(range(min(most, len(examples)))))
    return method.transfer_batch_to_device(batch._replace(labels=None), method.device, 0)


def interpolate(first: Tensor, second: Tensor, steps: int) -> Tensor:
    """Points between pairs of latent vectors, along the arc (White, 2016, arXiv:1609.04468).

    In many dimensions nearly all of the prior lies at one distance from the origin. A straight line leaves that shell
    for places the decoder has not seen in training; an arc stays in it.

    Args:
        first: ``(B, L)``.
        second: ``(B, L)``.
        steps: points per pair, both ends included.

    Returns:
        ``(B, steps, L)``. Where two vectors point the same or the opposite way there is no arc, and the line is taken.
    """
    part = torch.linspace(0, 1, steps, device=first.device)[:, None]
    first, second = first[:, None], second[:, None]
    cosine = torch.cosine_similarity(first, second, dim=2).clamp(-1, 1)[..., None]
    angle = cosine.arccos()
    arc = (torch.sin((1 - part) * angle) * first + torch.sin(part * angle) * second) / angle.sin()
    return torch.where(cosine.abs() < 0.9999, arc, (1 - part) * first + part * second)


def manifold(means: Tensor, side: int) -> Tensor:
    """A grid over the latent space, evenly spaced in probability (Kingma and Welling, 2013, figure 4).

    Args:
        means: ``(N, L)`` posterior means.
        side: points along an axis, at the quantiles of a Gaussian from 2.5 to 97.5 %.

    Returns:
        ``(side * side, L)``, row by row. With two latent dimensions the grid is the prior's; with more it lies in the
        plane of the posterior means' first two principal components and has their spread; with one it is a line.
    """
    quantiles = torch.special.ndtri(torch.linspace(0.025, 0.975, side, device=means.device))
    axes = min(2, means.shape[1])
    centre, directions = torch.zeros_like(means[0]), torch.eye(axes, device=means.device)
    if means.shape[1] > 2:
        centre = means.mean(0)
        _, singular, components = torch.linalg.svd(means - centre, full_matrices=False)
        directions = (components * singular[:, None])[:2] / len(means) ** 0.5
    points = torch.cartesian_prod(*[quantiles] * axes).view(-1, axes)
    return centre + points[:, : len(directions)] @ directions


def save(images: Tensor, row: int, path: Path) -> None:
    """Writes images ``(N, C, H, W)`` in [0, 1] as one picture with `row` of them in a row, small ones enlarged."""
    from torchvision.utils import make_grid, save_image

    grid = make_grid(as_colours(images.float().cpu()), nrow=row, pad_value=1.0)
    scale = max(1, 64 // images.shape[-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(grid.repeat_interleave(scale, 1).repeat_interleave(scale, 2), path)
