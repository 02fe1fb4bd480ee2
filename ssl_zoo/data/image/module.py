"""Images for pretraining and probing."""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule, check_at_least
from ssl_zoo.data.cache.folder import CACHE
from ssl_zoo.data.examples import UNLABELLED, Examples
from ssl_zoo.data.image.decoded import open_decoded
from ssl_zoo.data.image.examples import ImageExamples
from ssl_zoo.data.image.kept_images import JoinedImages, Survey, keep, survey, warn_if_flat
from ssl_zoo.data.image.palette import colour_palette
from ssl_zoo.data.image.photographs import shown
from ssl_zoo.data.image.raw import images_of
from ssl_zoo.data.image.sources.base import Images, ImageSource, LazyImages, LoadedImages
from ssl_zoo.data.image.sources.contract import load
from ssl_zoo.data.image.sources.digits import Digits
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.image.statistics import channel_statistics
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.data.pictures import Picture, as_colours
from ssl_zoo.data.sources.contents import Contents
from ssl_zoo.data.splits import Split, split_hash
from ssl_zoo.errors import InputError
from ssl_zoo.own_code import require_said
from ssl_zoo.rebuilding import require_kind
from ssl_zoo.whereabouts import whereabouts

if TYPE_CHECKING:
    from ssl_zoo.data.loader import TrainLoader

IN_MEMORY_BYTES = 4 * 2**30


class ImageData(DataModule):
    """Images of one source at one size, split the same way in every run.

    Probes, and methods without views, see the middle of every image. Views are cut from all of it, which lies beside
    the middle in another size; images that are square and no larger than `image_size` are kept once.

    The official validation and test parts are used where there are some. Otherwise a part is held out for testing, and
    then a tenth of the training images (`validation_fraction`) for validation. Every class is represented in proportion
    in each part, and the split depends on no seed.

    Image files are decoded once and kept at these sizes in ~/.cache/ssl_zoo/images, from where they are mapped: a
    second run starts at once, and memory does not grow with the data. Where that would take more than half of what is
    free on the disk, a warning says so; up to 4 GiB are decoded into memory at every start then, and more while
    training, in worker processes.

    Args:
        source: where the images come from; scikit-learn's digits when left out.
        image_size: height and width in pixels of what an encoder sees; the source's own when left out. The shorter side
            is resized to it and the longer one cropped.
        stored_size: height and width in pixels at which whole images are kept for views to be cut from, so that a crop
            is not enlarged; one and a half times `image_size` when left out, or what the images have if that is less.
        batch_size: images per optimizer step, over all processes together.
        train_size: use only so many of the training images; all when left out.
        validation_fraction: part of the training images held out for validation when there is no official validation
            part, in (0, 1).
        test_fraction: part of all images held out for testing when there is no official test set, in (0, 1).
        num_workers: processes that decode images; 0 is best for images in memory.
        measure_statistics: whether encoders get the mean and standard deviation of every channel of the training
            images (of 10,000 chosen at random once where there are more), in place of their own `mean` and `std`; the
            encoder's `mean: data` sets it. Two lists of numbers are what was measured before, as a run that goes on
            keeps it.
        palette_colours: colours of a palette that encoders of codes get, made of the training images by k-means where
            they have several channels; the `colours` of such an encoder set it.
        pairs: whether the second view of an image is made of another one that shows the same in another style, where
            the source has such pairs, as `EmojiStyles` does; of an image without a partner both views are its own.

    Attributes:
        channels: 1 for grey, 3 for colour, any other number where the source says so.
        found_pairs: images of the source that show the same and lie in one part; None of a source without pairs.

    Raises:
        InputError: an argument is out of its range, images of many sizes come without `image_size`, or pairs are asked
            for of a source that has none or a method that makes no views.
    """

    modality = "image"
    noun = "images"
    program_inputs = "`images` are float32 in [0, 1], `{shape}`; normalisation is part of the program."
    hub_task = "image-feature-extraction"
    found_pairs: Pairs | None = None

    def __init__(
        self,
        source: ImageSource | None = None,
        image_size: int | None = None,
        batch_size: int = 256,
        train_size: int | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        num_workers: int = 0,
        stored_size: int | None = None,
        measure_statistics: bool | tuple[list[float], list[float]] = False,
        palette_colours: int | None = None,
        pairs: bool = False,
    ) -> None:
        require_kind("ImageData", "source", source, ImageSource)
        super().__init__(batch_size, train_size, validation_fraction, test_fraction, num_workers)
        self.save_hyperparameters()
        check_at_least(1, image_size=image_size, stored_size=stored_size, palette_colours=palette_colours)
        self.source = source or Digits()
        require_said(self.source, ImageSource)
        self.channels = self.source.channels
        size = image_size or self.source.image_size
        if size is None:
            raise InputError(f"The images of {self.source.name} may differ in size: set the data's image_size.")
        if stored_size is not None and stored_size < size:
            raise InputError(f"stored_size is {stored_size}: it must be at least the image_size of {size}.")
        self.image_size, self.stored_size, self.measure_statistics = size, stored_size, measure_statistics
        self.palette_colours, self.pairs = palette_colours, pairs
        self.source_name, self._middle_only = self.source.name, False

    def prepare_data(self) -> None:
        """Lets one of several processes on a machine fetch what is missing, before all of them look for it."""
        if self.trainer is not None and self.trainer.world_size > 1:
            load(self.source)

    def setup(self, stage: str | None = None) -> None:
        """See `DataModule`; what was read for a method without views is read again for one that has some.

        Before training it says how many images are in pairs, where views are made of them.
        """
        if self.pairs and not self._has_views():
            raise InputError("data.pairs is true, but this method makes no views of images: set it to false.")
        if self._middle_only and self._has_views():
            del self.train_set
        super().setup(stage)
        if stage == "fit" and self.pairs and self.found_pairs is not None:
            paired = int(self.found_pairs.paired[self.pretrain_set.positions].sum())
            whereabouts.say(
                f"{self.source_name}: {paired:,} of the {len(self.pretrain_set):,} images to pretrain on are in pairs; "
                "both views of any other are its own."
            )

    def _has_views(self) -> bool:
        """Whether the method that trains cuts views; where nobody knows which one does, it may."""
        method = None if self.trainer is None else self.trainer.lightning_module
        return getattr(method, "views", True) is not None

    def read(self) -> None:
        """Reads, resizes and splits the images.

        Raises:
            InputError: the data is missing or damaged, or there is too little of it.
        """
        loaded = load(self.source)
        self.classes = loaded.classes
        train, validation, test, unlabelled = self._split(loaded)
        self.identity = loaded.identity
        self.name_of = None if loaded.names is None else loaded.names.__getitem__
        self.split_hash = split_hash(self.identity, train, validation, test)
        if self.pairs and loaded.pairs is None:
            raise InputError(f"data.pairs is true, but {self.source_name} has no pairs of images: set it to false.")
        parts = (torch.cat([train, unlabelled]), validation, test)
        self.found_pairs = None if loaded.pairs is None else loaded.pairs.within(parts)
        if loaded.contents is not None and loaded.contents.hashes is not None:
            self.warn_of_shared(loaded.contents.hashes, parts, "images")
        joined = JoinedImages([part for part in loaded.in_order() if part], self.channels)
        self._middle_only = not self._has_views()
        images, self._kept_size, found = self._kept(joined, loaded.contents)
        if self.source.image_size is None:
            warn_if_flat(found, self.source_name)
        self.train_set, self.validation_set, self.test_set, self.pretrain_set = (
            ImageExamples(images, chosen, self.image_size) for chosen in (train, validation, test, parts[0])
        )

    def _kept(self, images: JoinedImages, contents: Contents | None) -> tuple[Images, int | None, Survey]:
        """The images where they are kept, the size of whole ones, and what some of them are like."""
        whole = not self._middle_only
        if contents is not None and any(isinstance(part, LazyImages) for part in images.parts):
            form, sizes = self.source.form, (self.image_size, self.stored_size)
            decoded = open_decoded(self.source_name, images, contents.version, form, *sizes, whole)
            if decoded is not None:
                return decoded, decoded.kept, decoded.found
        found = survey(images)
        return *keep(images, found, self.image_size, self.stored_size, IN_MEMORY_BYTES, whole), found

    def on_folder(self, root: Path) -> "ImageData":
        """See `DataModule`."""
        source = self.source
        pixels = {"channels": self.channels, "dtype": source.dtype, "value_range": source.value_range}
        folder = ImageFolder(root, on_corrupt="skip", **pixels)  # type: ignore[arg-type]  # a mapping of several types
        return ImageData(folder, self.image_size, self.batch_size, num_workers=self.num_workers)

    def _split(self, loaded: LoadedImages) -> Split:
        """Positions of the examples of each part; see `LoadedImages.in_order` for their order."""
        labels, parts = [], []
        for number, images in enumerate(loaded.in_order()):
            if images is not None:
                labels.append(torch.full((len(images),), UNLABELLED) if images.labels is None else images.labels)
                parts.append(torch.full((len(images),), number))
        return self.split(torch.cat(labels), torch.cat(parts), "images")

    @cached_property
    def statistics(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation of every channel, where `measure_statistics` asks for them."""
        if not isinstance(self.measure_statistics, bool):
            mean, std = self.measure_statistics
            return list(mean), list(std)
        if not self.measure_statistics:
            return None
        self._read_early()
        return channel_statistics(self.train_set)

    @cached_property
    def palette(self) -> list[list[float]] | None:
        """The palette's colours, where `palette_colours` asks for them; None of grey images, whose shades will do."""
        if self.palette_colours is None or self.channels == 1:
            return None
        self._read_early()
        return colour_palette(self.train_set, self.palette_colours)

    def _read_early(self) -> None:
        """Reads the images for numbers that are settings of encoders, which are built before anything is trained."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            # Every process needs them before any can have met another: one of a machine's fetches what is missing while
            # the others wait; `prepare_data` comes too late for that.
            CACHE.expanduser().mkdir(parents=True, exist_ok=True)
            with FileLock(CACHE.expanduser() / "images.lock"):
                load(self.source)
        self.setup()

    def value_statistics(self, examples: int) -> tuple[list[float], list[float]]:
        """See `DataModule`; of values in [0, 1]."""
        return channel_statistics(self.train_set, examples)

    def for_views(self, examples: Examples) -> Examples:
        """The examples with all that views are made of, where that is more than encoders see: whole images, partners.

        A method without views trains on what encoders see.
        """
        partners = self.found_pairs.partners if self.pairs and self.found_pairs is not None else None
        nothing = self._kept_size is None and partners is None
        if nothing or not isinstance(examples, ImageExamples) or not self._has_views():
            return examples
        return ImageExamples(examples.images, examples.chosen, examples.size, self._kept_size, partners)

    def shuffled(
        self, examples: Examples, batch_size: int, seed: int, trainer: L.Trainer | None = None
    ) -> "TrainLoader":
        """See `DataModule`; with all that views are made of."""
        return super().shuffled(self.for_views(examples), batch_size, seed, trainer)

    def _in_order(self, examples: Examples, order: Tensor | None = None) -> DataLoader[Batch]:
        return super()._in_order(self.for_views(examples), order)

    def test_pairs(self) -> Pairs | None:
        """See `DataModule`."""
        positions = self.test_set.positions
        return None if self.found_pairs is None or positions is None else self.found_pairs.of(positions)

    def picture(self, inputs: Tensor, fields: dict[str, Tensor] | None = None) -> Picture:
        """See `DataModule`; whole photographs where there are some, and of more than three channels the first three."""
        return Picture(as_colours(shown(inputs, fields)))

    def batch_of(self, raw: Any, sample_rate: int | None = None) -> Batch:
        """See `DataModule`; images as `ssl_zoo.data.image.raw.images_of` takes them."""
        images = images_of(raw, self.source.form, self.image_size)
        return Batch(images, None, None, torch.arange(len(images)))

    def stand_ins(self, count: int) -> Batch:
        """See `DataModule`; noise."""
        noise = torch.rand(count, self.channels, self.image_size, self.image_size)
        return Batch(noise, None, None, torch.arange(count))

    def everything(self) -> list[Examples]:
        """See `DataModule`; decoded when they are read, unless they lie in memory already."""
        if isinstance(train := getattr(self, "train_set", None), ImageExamples):
            return self._with_and_without_labels(train.images)
        loaded = self.source.load()
        self.classes = loaded.classes
        self.name_of = None if loaded.names is None else loaded.names.__getitem__
        return self._with_and_without_labels(JoinedImages([part for part in loaded.in_order() if part], self.channels))

    def _with_and_without_labels(self, images: Images) -> list[Examples]:
        known = torch.zeros(len(images), dtype=torch.bool) if images.labels is None else images.labels != UNLABELLED
        parts = [chosen.nonzero()[:, 0] for chosen in (known, ~known)]
        return [ImageExamples(images, chosen, self.image_size) for chosen in parts if len(chosen)]

    def describe_inputs(self) -> str:
        """See `DataModule`."""
        return f"images of {self.image_size} x {self.image_size} pixels"
