"""A source of one's own: where images, and labels where there are some, come from."""

import torch

from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages


class MySource(ImageSource):
    """Noisy stripes, upright or level, made anew at every start; read your files in `load` instead.

    Args:
        images: How many there are.
        noise: Standard deviation of the noise, in grey levels of 255.
    """

    name = "Stripes"  # in tables
    licence = "CC0"
    channels = 1
    image_size = 16

    def __init__(self, images: int = 600, noise: float = 40.0) -> None:
        self.images, self.noise = images, noise

    def load(self) -> LoadedImages:
        """All images as training images, of which the data module holds some out; the same at every call."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(self.images) % 2  # a label that is unknown is -1
        phase = 6.3 * torch.rand(self.images, 1, generator=generator)
        period = 3 + 3 * torch.rand(self.images, 1, generator=generator)
        waves = 127 + 80 * torch.sin(6.3 * torch.arange(16) / period + phase)
        pixels = waves[:, None, None, :].expand(-1, 1, 16, -1)
        pixels = torch.where(labels[:, None, None, None] == 0, pixels, pixels.mT)
        pixels = pixels + self.noise * torch.randn(pixels.shape, generator=generator)
        images = ArrayImages(pixels.clamp(0, 255).byte(), labels)
        return LoadedImages(train=images, test=None, unlabelled=None, classes=["upright", "level"])
