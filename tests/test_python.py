"""The package from Python: light to import, finished runs loaded and asked, training with a plain Trainer."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import ssl_zoo
from ssl_zoo.cli import run
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.probe import probe
from tests.small_runs import SmallRun, elsewhere, small_run

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "lightning", "transformers", "jsonargparse", "matplotlib", "sklearn")


@pytest.fixture(scope="module")
def image_run(tmp_path_factory) -> SmallRun:
    return small_run("image", tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def text_run(tmp_path_factory) -> SmallRun:
    return small_run("text", tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def audio_run(tmp_path_factory) -> SmallRun:
    return small_run("audio", tmp_path_factory.mktemp("audio"))


def test_importing_the_package_is_light():
    code = f"import sys, ssl_zoo; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_no_attribute_of_it():
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = ssl_zoo.laod


def test_a_run_is_loaded_with_its_parts_settings_and_results(image_run, monkeypatch):
    monkeypatch.chdir(image_run.directory.parent)
    with elsewhere(image_run):
        loaded = ssl_zoo.load(image_run.directory.name)
        assert type(loaded.encoder).__name__ == "ResNet" and type(loaded.method).__name__ == "SimCLR"
        assert loaded.settings["model"]["init_args"]["projection_dim"] == 4
        assert loaded.results is None
        assert repr(loaded) == f"<Run {loaded.directory}: SimCLR with ResNet on ImageFolder data>"
        with pytest.raises(InputError, match="There is no folder"):
            loaded.read_data()
    assert len(loaded.read_data().train_set) == 22  # of 30, a fifth is for testing and a tenth of the rest held out
    probe(image_run.directory, [1], 1, ceiling=False, layers=False)
    assert ssl_zoo.load(image_run.directory).results.method == "SimCLR"


def test_images_of_every_kind_give_the_same_features(image_run, tmp_path):
    loaded = ssl_zoo.load(image_run.directory)
    path = next(image_run.root.rglob("*.png"))
    picture = Image.open(path)
    array = np.array(picture)  # (10, 14) uint8
    assert array.shape == (10, 14)
    wanted = loaded.embed(path)
    assert wanted.shape == (1, loaded.encoder.dim) and wanted.dtype == np.float32
    colour = array[..., None].repeat(3, axis=2)
    for given in (str(path), picture, array, array[..., None], colour, torch.from_numpy(array)[None], array[None]):
        np.testing.assert_allclose(loaded.embed(given), wanted, atol=1e-6)
    # The same as for `predict` of the folder, which the run's data has to itself: row by row.
    data = loaded.read_data()
    position = [data.name_of(place) for place in range(30)].index(str(path))
    (examples,) = data.everything()
    with torch.no_grad():
        known = loaded.method.encode(examples.__getitems__([position])).pooled
    np.testing.assert_allclose(wanted, known.numpy(), atol=1e-6)
    several = loaded.embed([path, array, array / 255])
    np.testing.assert_allclose(several, wanted.repeat(3, 0), atol=1e-3)
    stack = np.stack([colour, 255 - colour])
    np.testing.assert_allclose(loaded.embed(stack)[0], wanted[0], atol=1e-6)
    assert not np.allclose(loaded.embed(stack)[1], wanted[0], atol=1e-3)


def test_more_images_than_fit_into_a_batch_keep_their_order(image_run):
    loaded = ssl_zoo.load(image_run.directory)
    images = np.random.default_rng(0).integers(0, 256, (150, 8, 8), dtype=np.uint8)
    every = loaded.embed(list(images))
    for place in (0, 63, 64, 149):
        np.testing.assert_allclose(every[place], loaded.embed(images[place])[0], rtol=1e-4, atol=1e-5)


def test_texts_are_read_by_the_runs_own_tokenizer(text_run):
    with elsewhere(text_run):
        loaded = ssl_zoo.load(text_run.directory)
        texts = ["cat dog", "the cow sees bread", "a " * 100]
        found = loaded.embed(texts)
    tokenizer = loaded.data.tokens().tokenizer
    for text, vector in zip(texts, found, strict=True):
        ids = torch.from_numpy(tokenizer.encode([text])[0].astype(np.int64))[:16]  # the run's length
        with torch.no_grad():
            wanted = loaded.encoder(ids[None]).pooled[0]
        np.testing.assert_allclose(vector, wanted.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loaded.embed("cat dog")[0], found[0], rtol=1e-4, atol=1e-5)


def test_sounds_come_as_files_or_waveforms_of_any_rate(audio_run, tmp_path):
    loaded = ssl_zoo.load(audio_run.directory)
    path = next(audio_run.root.rglob("*.wav"))
    waveform, rate = soundfile.read(path, dtype="float32")
    wanted = loaded.embed(path)
    stereo = np.stack([waveform, waveform], axis=1)
    for given in (waveform, torch.from_numpy(waveform), stereo, stereo.T, torch.from_numpy(stereo.T)):
        np.testing.assert_allclose(loaded.embed(given, sample_rate=rate), wanted, rtol=1e-3, atol=1e-4)
    # A tone at another rate is the same tone.
    tone = [np.sin(2 * np.pi * 400 * np.arange(each // 2) / each).astype(np.float32) for each in (16000, 44100)]
    here, there = loaded.embed(tone[0], sample_rate=16000), loaded.embed(tone[1], sample_rate=44100)
    np.testing.assert_allclose(here, there, rtol=0.05, atol=0.05 * np.abs(here).max())
    soundfile.write(tmp_path / "tone.wav", tone[1], 44100)
    np.testing.assert_allclose(loaded.embed(tmp_path / "tone.wav"), there, rtol=1e-2, atol=1e-2 * np.abs(there).max())


@pytest.mark.parametrize(
    ("modality", "given", "sentence"),
    [
        ("image", [], "no image to embed"),
        ("image", 3, "A int is no image"),
        ("image", np.zeros((0, 5)), r"An array of shape \(0, 5\) has no pixels: leave it out"),
        ("image", np.zeros(5), r"ndarray of shape \(5,\) is no image"),
        ("image", "nowhere.png", "nowhere.png"),
        ("image", np.full((4, 4), 7), "value_range"),
        ("text", [], "no text to embed"),
        ("text", ["a", 3], "Text 1 is a int"),
        ("text", None, "A NoneType is no text: give Python's str"),
        ("audio", [], "no sound to embed"),
        ("audio", np.ones(800, dtype=np.float32), "Sound 0 comes without its rate"),
        ("audio", np.zeros((2, 2, 2), dtype=np.float32), "is no waveform"),
        ("audio", "nowhere.wav", "no file nowhere.wav"),
    ],
)
def test_what_is_none_of_these_is_refused_in_a_sentence(request, modality, given, sentence):
    loaded = ssl_zoo.load(request.getfixturevalue(f"{modality}_run").directory)
    with pytest.raises(InputError, match=sentence):
        loaded.embed(given)


def test_a_silent_sound_is_refused(audio_run):
    with pytest.raises(InputError, match="Sound 1 is silent"):
        ones = np.ones(800, dtype=np.float32) * np.linspace(-1, 1, 800, dtype=np.float32)
        ssl_zoo.load(audio_run.directory).embed([ones, np.zeros(800, dtype=np.float32)], sample_rate=16000)


def test_the_guides_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(["fit", "--config=quickstart", "--trainer.max_steps=1", "--data.batch_size=8", "--probe_after_fit=false",
         "--trainer.accelerator=cpu"])  # fmt: skip
    (directory,) = Path("runs/quickstart").glob("*")
    snippets = re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    code = "\n".join(snippets).replace("runs/quickstart/TIME-ID", str(directory))
    code = code.replace("max_steps=300,", "max_steps=1, accelerator='cpu', enable_progress_bar=False, logger=CSV,")
    names = {"CSV": True}
    exec(code, names)
    assert names["features"].shape == (5, 128)
    assert names["run"].checkpoint["global_step"] == 1 and type(names["run"].method).__name__ == "SimCLR"
    probe(Path(names["trainer"].log_dir), [1], 1, ceiling=False, layers=False)
    assert names["run"].results.encoder == "ResNet"
