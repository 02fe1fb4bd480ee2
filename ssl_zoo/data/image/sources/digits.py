"""Handwritten digits that come with scikit-learn."""

import torch

from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages


class Digits(ImageSource):
    """1797 handwritten digits, grey, 8x8, 10 classes: always there, nothing to download.

    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    CC BY 4.0; the copy in scikit-learn. There is no official test set.
    """

    name = "Digits"
    licence = "CC BY 4.0"
    channels = 1
    image_size = 8

    def load(self) -> LoadedImages:
        """All digits; their 17 grey levels are spread over 0 to 255."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(digits.images)[:, None].mul(255 / 16).round().byte()
        labels = torch.from_numpy(digits.target).long()
        return LoadedImages(ArrayImages(pixels, labels), None, None, [str(digit) for digit in digits.target_names])
