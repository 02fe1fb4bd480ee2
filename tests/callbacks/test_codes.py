"""What codes say about phones, logged and drawn while HuBERT trains on tones that stand for phones."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.plugins import Precision

import ssl_zoo.methods
from ssl_zoo.callbacks import codes
from ssl_zoo.callbacks.codes import look
from ssl_zoo.cli import run
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.hubert import HuBERT
from ssl_zoo.runs.files import METRICS
from ssl_zoo.runs.logged import read_metrics
from ssl_zoo.tasks.labels import PlaceLabels, Places
from ssl_zoo.tasks.places import nearest_frames
from tests.contracts.found import concrete
from tests.made import PITCHES, Tones, spell

MODEL = [
    "--model=HuBERT", "--model.encoder=Wav2Vec2Encoder", "--model.encoder.front_end=LogMel",
    "--model.encoder.front_end.strides=[]", "--model.encoder.dim=16", "--model.encoder.depth=1",
    "--model.encoder.heads=2", "--model.encoder.position_kernel=8", "--model.encoder.position_groups=2",
    "--model.layer=1", "--model.clusters=[20, 20]", "--model.starts=[0.0, 0.5]", "--model.code_dim=8",
]  # fmt: skip


@pytest.mark.parametrize("method", [each for each in concrete(Method, ssl_zoo.methods) if hasattr(each, "codes")])
def test_what_a_method_calls_codes_are_those_of_a_batch(method):
    inspect.signature(method.codes).bind(None, batch=None)


@pytest.mark.parametrize(
    "lengths", [["--data.crop_seconds=0.3"], ["--data.crop_seconds=null", "--data.seconds_per_batch=16"]]
)
def test_codes_are_logged_and_drawn_beside_phones(lengths, tmp_path):
    shown = []
    draw = codes.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "draw", lambda *arguments: (shown.append(arguments), draw(*arguments)))
        run([
            "fit", *MODEL, "--data=AudioData", "--data.source=tests.made.Tones", *lengths,
            "--data.batch_size=4", "--trainer.max_steps=4", "--trainer.accelerator=cpu", "--probe_after_fit=false",
            "--trainer.enable_progress_bar=false", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1",
            f"--runs_dir={tmp_path}",
        ])  # fmt: skip
    (directory,) = tmp_path.glob("*/*")
    assert (directory / "figures" / "codes.png").is_file()
    found = read_metrics(directory / METRICS)
    assert [step for step, _ in found["codes/pnmi"]] == [1, 3]  # steps are numbered from 0
    # Four tones have spectra of their own, which twenty clusters tell apart.
    assert found["codes/pnmi"][0][1] > 0.5 and found["codes/purity"][0][1] > 0.6
    ((examples, data, offset, stride, _),) = shown
    assert len(examples) == 3 and (offset, stride) == (200, 160)
    for number, each in enumerate(examples):
        source = int(data.validation_set.chosen[number])
        segments = spell(source)
        ends, phones = torch.from_numpy(segments.ends), torch.from_numpy(segments.phones)
        expected = phones[torch.searchsorted(ends, each.moments.double() / 16000, right=True)]
        assert torch.equal(each.labels, expected) and len(data.tasks()["phones"].classes) == len(PITCHES)
        assert len(each.codes) == (len(each.inputs) - 400) // 160 + 1
        counts = torch.full_like(each.moments, len(each.codes))
        assert torch.equal(each.at_labels, each.codes[nearest_frames(each.moments, counts, 200, 160)])


def test_pairs_of_codes_that_vq_wav2vec_learns_are_logged_and_drawn_too(tmp_path):
    front_end = "--model.encoder.front_end"
    run([
        "fit", "--model=VQWav2Vec", "--model.steps=3", "--model.encoder=GRUEncoder", "--model.encoder.dim=16",
        f"{front_end}=CodedFrames", f"{front_end}.quantizer=k_means", f"{front_end}.entries=8",
        f"{front_end}.code_dim=16", f"{front_end}.front_end=LogMel", f"{front_end}.front_end.strides=[]",
        "--data=AudioData", "--data.source=tests.made.Tones", "--data.crop_seconds=0.3", "--data.batch_size=4",
        "--trainer.max_steps=2", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1",
        "--probe_after_fit=false", "--trainer.enable_progress_bar=false", "--trainer.val_check_interval=2",
        f"--runs_dir={tmp_path}",
    ])  # fmt: skip
    (directory,) = tmp_path.glob("*/*")
    assert (directory / "figures" / "codes.png").is_file()
    ((_, pnmi),) = read_metrics(directory / METRICS)["codes/pnmi"]
    assert pnmi > 0.5  # the entries begin as frames, of four tones whose spectra differ


def test_figures_are_of_the_examples_that_have_phones_wherever_they_are():
    data = AudioData(Tones(), crop_seconds=0.3, batch_size=4)
    data.setup()
    task = data.tasks()["phones"]
    assert isinstance(task, PlaceLabels)
    places = task.parts["validation"]
    last = int(places.examples.max())
    only = Places(*(values[places.examples == last] for values in places))
    data.tasks = lambda: {"phones": task._replace(parts={**task.parts, "validation": only})}
    encoder = Wav2Vec2Encoder(LogMel(strides=[]), dim=16, depth=1, heads=2, position_kernel=8, position_groups=2)
    method = HuBERT(encoder, (5,), (0.0,), layer=1)
    trainer = SimpleNamespace(datamodule=data, precision_plugin=Precision())
    assert last >= 1
    (found,) = look(trainer, method, 1)
    assert torch.equal(found.labels, only.labels) and torch.equal(found.moments, only.inputs)


def test_data_without_labels_of_places_has_no_figures():
    data = ImageData(image_size=8, train_size=20)
    data.setup()
    front_end = LogMel(strides=[])
    encoder = Wav2Vec2Encoder(front_end, dim=16, depth=1, heads=2, position_kernel=8, position_groups=2)
    method = HuBERT(encoder, (5,), (0.0,), layer=1)
    assert look(SimpleNamespace(datamodule=data), method, 3) == []
