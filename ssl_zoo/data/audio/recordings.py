"""Parts of an audio data set: whole recordings with a mask, or waveforms of one length."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ssl_zoo.batch import Batch
from ssl_zoo.data.audio.pcm import PCM
from ssl_zoo.data.audio.quantize import FULL_SCALE
from ssl_zoo.data.audio.sources.base import UNLABELLED, LoadedAudio, Segments
from ssl_zoo.data.buckets import Draw
from ssl_zoo.data.examples import Examples
from ssl_zoo.randomness import example_keys, uniform


class Recordings(Examples):
    """Some of a source's recordings as they are, padded on the right to the longest of their batch.

    Args:
        pcm: the samples of all of the source's recordings.
        loaded: what else the source knows of the recordings.
        chosen: ``(N,)`` int64, the positions in `loaded` of the examples; they become `Batch.index`.
        sample_rate: sample rate of `pcm`.
        most: samples of an example; a longer recording is cut there.

    Attributes:
        labels: ``(N,)`` int64, or None when one of them has none.
        tasks: ``(N,)`` int64 labels in further tasks, -1 where unknown, by the task's name.
        segments: segments of every example, or None where it has none.
        sizes: ``(N,)`` int64, samples of every recording, uncut.
        sample_rate: samples per second.
    """

    fetched_at_once = 16

    def __init__(self, pcm: PCM, loaded: LoadedAudio, chosen: Tensor, sample_rate: int, most: int) -> None:
        self.pcm, self.chosen, self.sample_rate, self.most = pcm, chosen, sample_rate, most
        here = [loaded.recordings[position] for position in chosen.tolist()]
        labels = torch.tensor([recording.label for recording in here], dtype=torch.int64)
        self.labels = None if (labels == UNLABELLED).any() else labels
        self.tasks = {
            task: torch.tensor([recording.tasks.get(task, UNLABELLED) for recording in here], dtype=torch.int64)
            for task in loaded.tasks
        }
        self.segments: list[Segments | None] = [recording.segments for recording in here]
        self.sizes = np.diff(pcm.offsets)[chosen.numpy()]
        self.lengths: Tensor = torch.from_numpy(np.minimum(self.sizes, most))

    @property
    def positions(self) -> Tensor:
        """See `Examples`."""
        return self.chosen

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.chosen)

    def __getitems__(self, positions: list[int]) -> Batch:
        """The recordings at these positions, from their beginning; the mask is None if all are of one length."""
        return self.cut(positions, np.zeros(len(positions), dtype=np.int64), self.most)

    def cut(self, positions: list[int], starts: np.ndarray, most: int) -> Batch:
        """Some of the recordings.

        Args:
            positions: ``(B,)`` of the examples.
            starts: ``(B,)`` int64, first sample of each, so that `most` samples follow where the recording has as many.
            most: samples of an example.

        Returns:
            ``(B, S)`` float32 waveforms in [-1, 1), with a mask unless all are of one length.
        """
        lengths = np.minimum(self.sizes[positions], most)
        samples = np.zeros((len(positions), lengths.max()), dtype=np.int16)
        index = self.chosen[positions]
        # Row by row: one copy from the file's pages each, which an index of every single sample takes ten times as long
        # for.
        for row, position, start, length in zip(samples, index.tolist(), starts, lengths, strict=True):
            row[:length] = self.pcm.read(position, start, length)
        mask = None
        if lengths.min() < samples.shape[1]:
            mask = torch.from_numpy(np.arange(samples.shape[1]) < lengths[:, None])
        return Batch(_waveforms(samples), mask, None if self.labels is None else self.labels[positions], index)

    def repeat(self, positions: list[int], starts: np.ndarray, length: int) -> Batch:
        """Some of the recordings, all of one length: a shorter one is said again and again.

        Args:
            positions: ``(B,)`` of the examples.
            starts: ``(B,)`` int64, first sample of each, so that `length` samples follow where the recording has as
                many; 0 for a shorter one.
            length: samples of an example.

        Returns:
            ``(B, length)`` float32 waveforms in [-1, 1), without a mask.
        """
        samples = np.empty((len(positions), length), dtype=np.int16)
        index = self.chosen[positions]
        for row, position, start, size in zip(samples, index.tolist(), starts, self.sizes[positions], strict=True):
            row[:] = np.resize(self.pcm.read(position, start, min(size, length)), length)
        return Batch(_waveforms(samples), None, None if self.labels is None else self.labels[positions], index)


class Centred(Examples):
    """The middle of every recording, at one length, for what needs waveforms of one length in evaluation.

    Args:
        recordings: the examples.
        length: samples of an example.
    """

    fetched_at_once = 64

    def __init__(self, recordings: Recordings, length: int) -> None:
        self.recordings, self.length, self.labels = recordings, length, recordings.labels

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.recordings)

    def __getitems__(self, positions: list[int]) -> Batch:
        """The examples at these positions; ``(B, length)``, without a mask."""
        starts = np.maximum(0, self.recordings.sizes[positions] - self.length) // 2
        return self.recordings.repeat(positions, starts, self.length)


class RandomCrops(Dataset[Batch]):
    """Batches for training, every recording cut at a random place where it is too long.

    The place is a function of (seed, number of the batch, place in the global batch).

    Args:
        recordings: the examples.
        length: samples of an example.
        repeated: repeat shorter recordings up to `length`, so that nothing is padded; otherwise pad and mask them.
        seed: seed of the places.
    """

    def __init__(self, recordings: Recordings, length: int, repeated: bool, seed: int) -> None:
        self.recordings, self.length, self.repeated, self.seed = recordings, length, repeated, seed

    def __getitem__(self, draw: Draw) -> Batch:
        """The batch that a sampler has drawn."""
        batch, first, positions = draw
        keys = example_keys(self.seed, batch, torch.arange(first, first + len(positions)))
        room = np.maximum(0, self.recordings.sizes[positions] - self.length) + 1
        starts = (uniform(keys).double().numpy() * room).astype(np.int64)
        cut = self.recordings.repeat if self.repeated else self.recordings.cut
        return cut(positions, starts, self.length)


def _waveforms(samples: np.ndarray) -> Tensor:
    return torch.from_numpy(samples).float().mul_(1 / FULL_SCALE)
