"""Speech and other sound for pretraining and probing."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning import Trainer
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.log_mel_baseline import log_mel_baseline
from ssl_zoo.data.audio.pcm import open_pcm
from ssl_zoo.data.audio.raw import sounds_of
from ssl_zoo.data.audio.recordings import Centred, RandomCrops, Recordings
from ssl_zoo.data.audio.segments import PHONES, phone_labels, recording_tasks
from ssl_zoo.data.audio.sources.base import UNLABELLED, AudioSource, LoadedAudio
from ssl_zoo.data.audio.sources.debian_speech import DebianSpeech
from ssl_zoo.data.audio.sources.folder import AudioFolder
from ssl_zoo.data.audio.spectrograms import picture_of_sound
from ssl_zoo.data.audio.usable import usable
from ssl_zoo.data.base import DataModule, check_at_least
from ssl_zoo.data.buckets import (
    Bucket,
    BucketSampler,
    buckets_by_length,
    class_weights,
    draw_pass,
    one_bucket,
    padding_share,
)
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.loader import TrainLoader, fetching, place_of
from ssl_zoo.data.pictures import Picture
from ssl_zoo.data.representations import Baseline
from ssl_zoo.data.splits import PARTS, Split, identity, split_hash
from ssl_zoo.errors import InputError
from ssl_zoo.own_code import require_said
from ssl_zoo.rebuilding import require_kind
from ssl_zoo.tasks.labels import CLASSES, Labels, PlaceLabels


class AudioData(DataModule):
    """Recordings of one source as waveforms at one sample rate, split the same way in every run.

    The official validation and test parts are used where there are some. Otherwise a part is held out for testing, and
    then a tenth of the training recordings (`validation_fraction`) for validation. The split is by whole recordings,
    with every class in proportion in each part, and depends on no seed. Where a source has labels, its training
    recordings without one serve only for pretraining.

    Every recording is decoded, mixed down to one channel and resampled once and kept as 16-bit samples in
    ~/.cache/ssl_zoo/audio, from where it is mapped: a second run starts at once, and memory does not grow with the
    data. Where channels cancel each other out, the loudest stands for them; a recording that goes beyond full scale is
    scaled down as a whole.

    Training batches are made in one of two ways. With `crop_seconds` every example is a random stretch of that length,
    and a shorter recording is repeated up to it: nothing is padded, so every method can be trained. With
    `seconds_per_batch` examples are whole recordings (a random stretch of `max_seconds` of longer ones), batched with
    others of similar length and padded with a mask: for methods that read it. Such a batch has a multiple of 8
    recordings where 8 of the longest fit into it, else of 4, 2 or 1; as many processes can share it evenly.

    Args:
        source: where the recordings come from; prompts and sentences in five languages from Debian when left out.
        sample_rate: samples per second of the waveforms.
        crop_seconds: length of all training examples, and of the examples whose loss is validated and tested.
        seconds_per_batch: seconds of a training batch over all processes together, padding included; instead of
            `crop_seconds`, which has to be null then.
        max_seconds: longest whole recording; what is longer is cut.
        min_seconds: shortest recording; what is shorter is left out as a bad file.
        on_error: what a bad file does, one that is empty, cut short, silent, too short, no sound at all, or has samples
            that are no finite numbers: `skip` warns and goes on without it, `stop` ends the run.
        alpha: draw a class of n recordings with a probability in proportion to n ** alpha, for languages of very
            different size: 1 is the data as it is, 0 draws from all alike. Every recording once in a pass when left
            out.
        batch_size: recordings per optimizer step, over all processes together; with `seconds_per_batch`, in validation
            and testing only.
        train_size: use only so many of the training recordings; all when left out.
        validation_fraction: part of the training recordings held out for validation when there is no official
            validation part, in (0, 1).
        test_fraction: part of all recordings held out for testing when there is no official test set, in (0, 1).
        num_workers: processes that fetch batches; 0 is best, as nothing has to be decoded.

    Attributes:
        sample_rate: samples a second of every recording, in Hz.
        task_classes: further tasks: names of their classes in the order of their numbers; labels are in the parts.
        phones: names of the phones that `ssl_zoo.data.audio.segments.frame_labels` numbers; empty without segments.

    Raises:
        InputError: an argument is out of its range.
    """

    train_set: Recordings
    pretrain_set: Recordings
    validation_set: Recordings
    test_set: Recordings
    cheap_examples = 512  # seconds each
    modality = "audio"
    noun = "recordings"
    padded = True
    program_inputs = (
        "`inputs` are waveforms `(B, S)` float32 in [-1, 1], `mask` is bool `(B, S)`, True where real; S must be "
        "enough for two frames."
    )
    pictured = 4

    def __init__(
        self,
        source: AudioSource | None = None,
        sample_rate: int = 16000,
        crop_seconds: float | None = 2.0,
        seconds_per_batch: float | None = None,
        max_seconds: float = 15.0,
        min_seconds: float = 0.1,
        on_error: Literal["skip", "stop"] = "skip",
        alpha: float | None = None,
        batch_size: int = 32,
        train_size: int | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.2,
        num_workers: int = 0,
    ) -> None:
        require_kind("AudioData", "source", source, AudioSource)
        super().__init__(batch_size, train_size, validation_fraction, test_fraction, num_workers)
        self.save_hyperparameters()
        check_at_least(1, sample_rate=sample_rate)
        lengths = {"crop_seconds": crop_seconds, "seconds_per_batch": seconds_per_batch, "max_seconds": max_seconds}
        for name, seconds in lengths.items():
            if seconds is not None and not seconds * sample_rate >= 1:
                raise InputError(f"{name} is {seconds}: it must be at least one sample long.")
        if (crop_seconds is None) == (seconds_per_batch is None):
            raise InputError(
                f"crop_seconds is {crop_seconds} and seconds_per_batch is {seconds_per_batch}: give one of them, and "
                "null for the other."
            )
        if seconds_per_batch is not None and seconds_per_batch < max_seconds:
            raise InputError(
                f"seconds_per_batch is {seconds_per_batch}, shorter than max_seconds, {max_seconds}: raise the one or "
                "lower the other."
            )
        if on_error not in ("skip", "stop"):
            raise InputError(f"on_error is {on_error}: choose skip or stop.")
        if alpha is not None and not 0 <= alpha <= 1:
            raise InputError(f"alpha is {alpha}: it must lie between 0 and 1.")
        self.source = source or DebianSpeech()
        require_said(self.source, AudioSource)
        self.source_name = self.source.name
        self.sample_rate, self.crop_seconds, self.seconds_per_batch = sample_rate, crop_seconds, seconds_per_batch
        self.max_seconds, self.min_seconds = max_seconds, min_seconds
        self.on_error, self.alpha = on_error, alpha

    def prepare_data(self) -> None:
        """Lets one of several processes on a machine fetch what is missing, before all of them look for it."""
        if self.trainer is not None and self.trainer.world_size > 1:
            self.source.load()

    def read(self) -> None:
        """Finds or decodes the samples, and splits the recordings.

        Raises:
            InputError: the data is missing, all of it is bad or, when asked to stop, any, or there is too little.
        """
        loaded = self.source.load()
        pcm = open_pcm(self.source_name, loaded.recordings, self.sample_rate)
        fine = usable(pcm, loaded, self.source_name, self.min_seconds, self.sample_rate, self.on_error)
        self.classes, self.task_classes, self.phones = loaded.classes, loaded.tasks, loaded.phones
        train, validation, test, unlabelled = self._split(loaded, fine)
        labels = [[recording.label, recording.part, dict(recording.tasks)] for recording in loaded.recordings]
        self.name_of = [recording.name for recording in loaded.recordings].__getitem__
        self.identity = identity(pcm.digest, loaded.classes, loaded.tasks, labels)
        self.split_hash = split_hash(self.identity, train, validation, test)
        self.warn_of_shared(pcm.hashes, [torch.cat([train, unlabelled]), validation, test], "recordings")
        self.train_set, self.validation_set, self.test_set, self.pretrain_set = (
            Recordings(pcm, loaded, chosen, self.sample_rate, self._samples(self.max_seconds))
            for chosen in (train, validation, test, torch.cat([train, unlabelled]).sort().values)
        )

    def on_folder(self, root: Path) -> "AudioData":
        """See `DataModule`."""
        lengths = self.crop_seconds, self.seconds_per_batch, self.max_seconds, self.min_seconds
        return AudioData(AudioFolder(root), self.sample_rate, *lengths, batch_size=self.batch_size)

    def tasks(self) -> dict[str, Labels]:
        """See `DataModule`; phones are those of every 20 ms."""
        phones: dict[str, Labels] = {PHONES: self._phone_labels} if self.phones else {}
        return super().tasks() | recording_tasks(self.task_classes, self.parts()) | phones

    def parts(self) -> Mapping[str, Recordings]:
        """See `DataModule`."""
        return {"train": self.train_set, "validation": self.validation_set, "test": self.test_set}

    @cached_property
    def _phone_labels(self) -> PlaceLabels:
        return phone_labels(self.phones, self.parts())

    @property
    def main_task(self) -> str:
        """Phones where they are known: voice and channel, which any average shows, may predict the classes."""
        return PHONES if self.phones else CLASSES

    def baselines(self) -> dict[str, Baseline]:
        """See `DataModule`; what a spectrogram is on average, and at a moment."""
        return {"log-mel statistics": log_mel_baseline(self.sample_rate)}

    def picture(self, inputs: Tensor, fields: dict[str, Tensor] | None = None) -> Picture:
        """See `DataModule`; spectrograms."""
        return picture_of_sound(inputs, self.sample_rate)

    def batch_of(self, raw: Any, sample_rate: int | None = None) -> Batch:
        """See `DataModule`; sounds as `ssl_zoo.data.audio.raw.sounds_of` takes them."""
        return sounds_of(raw, sample_rate, self.sample_rate, self._samples(self.max_seconds))

    def stand_ins(self, count: int) -> Batch:
        """See `DataModule`; noise, as long as what the encoder was trained on."""
        noise = 2 * torch.rand(count, self._samples(self.crop_seconds or self.max_seconds)) - 1
        return Batch(noise, None, None, torch.arange(count))

    def everything(self) -> list[Examples]:
        """See `DataModule`."""
        loaded = self.source.load()
        pcm = open_pcm(self.source_name, loaded.recordings, self.sample_rate)
        fine = usable(pcm, loaded, self.source_name, self.min_seconds, self.sample_rate, self.on_error)
        self.classes, self.name_of = loaded.classes, [each.name for each in loaded.recordings].__getitem__
        labels = torch.tensor([each.label for each in loaded.recordings])[fine]
        longest = self._samples(self.max_seconds)
        parts = [fine[labels != UNLABELLED], fine[labels == UNLABELLED]]
        return [Recordings(pcm, loaded, part, self.sample_rate, longest) for part in parts if len(part)]

    @property
    def padding(self) -> float:
        """Which part of the samples in the first pass over the training set is padding, on one process."""
        if self.crop_seconds is not None:
            return 0.0
        batches = draw_pass(self._buckets(self.pretrain_set, self.batch_size), self.order_seed, 0)
        return padding_share(batches, self._lengths(self.pretrain_set))

    def shuffled(self, examples: Examples, batch_size: int, seed: int, trainer: Trainer | None = None) -> TrainLoader:
        """Crops or buckets of some recordings without end; see `DataModule`."""
        assert isinstance(examples, Recordings)
        if self.crop_seconds is None:
            rank, world_size = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        else:
            rank, world_size = place_of(batch_size, trainer)
            if batch_size > len(examples):
                raise InputError(
                    f"batch_size {batch_size} is larger than the training set of {len(examples)} recordings: set "
                    f"data.batch_size to {len(examples)} or less, or give more data."
                )
        sampler = BucketSampler(self._buckets(examples, batch_size), seed, rank, world_size)
        length = self._samples(self.crop_seconds or self.max_seconds)
        crops = RandomCrops(examples, length, repeated=self.crop_seconds is not None, seed=seed)
        settings = fetching(self.num_workers)
        return TrainLoader(crops, sampler=sampler, trainer=trainer, batch_size=None, **settings)

    def as_validated(self, examples: Examples) -> Examples:
        """The middles of recordings, or whole ones as training has them."""
        assert isinstance(examples, Recordings)
        return examples if self.crop_seconds is None else Centred(examples, self._samples(self.crop_seconds))

    def _samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def _lengths(self, recordings: Recordings) -> np.ndarray:
        return np.minimum(recordings.sizes, self._samples(self.max_seconds))

    def _buckets(self, recordings: Recordings, batch_size: int) -> list[Bucket]:
        weights = np.ones(len(recordings))
        if self.alpha is not None:
            if recordings.labels is None:
                raise InputError(
                    f"alpha balances classes, but recordings of {self.source_name} have none: leave it out."
                )
            weights = class_weights(recordings.labels, self.alpha)
        if self.seconds_per_batch is None:
            return one_bucket(weights, batch_size)
        return buckets_by_length(self._lengths(recordings), weights, self._samples(self.seconds_per_batch))

    def _split(self, loaded: LoadedAudio, usable: Tensor) -> Split:
        """Positions of the usable recordings of each part."""
        here = [loaded.recordings[position] for position in usable.tolist()]
        labels = torch.tensor([recording.label for recording in here])
        parts = torch.tensor([PARTS.index(recording.part) for recording in here])
        return Split(*(usable[part] for part in self.split(labels, parts, "recordings")))
