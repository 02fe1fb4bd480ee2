"""Images for pretraining and probing."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import UNLABELLED, DataModule, Examples, check_at_least
from ssl_zoo.data.sources.base import ArrayImages, Images, ImageSource, LoadedImages
from ssl_zoo.data.sources.digits import Digits
from ssl_zoo.data.splits import Split, split_hash
from ssl_zoo.errors import InputError

IN_MEMORY_BYTES = 4 * 2**30


class ImageExamples(Examples):
    """Some of a source's images.

    Args:
        images: all of the source's images.
        chosen: ``(N,)`` int64, the positions in `images` of the examples; they become `Batch.index`.
        size: height and width in pixels.
    """

    def __init__(self, images: Images, chosen: Tensor, size: int) -> None:
        self.images, self.chosen, self.size = images, chosen, size
        labels = None if images.labels is None else images.labels[chosen]
        self.labels = None if labels is None or (labels == UNLABELLED).any() else labels

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> Batch:
        """The examples at these positions; ``(B, C, size, size)`` uint8."""
        local = torch.tensor(positions, dtype=torch.int64)
        index = self.chosen[local]
        labels = None if self.labels is None else self.labels[local]
        return Batch(self.images.read(index, self.size), None, labels, index)


class ImageData(DataModule):
    """Images of one source at one size, split the same way in every run.

    The official validation and test parts are used where there are some. Otherwise a part is held out for testing, and
    then a tenth of the training images (`validation_fraction`) for validation. Every class is represented in proportion
    in each part, and the split depends on no seed. Up to 4 GiB of images are decoded once and kept in memory; more are
    decoded while training, in worker processes.

    Args:
        source: where the images come from; scikit-learn's digits when left out.
        image_size: height and width in pixels; the source's own when left out. The shorter side is resized to it and
            the longer one cropped.
        batch_size: images per optimizer step, over all processes together.
        train_size: use only so many of the training images; all when left out.
        validation_fraction: part of the training images held out for validation when there is no official validation
            part, in (0, 1).
        test_fraction: part of all images held out for testing when there is no official test set, in (0, 1).
        num_workers: processes that decode images; 0 is best for images in memory.

    Attributes:
        channels: 1 for grey, 3 for colour.

    Raises:
        InputError: an argument is out of its range, or images of many sizes come without `image_size`.
    """

    def __init__(
        self,
        source: ImageSource | None = None,
        image_size: int | None = None,
        batch_size: int = 256,
        train_size: int | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, train_size, validation_fraction, test_fraction, num_workers)
        self.save_hyperparameters()
        check_at_least(1, image_size=image_size)
        self.source = source or Digits()
        self.channels = self.source.channels
        size = image_size or self.source.image_size
        if size is None:
            raise InputError(f"The images of {self.source.name} may differ in size: set the data's image_size.")
        self.image_size = size
        self.source_name = self.source.name

    def prepare_data(self) -> None:
        """Lets one of several processes on a machine fetch what is missing, before all of them look for it."""
        if self.trainer is not None and self.trainer.world_size > 1:
            self.source.load()

    def read(self) -> None:
        """Reads, resizes and splits the images.

        Raises:
            InputError: the data is missing or damaged, or there is too little of it.
        """
        loaded = self.source.load()
        self.classes = loaded.classes
        train, validation, test, unlabelled = self._split(loaded)
        self.split_hash = split_hash(self.source_name, train, validation, test)
        images = gather(loaded, self.channels, self.image_size)
        self.train_set, self.validation_set, self.test_set, self.pretrain_set = (
            ImageExamples(images, chosen, self.image_size)
            for chosen in (train, validation, test, torch.cat([train, unlabelled]))
        )

    def _split(self, loaded: LoadedImages) -> Split:
        """Positions of the examples of each part; see `gather` for their order."""
        labels, parts = [], []
        for number, images in enumerate(loaded.in_order()):
            if images is not None:
                labels.append(torch.full((len(images),), UNLABELLED) if images.labels is None else images.labels)
                parts.append(torch.full((len(images),), number))
        return self.split(torch.cat(labels), torch.cat(parts), "images")


class _JoinedImages(Images):
    """Several parts, one after the other."""

    def __init__(self, parts: list[Images], channels: int) -> None:
        self.parts, self.channels = parts, channels
        self.ends = torch.tensor([len(part) for part in parts]).cumsum(0)
        unknown = [torch.full((len(part),), UNLABELLED) for part in parts]
        self.labels = torch.cat([u if p.labels is None else p.labels for p, u in zip(parts, unknown, strict=True)])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def read(self, positions: Tensor, size: int) -> Tensor:
        images = torch.empty(len(positions), self.channels, size, size, dtype=torch.uint8)
        owner = torch.bucketize(positions, self.ends, right=True)
        for number, part in enumerate(self.parts):
            mine = owner == number
            if mine.any():
                images[mine] = part.read(positions[mine] - int(self.ends[number]) + len(part), size)
        return images


def gather(loaded: LoadedImages, channels: int, size: int) -> Images:
    """All images of a source in one numbering: training, validation, test, unlabelled.

    Args:
        loaded: what the source has.
        channels: of the images.
        size: height and width wanted; up to IN_MEMORY_BYTES the images are brought to it now.

    Raises:
        InputError: a file is damaged.
    """
    joined = _JoinedImages([part for part in loaded.in_order() if part], channels)
    if len(joined) * channels * size * size > IN_MEMORY_BYTES:
        return joined
    pixels = torch.empty(len(joined), channels, size, size, dtype=torch.uint8)
    chunks = torch.arange(len(joined)).split(1024)

    def fill(chunk: Tensor) -> None:
        pixels[chunk[0] : chunk[-1] + 1] = joined.read(chunk, size)

    # In a forked process, threads that call PyTorch race for its thread pool and may find none: renew it here, first.
    torch.set_num_threads(torch.get_num_threads())
    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, chunks))
    return ArrayImages(pixels, joined.labels)
