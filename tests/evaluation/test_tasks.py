import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.cli import run
from ssl_zoo.data.audio.log_mel_baseline import log_mel_baseline
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.segments import phone_places
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.log_mel import log_mel
from ssl_zoo.evaluation import tasks
from ssl_zoo.evaluation.extraction import Wanted, extract_part, representation_of
from ssl_zoo.evaluation.flops import training_flops
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.probes import weighted_layers
from ssl_zoo.runs.results import TaskScore
from ssl_zoo.runs.run import load_run, rebuild
from ssl_zoo.views.audio import AudioViews
from tests.made import Tones

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "audio"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> AudioData:
    data = AudioData(Tones(), crop_seconds=0.4)
    data.setup()
    return data


@pytest.fixture(scope="module", params=[True, False], ids=["classes", "no classes"])
def directory(request, tmp_path_factory) -> Path:
    """A run of two steps on tones, probed at its end."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighted_layers, "STEPS", 200)
        patch.setitem(tasks.PLACES, "train", 300)
        run(
            ["fit", "--config", str(EXPERIMENTS / "wav2vec2_log_mel.yaml"), "--runs_dir", str(runs),
             "--data.source=tests.made.Tones",
             f"--data.source.labelled={request.param}", "--trainer.max_steps=2", "--data.batch_size=8",
             "--data.crop_seconds=0.7", "--model.mask_length=2", "--model.negatives=4", "--model.encoder.dim=32",
             "--model.encoder.depth=2", "--model.encoder.front_end.dim=32", "--trainer.precision=32-true",
             "--trainer.enable_progress_bar=false", "--probe.draws=2", "--probe.labels_per_class=[5]",
             "--probe.ceiling=false"]
        )  # fmt: skip
    (directory,) = runs.glob("*/*")
    return directory


def flops_of_crops(directory: Path, steps: int) -> float:
    """Of training on batches of 8 crops of 0.7 s, however long the recordings are."""
    noise = Batch(torch.randn(8, 11200), None, None, torch.arange(8))
    return steps * 8 * training_flops(rebuild(load_run(directory).checkpoint), noise)


def test_a_run_is_evaluated_in_every_task_beside_the_baselines(directory):
    record = json.loads((directory / "results.json").read_text())
    found_in = record["tasks"]
    assert list(found_in) == ["word", "phones"]
    assert list(found_in["word"]) == ["Wav2Vec2", "untrained encoder", "log-mel statistics", "majority class"]
    assert list(found_in["phones"]) == [
        "Wav2Vec2", "untrained encoder", "log-mel frame", "log-mel, 9 frames", "majority class"
    ]  # fmt: skip
    for rows in found_in.values():
        for row in ("Wav2Vec2", "untrained encoder"):
            assert len(rows[row]["layers"]) == 3 and sum(rows[row]["layers"]) == pytest.approx(1, abs=1e-3)
    for row, found in found_in["phones"].items():
        assert row == "majority class" or found["accuracy"] > found_in["phones"]["majority class"]["accuracy"] + 0.3, (
            row
        )
    assert found_in["word"]["log-mel statistics"]["accuracy"] == 1  # the hum is in their means
    assert record["budget"]["flops"] == pytest.approx(flops_of_crops(directory, steps=2))
    assert record["task_sizes"]["phones"]["train"] == 300 and record["task_sizes"]["phones"]["classes"] == 4
    assert record["task_sizes"]["word"]["test"] <= record["data"]["test"]
    for name in ("layer_weights.png",):
        assert (directory / "figures" / name).stat().st_size > 5000


def test_classes_are_evaluated_as_those_of_images_are(directory):
    rows = json.loads((directory / "results.json").read_text())["rows"]
    if not (directory / "figures" / "label_efficiency.png").exists():
        assert rows == {}
        return
    assert list(rows) == ["Wav2Vec2", "untrained encoder", "log-mel statistics"]
    assert list(rows["log-mel statistics"]["linear"]) == ["5", "all"]
    assert rows["log-mel statistics"]["linear"]["all"]["mean"] == 1  # the hiss is in their means, too


def test_a_method_of_views_is_evaluated_like_any_other(tmp_path, monkeypatch):
    monkeypatch.setattr(weighted_layers, "STEPS", 10)
    monkeypatch.setitem(tasks.PLACES, "train", 100)
    run(
        ["fit", "--config", str(EXPERIMENTS / "simclr.yaml"), "--runs_dir", str(tmp_path), "--trainer.max_steps=2",
         "--data.source=tests.made.Tones", "--data.batch_size=8", "--data.crop_seconds=0.7",
         "--model.encoder.width=4", "--model.views.seconds=0.4", "--probe.draws=1", "--probe.labels_per_class=[5]",
         "--trainer.enable_progress_bar=false"]
    )  # fmt: skip
    (directory,) = tmp_path.glob("*/*")
    record = json.loads((directory / "results.json").read_text())
    assert list(record["rows"]) == ["SimCLR", "untrained encoder", "log-mel statistics", "supervised"]
    assert list(record["layers"]) == ["SimCLR", "untrained encoder"]  # the stages of a ResNet
    assert {len(found["test"]) for found in record["layers"].values()} == {5}
    assert record["budget"]["flops"] == pytest.approx(flops_of_crops(directory, steps=2))


@pytest.mark.parametrize("which", ["transformer", "resnet", "log-mel"])
def test_what_is_kept_is_what_each_recording_gives_alone(data, which):
    torch.manual_seed(0)
    views = AudioViews(seconds=0.3)
    resnet = SimCLR(AudioResNet(10, 4), views).eval()
    transformer = SimCLR(
        Wav2Vec2Encoder(LogMel(dim=16, strides=[2]), dim=16, depth=2, heads=2, position_kernel=8), views
    ).eval()
    method = resnet if which == "resnet" else transformer
    representation = log_mel_baseline(16000) if which == "log-mel" else representation_of(method.encoder, method.encode)
    part = data.validation_set
    labelled = (part.tasks["word"] >= 0).nonzero()[:, 0]
    moments = phone_places(part).spread(40)
    kept = extract_part(representation, Wanted(part, labelled, {"phones": moments}), CPU)
    assert len(kept.features.vectors) == len(part) and torch.equal(kept.features.labels, part.labels)
    place = 0
    for position in range(len(part)):
        batch = part.__getitems__([position])
        with torch.no_grad():
            if which == "log-mel":
                frames = log_mel(batch.inputs)[0]
                layers, vector = (frames,), torch.cat([frames[0].mean(0), frames[0].std(0, correction=0)])
                whole = [vector]
            else:
                encoded = method.encoder(batch.inputs, layers=True)
                layers, vector = encoded.layers, encoded.pooled[0]
                whole = [layer[0].mean(0) for layer in layers]
        torch.testing.assert_close(kept.features.vectors[position], vector, atol=1e-4, rtol=1e-3)
        if position in labelled:
            row = labelled.tolist().index(position)
            for found, wanted in zip(kept.layers, whole, strict=True):
                torch.testing.assert_close(found[row].float(), wanted, atol=2e-3, rtol=2e-3)
        stride = {"resnet": 1280, "transformer": 320, "log-mel": 160}[which]
        # A frame of LogMel with one convolution of three spectra sees 25 + 2 * 10 ms.
        first = {"resnet": 200, "transformer": 360, "log-mel": 200}[which]
        alike = [layer for layer in layers if layer.shape[2] == layers[-1].shape[2]]
        for sample in moments.inputs[moments.examples == position].tolist():
            frame = int(np.abs(first + stride * np.arange(layers[-1].shape[1]) - sample).argmin())
            found = kept.places["phones"][:, place].float()
            if which == "log-mel":
                found = found[:, representation.place_rows["log-mel frame"].dimensions]
            torch.testing.assert_close(found, torch.stack([layer[0, frame] for layer in alike]), atol=2e-3, rtol=2e-3)
            place += 1
    assert place == 40


@pytest.mark.parametrize("label", [-1, 0], ids=["unknown", "all the same"])
def test_a_task_that_some_part_cannot_ask_is_left_out(data, label):
    known = data.test_set.tasks
    data.test_set.tasks = {"word": torch.full((len(data.test_set),), label)}
    try:
        questions = tasks.ask(data, by_layer=False)
    finally:
        data.test_set.tasks = known
    assert list(questions.of_examples) == [] and list(questions.sizes) == ["phones"]


def test_where_classes_differ_in_size_tasks_have_a_balanced_accuracy():
    layers = torch.randn(1, 100, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0] * 80 + [1] * 20)
    even = torch.tensor([0, 1]).repeat(50)
    found = {name: tasks.majority({"train": labels, "test": each}) for name, each in (("uneven", labels),
             ("even", even))}  # fmt: skip
    assert found["uneven"] == TaskScore(pytest.approx(0.8), 0.5) and found["even"] == TaskScore(0.5)
    part = (layers, labels)
    probed = tasks.evaluate_weighted({"train": part, "validation": part, "test": part}, 2)
    assert probed.balanced is not None and probed.layers == [1.0]


def test_online_probes_are_fitted_on_what_validation_gives(data):
    fitted = data.as_validated(data.train_set).__getitems__([0, 1])
    validated = next(iter(data.val_dataloader()))
    assert fitted.mask is None and fitted.inputs.shape[1] == validated.inputs.shape[1] == 6400
