"""What every data module says of itself, so that nobody asks for its type."""

import json
from pathlib import Path

import pytest
import torch

from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.representations import Representation, TokenCounts
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.tasks.labels import CLASSES, ExampleLabels, Places
from tests.made import PITCHES, Tones


def make(kind: str, folder: Path) -> DataModule:
    if kind == "image":
        return ImageData(image_size=8, train_size=100)
    if kind == "audio":
        return AudioData(Tones(), crop_seconds=0.4)
    path = folder / "texts.jsonl"
    words = ("cat cow pig", "rice jam milk")
    lines = [
        {"text": f"{words[number % 2]} {'so ' * (number % 3)}{number}", "label": words[number % 2]}
        for number in range(60)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return TextData(TextFiles(path), vocab_size=60, length=16)


@pytest.fixture(scope="module", params=["image", "text", "audio"])
def data(request, tmp_path_factory) -> DataModule:
    made = make(request.param, tmp_path_factory.mktemp("data"))
    made.setup()
    return made


def test_tasks_have_a_name_for_every_label_and_labels_for_every_part(data):
    tasks = data.tasks()
    assert data.main_task in tasks and CLASSES in tasks
    for task in tasks.values():
        assert list(task.parts) == list(data.parts()) == ["train", "validation", "test"]
        for name, labels in task.parts.items():
            examples = data.parts()[name]
            if isinstance(labels, Places):
                assert len(labels.examples) == len(labels.inputs) == len(labels.labels)
                assert int(labels.examples.max()) < len(examples) and bool((labels.examples.diff() >= 0).all())
                assert bool((labels.inputs < examples.lengths[labels.examples]).all())
                labels = labels.labels
            else:
                assert len(labels) == len(examples)
            assert int(labels.max()) < len(task.classes)
    classes = tasks[CLASSES]
    assert isinstance(classes, ExampleLabels) and classes.classes == data.classes
    for name, part in data.parts().items():
        assert torch.equal(classes.parts[name], part.labels)


def test_baselines_turn_every_example_into_numbers(data):
    batch = data.test_set.__getitems__([0, 1, 2])
    assert data.baselines()
    for baseline in data.baselines().values():
        if isinstance(baseline, TokenCounts):
            assert baseline.vocabulary == data.vocabulary
            continue
        assert isinstance(baseline, Representation)
        found = baseline.extract(batch, True)
        assert found.pooled.shape[0] == 3 and found.pooled.isfinite().all()
        assert all(len(layer) == 3 for layer in (*found.layers, *found.sequences))
        assert baseline.extract(batch, False).layers == ()


def test_pictures_are_what_a_person_sees(data):
    batch = data.val_dataloader().dataset.__getitems__([0, 1])
    picture = data.picture(batch.inputs, batch.fields)
    if data.modality == "text":
        assert picture is None
        return
    assert picture.images.shape[:2] == (2, 3) and 0 <= picture.images.min() < picture.images.max() <= 1


def test_only_texts_have_tokens_and_only_what_differs_in_length_a_mask(data):
    tokens = data.tokens()
    assert (tokens is not None) == (data.modality == "text")
    masks = [data.test_set.__getitems__(list(range(8))).mask is not None]
    assert masks == [data.padded]


def test_speech_is_ranked_by_its_phones_and_the_rest_by_its_classes(data):
    assert data.main_task == ("phones" if data.modality == "audio" else CLASSES)
    if data.modality == "audio":
        assert list(data.tasks()) == [CLASSES, "word", "phones"]
        assert data.tasks()["phones"].classes == [f"{pitch} Hz" for pitch in PITCHES]


def test_without_labels_there_are_no_classes_to_ask_for(tmp_path):
    data = AudioData(Tones(labelled=False), crop_seconds=0.4)
    data.setup()
    assert list(data.tasks()) == ["word", "phones"]
