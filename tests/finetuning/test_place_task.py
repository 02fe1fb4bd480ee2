"""Fine-tuning at places within examples, of data whose examples are padded: phones of speech."""

import pytest
import torch

from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.segments import frame_labels
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.class_tasks import class_task
from ssl_zoo.finetuning.place_task import PlaceTask
from ssl_zoo.finetuning.train import Settings, fine_tune
from tests.made import Tones


@pytest.fixture(scope="module")
def data() -> AudioData:
    made = AudioData(Tones(), crop_seconds=0.4)
    made.setup()
    return made


def encoder() -> Wav2Vec2Encoder:
    torch.manual_seed(0)
    return Wav2Vec2Encoder(LogMel(dim=16, strides=[2]), dim=16, depth=1, heads=2, position_kernel=8)


def test_examples_come_with_what_is_said_at_every_moment(data):
    task = PlaceTask(data, "phones", test_examples=3)
    assert len(task.train) == len(data.train_set) and len(task.test) == 3
    batch = task.train.__getitems__([4, 0, 2])
    assert batch.mask is not None and torch.equal(batch.places >= 0, batch.targets >= 0)
    for row, position in enumerate((4, 0, 2)):
        moments = batch.places[row][batch.places[row] >= 0]
        assert len(moments) > 10 and moments.max() < data.train_set.lengths[position]
        said = frame_labels(data.train_set, position, moments)
        assert torch.equal(batch.targets[row][batch.places[row] >= 0], said)


def test_answers_are_scored_place_by_place(data):
    task = PlaceTask(data, "phones", test_examples=3)
    right = [task.test.__getitems__([position]).targets[0].tolist() for position in range(3)]
    assert task.score(right)["accuracy"] == 1
    wrong = [[label + 1 for label in row] for row in right]
    assert task.score([right[0], *wrong[1:]])["accuracy"] == pytest.approx(len(right[0]) / sum(map(len, right)))


def test_phones_are_learnt(data):
    task = PlaceTask(data, "phones", test_examples=100)
    everything = torch.arange(len(task.train))
    settings = Settings(steps=60, batch_size=8, learning_rate=1e-2)
    found = task.score(fine_tune(encoder(), task, everything, 0, settings))
    assert found["accuracy"] > 0.5  # of four pitches


def test_a_task_of_recordings_leaves_out_those_that_nobody_labelled(data):
    task = class_task(data, "word", test_examples=100)
    known = (data.train_set.tasks["word"] >= 0).nonzero()[:, 0]
    assert 0 < len(known) < len(data.train_set) and torch.equal(task.train.chosen, known)
    batch = task.train.__getitems__([1, 0])
    assert batch.targets[:, 0].tolist() == data.train_set.tasks["word"][known[[1, 0]]].tolist()


def test_too_few_test_examples_are_refused(data):
    kept, data.test_set.segments = data.test_set.segments, [None] * len(data.test_set)
    try:
        with pytest.raises(InputError, match="so that any accuracy would be 0 or 100 %"):
            data.__dict__.pop("_phone_labels", None)  # kept from other tests
            PlaceTask(data, "phones", test_examples=3)
    finally:
        data.test_set.segments = kept
        data.__dict__.pop("_phone_labels", None)
