"""Where recordings come from, what is wrong with some files, and how they get into the cache."""

import os
import shutil
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from ssl_zoo.data.audio import pcm
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.pcm import open_pcm
from ssl_zoo.data.audio.sources.asterisk import VOICES, WORDS, Asterisk
from ssl_zoo.data.audio.sources.base import AudioSource
from ssl_zoo.data.audio.sources.debian_speech import DebianSpeech
from ssl_zoo.data.audio.sources.festvox_ru import PHONES, FestvoxRu
from ssl_zoo.data.audio.sources.folder import AudioFolder
from ssl_zoo.data.audio.sources.hugging_face import HuggingFaceAudio
from ssl_zoo.data.audio.sources.torchaudio_sets import LibriSpeech, SpeechCommands
from ssl_zoo.errors import InputError

RATE = 16000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pcm, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def noise(seed: int, seconds: float = 0.3, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels))


def write(path: Path, samples: np.ndarray, rate: int = RATE, **settings: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **settings)
    return path


def folder(tmp_path: Path, count: int = 12) -> Path:
    for number in range(count):
        write(tmp_path / "sounds" / "ab"[number % 2] / f"{number:02}.wav", noise(number))
    return tmp_path / "sounds"


def waveforms(source: AudioSource, sample_rate: int = RATE) -> list[Tensor]:
    """All recordings of a source, whole and in order."""
    recordings = source.load().recordings
    samples = open_pcm(source.name, recordings, sample_rate)
    ends = samples.offsets.tolist()
    return [
        torch.from_numpy(samples.read(i, 0, ends[i + 1] - ends[i]).astype(np.float32) / 32768)
        for i in range(len(recordings))
    ]


def test_a_folders_sub_folders_are_classes_and_samples_are_those_in_the_files(tmp_path: Path) -> None:
    module = AudioData(AudioFolder(folder(tmp_path)))
    module.setup()
    assert module.classes == ["a", "b"]
    for part in (module.train_set, module.validation_set, module.test_set):
        for position, index in enumerate(part.chosen.tolist()):
            batch = part.__getitems__([position])
            # Files are in the order of their names: 00, 02, 04 ... are of class a.
            number = 2 * index if index < 6 else 2 * (index - 6) + 1
            written = torch.from_numpy(noise(number)[:, 0]).float()
            torch.testing.assert_close(batch.inputs[0], written, atol=1.01 / 32768, rtol=0)
            assert batch.labels.tolist() == [number % 2]


def test_a_folder_may_have_parts_and_may_have_no_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("x", "y"):
            write(tmp_path / "parts" / part / name / "1.flac", noise(1))
    loaded = AudioFolder(tmp_path / "parts").load()
    assert loaded.classes == ["x", "y"]
    assert [(r.label, r.part) for r in loaded.recordings] == [(0, "train"), (1, "train"), (0, "test"), (1, "test")]
    write(tmp_path / "flat" / "1.wav", noise(1))
    loaded = AudioFolder(tmp_path / "flat").load()
    assert loaded.classes == [] and loaded.recordings[0].label == -1
    with pytest.raises(InputError, match="no sound in"):
        (tmp_path / "none").mkdir()
        AudioFolder(tmp_path / "none").load()
    with pytest.raises(InputError, match="no folder"):
        AudioFolder(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_stereo_at_44_kHz_equals_the_mean_of_its_channels_at_16_kHz(tmp_path: Path, suffix: str) -> None:
    """Tones are known at every rate."""

    def tones(rate: int, seconds: float = 1.0) -> np.ndarray:
        time = np.arange(round(rate * seconds))[:, None] / rate
        return 0.4 * np.sin(2 * np.pi * np.array([440.0, 3000.0]) * time)

    write(tmp_path / "tones" / f"1.{suffix}", tones(44100), 44100)
    (found,) = waveforms(AudioFolder(tmp_path / "tones"))
    expected = torch.from_numpy(tones(RATE).mean(1)).float()
    lossy = suffix in ("ogg", "mp3")
    assert abs(len(found) - len(expected)) <= (2000 if lossy else 1)
    middle = slice(2000, 14000)
    torch.testing.assert_close(found[middle], expected[middle], atol=0.04 if lossy else 2e-3, rtol=0)


def test_8_bit_and_float_files_are_read(tmp_path: Path) -> None:
    ramp = np.linspace(-1, 32767 / 32768, RATE)
    write(tmp_path / "ramps" / "1.wav", ramp, subtype="FLOAT")
    write(tmp_path / "ramps" / "2.wav", ramp, subtype="PCM_U8")
    exact, coarse = waveforms(AudioFolder(tmp_path / "ramps"))
    expected = torch.from_numpy(ramp).float()
    torch.testing.assert_close(exact, expected, atol=1.01 / 65536, rtol=0)
    torch.testing.assert_close(coarse, expected, atol=1.01 / 128, rtol=0)


def test_floats_beyond_full_scale_are_scaled_down_as_a_whole_and_named(tmp_path: Path) -> None:
    top = folder(tmp_path)
    loud = np.linspace(-1.5, 1.5, RATE)
    write(top / "a" / "in_16_bits.wav", 20000 * loud, subtype="FLOAT")
    write(top / "b" / "a_little.wav", loud, subtype="FLOAT")
    for _ in range(2):  # decoded and read from the cache
        with pytest.warns(
            UserWarning, match=r": 1 of 14 files go beyond full scale, one 30,000 times.*in_16_bits.wav\.$"
        ):
            AudioData(AudioFolder(top)).setup()
    found = waveforms(AudioFolder(top))
    for place in (6, 13):  # in the order of their names
        torch.testing.assert_close(found[place], torch.from_numpy(loud / 1.5).float(), atol=1.01 / 32768, rtol=0)


def damage(top: Path, kind: str) -> Path:
    """A bad file among good ones; returns it."""
    path = top / "a" / f"{kind}.wav"
    if kind == "truncated":
        write(path, noise(99, 1.0))
        path.write_bytes(path.read_bytes()[:20000])
    elif kind == "truncated-flac":
        path = write(path.with_suffix(".flac"), noise(99, 1.0))
        path.write_bytes(path.read_bytes()[:15000])
    elif kind == "text":
        path.write_text("This is no sound at all, whatever its name says.\n" * 20)
    elif kind == "empty":
        path.touch()
    elif kind == "headonly":
        write(path, noise(99)[:0])
    elif kind == "silent":
        write(path, np.zeros(RATE))
    elif kind == "short":
        write(path, noise(99, 0.01))
    elif kind in ("nan", "infinite", "spike"):
        samples = noise(99)
        samples[100] = {"nan": np.nan, "infinite": -np.inf, "spike": 1e29}[kind]
        write(path, samples, subtype="FLOAT")
    return path


KINDS = {
    "truncated": "is cut short",
    "truncated-flac": "is (cut short|no sound that can be read)",
    "text": "is no sound that can be read",
    "empty": "is empty",
    "headonly": "is empty",
    "silent": "is silent",
    "short": "is shorter than min_seconds, 0.1 s",
    "nan": r"has samples that are no finite numbers \(NaN or infinity\)",
    "infinite": r"has samples that are no finite numbers \(NaN or infinity\)",
    "spike": "has samples so far beyond full scale that nothing is left of the others beside them",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_is_named_and_left_out_or_ends_the_run(tmp_path: Path, kind: str) -> None:
    top = folder(tmp_path)
    bad = damage(top, kind)
    module = AudioData(AudioFolder(top), batch_size=2)
    with pytest.warns(UserWarning, match=f"left out 1 of 13 files, each of which {KINDS[kind]}.*{bad.name}") as seen:
        module.setup()
    assert len(seen) == 1
    assert len(module.train_set) + len(module.validation_set) + len(module.test_set) == 12
    assert all(batch.inputs.abs().max() > 0 for batch in module.train_dataloader())
    for _ in range(2):  # decoded and read from the cache
        with pytest.raises(InputError, match=f"{bad.name} {KINDS[kind]}.*on_error"):
            AudioData(AudioFolder(top), on_error="stop").setup()


def test_many_bad_files_get_one_sentence_a_kind(tmp_path: Path) -> None:
    top = folder(tmp_path)
    for number in range(5):
        (top / "b" / f"empty{number}.wav").touch()
    damage(top, "text")
    with pytest.warns(UserWarning) as seen:
        AudioData(AudioFolder(top)).setup()
    messages = sorted(str(warning.message) for warning in seen)
    assert len(messages) == 2
    assert "left out 5 of 18 files" in messages[1] and "empty0.wav" in messages[1] and "2 more" in messages[1]
    for path in top.rglob("*.wav"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(InputError, match="no recording that can be used"):
        AudioData(AudioFolder(top)).setup()


def test_sounds_are_decoded_once_until_a_file_changes_or_the_copy_is_damaged(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    quantize = pcm.quantize
    monkeypatch.setattr(pcm, "quantize", lambda sound, rate: decoded.append(1) or quantize(sound, rate))
    source = AudioFolder(folder(tmp_path))
    first = waveforms(source)
    assert len(decoded) == 12 and len(list(cache.glob("*/samples.bin"))) == 1
    again = waveforms(source)
    assert len(decoded) == 12 and all(map(torch.equal, first, again))
    waveforms(source, 8000)
    assert len(decoded) == 24
    write(tmp_path / "sounds" / "a" / "00.wav", noise(0, 0.5))
    changed = waveforms(source)
    assert len(decoded) == 36 and len(changed[0]) == RATE // 2
    (copy,) = [path for path in cache.glob("*/samples.bin") if path.stat().st_size == 2 * sum(map(len, changed))]
    content = bytearray(copy.read_bytes())
    content[100] ^= 1
    copy.write_bytes(content)
    with pytest.warns(UserWarning, match="samples.bin.* is made again"):
        assert all(map(torch.equal, changed, waveforms(source)))
    assert len(decoded) == 48


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(pcm, "CACHE", tmp_path / "file" / "audio")
    with pytest.raises(InputError, match="cannot be written"):
        waveforms(AudioFolder(folder(tmp_path)))


def write_g722(path: Path, samples: np.ndarray) -> None:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def tone(frequency: float, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def debian(root: Path) -> Path:
    """A few files laid out as in Debian's packages."""
    for number, (voice, _) in enumerate(VOICES.values()):
        top = root / "usr/share/asterisk/sounds" / voice
        write_g722(top / "hello.g722", tone(300 + 100 * number))
        write_g722(top / "digits" / "5.g722", tone(200))
        write_g722(top / "letters" / "a.g722", tone(250))
        write_g722(top / "silence" / "1.g722", tone(0))
        write_g722(top / "beep.g722", tone(1000))
        (top / "is.g722").touch()
    voice = root / "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
    for number in (2, 1):
        write(voice / "wav" / f"ru_000{number}.wav", tone(100 * number, 1.0))
        lab = voice / "lab" / f"ru_000{number}.lab"
        lab.parent.mkdir(exist_ok=True)
        lab.write_text(f"#\n0.34200 125 pau\n0.5{number} 125 zz\n 1.0 125 a\n")
    return root


def test_prompts_are_labelled_by_language_voice_and_word(tmp_path: Path) -> None:
    loaded = Asterisk(debian(tmp_path)).load()
    assert len(loaded.recordings) == 15 and loaded.classes == ["en", "es", "fr", "it", "ru"]
    top = tmp_path / "usr/share/asterisk/sounds"
    names = [Path(recording.name).relative_to(top) for recording in loaded.recordings]
    for name, recording in zip(names, loaded.recordings, strict=True):
        assert loaded.classes[recording.label] == name.parts[0][:2]
        assert loaded.tasks["voice"][recording.tasks["voice"]] in name.parts[0]
        word = recording.tasks.get("word")
        assert (word is None) == (name.stem == "hello")
        if word is not None:
            assert WORDS[word] == "/".join(name.with_suffix("").parts[1:])
    (english, *_) = waveforms(Asterisk(tmp_path))
    digit = tone(200)[: len(english)]
    assert np.corrcoef(english[500:7000], digit[478:6978])[0, 1] > 0.98  # G.722 delays by 22 samples


def test_sentences_have_their_phones_and_times(tmp_path: Path) -> None:
    loaded = FestvoxRu(debian(tmp_path)).load()
    assert len(PHONES) == 51 and loaded.phones == PHONES and loaded.classes == []
    assert [Path(recording.name).stem for recording in loaded.recordings] == ["ru_0001", "ru_0002"]
    first = loaded.recordings[0].segments
    assert first is not None and first.ends.tolist() == [0.342, 0.51, 1.0]
    assert [PHONES[phone] for phone in first.phones] == ["pau", "zz", "a"]
    (tmp_path / "usr/share/festival/voices/russian/msu_ru_nsh_clunits/lab/ru_0001.lab").write_text("#\n0.1 125 qq\n")
    with pytest.raises(InputError, match=r"ru_0001[.]lab is missing or damaged"):
        FestvoxRu(tmp_path).load()


@pytest.mark.filterwarnings("ignore:.*exact copies:UserWarning")  # made to be alike
def test_both_together_are_one_set_of_five_languages(tmp_path: Path) -> None:
    module = AudioData(DebianSpeech(debian(tmp_path)), batch_size=2)
    module.setup()
    sentences = DebianSpeech(tmp_path).load().recordings[15:]
    assert [recording.label for recording in sentences] == [4, 4] and len(module.phones) == 51
    assert [module.task_classes["voice"][recording.tasks["voice"]] for recording in sentences] == ["nsh", "nsh"]
    parts = (module.train_set, module.validation_set, module.test_set)
    assert sum(segments is not None for part in parts for segments in part.segments) == 2
    with pytest.raises(InputError, match="unpack asterisk-core-sounds-en-g722"):
        DebianSpeech(tmp_path / "nowhere").load()


def test_missing_pyav_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"ssl_zoo\[speech\]"):
        AudioData(Asterisk(tmp_path)).setup()


def test_speech_commands_keeps_its_official_parts(tmp_path: Path) -> None:
    top = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    for word in ("yes", "no", "_background_noise_"):
        for number in range(3):
            write(top / word / f"abc{number}_nohash_0.wav", noise(number))
    (top / "testing_list.txt").write_text("yes/abc0_nohash_0.wav\nno/abc0_nohash_0.wav\n")
    (top / "validation_list.txt").write_text("no/abc2_nohash_0.wav\n")
    loaded = SpeechCommands(tmp_path).load()
    assert loaded.classes == ["no", "yes"]
    assert [(r.label, r.part) for r in loaded.recordings] == [
        (0, "test"), (0, "train"), (0, "validation"), (1, "test"), (1, "train"), (1, "train"),
    ]  # fmt: skip


def test_librispeech_is_labelled_by_speaker(tmp_path: Path) -> None:
    for subset, speaker in (("train-clean-100", 103), ("train-clean-100", 20), ("dev-clean", 7)):
        write(tmp_path / "LibriSpeech" / subset / str(speaker) / "1" / f"{speaker}-1-0000.flac", noise(speaker))
    loaded = LibriSpeech(tmp_path, ("train-clean-100", "dev-clean")).load()
    assert loaded.classes == ["7", "20", "103"] and [r.label for r in loaded.recordings] == [2, 1, 0]
    with pytest.raises(InputError, match="choose from"):
        LibriSpeech(tmp_path, ("train-clean",))


@pytest.mark.parametrize("make", [SpeechCommands, LibriSpeech])
def test_no_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., AudioSource]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    for module in ("speechcommands", "librispeech"):
        monkeypatch.setattr(f"torchaudio.datasets.{module}.download_url_to_file", fail)
    with pytest.raises(InputError, match=r"could not be downloaded.*no route to host"):
        make(tmp_path).load()


@pytest.mark.filterwarnings("ignore:.*exact copies:UserWarning")  # made to be alike
def test_hugging_face_rows_are_decoded_without_its_own_decoder(tmp_path: Path) -> None:
    import datasets

    paths = [str(write(tmp_path / f"{number}.wav", noise(number), 8000)) for number in range(4)]
    (tmp_path / "broken.wav").write_text("no sound")
    rows = {"clip": [*paths, str(tmp_path / "broken.wav")], "kind": [0, 1, 0, 1, 0]}
    split = datasets.Dataset.from_dict(rows).cast_column("clip", datasets.Audio())
    split = split.cast_column("kind", datasets.ClassLabel(names=["x", "y"]))
    stored = datasets.DatasetDict({"train": split, "holdout": split.select([0, 1])})
    stored.save_to_disk(str(tmp_path / "stored"))
    source = HuggingFaceAudio(str(tmp_path / "stored"), test_split="holdout")
    loaded = source.load()
    assert loaded.classes == ["x", "y"] and [r.label for r in loaded.recordings] == [0, 1, 0, 1, 0, 0, 1]
    assert [r.part == "test" for r in loaded.recordings] == [False] * 5 + [True] * 2
    found = waveforms(source, 8000)
    for number, waveform in enumerate(found[:4]):
        torch.testing.assert_close(waveform, torch.from_numpy(noise(number)[:, 0]).float(), atol=1.01 / 32768, rtol=0)
    with pytest.warns(UserWarning, match="row 4 of .*/train"):
        AudioData(source, batch_size=1).setup()
    with pytest.raises(InputError, match="set audio_column to clip"):
        HuggingFaceAudio(str(tmp_path / "stored"), audio_column="sound").load()
    with pytest.raises(InputError, match="no split called test"):
        HuggingFaceAudio(str(tmp_path / "stored"), test_split="test").load()


@pytest.mark.slow
def test_debian_has_five_languages_and_51_phones() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = AudioData(DebianSpeech())
        module.setup()
    assert module.classes == ["en", "es", "fr", "it", "ru"] and len(module.phones) == 51
    parts = (module.train_set, module.validation_set, module.test_set)
    spoken = {index for part in parts for index, segments in enumerate(part.segments) if segments is not None}
    minutes = {kind: 0.0 for kind in ("prompts", "sentences")}
    phones: set[int] = set()
    for part in parts:
        for size, segments in zip(part.sizes.tolist(), part.segments, strict=True):
            minutes["prompts" if segments is None else "sentences"] += size / RATE / 60
            phones.update([] if segments is None else segments.phones.tolist())
    assert spoken and phones == set(range(51))
    # 131 minutes of prompts with 5 of silence, beeps and monkeys.
    assert minutes["prompts"] == pytest.approx(125, abs=2) and minutes["sentences"] == pytest.approx(99.5, abs=0.5)


def test_official_parts_links_hidden_names_and_suffixes_of_sounds(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number, (part, label) in enumerate(product(("Train", "VALIDATION", "test"), ("10", "9"))):
        write(root / part / label / "1.wav", noise(number))
    (root / "Train" / "9" / "1.wav").rename(root / "Train" / "9" / "1.WAV")
    write(tmp_path / "elsewhere" / "2.flac", noise(6))
    (root / "Train" / "9" / "more").symlink_to(tmp_path / "elsewhere")
    write(root / "Train" / "9" / ".cache" / "1.wav", noise(7))
    (root / "test" / "notes.txt").write_text("no sound")
    with pytest.warns(UserWarning, match=r"left out files of another kind \(\.txt\): 1\.$"):
        loaded = AudioFolder(root).load()
    assert loaded.classes == ["9", "10"]
    assert [(r.label, r.part) for r in loaded.recordings] == [
        (1, "train"), (0, "train"), (0, "train"), (1, "validation"), (0, "validation"), (1, "test"), (0, "test"),
    ]  # fmt: skip


def test_two_folders_of_the_same_names_sizes_and_times_are_two_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who, seed in (("A", 0), ("B", 100)):
        for number in range(12):
            path = write(tmp_path / who / "data" / "xy"[number % 2] / f"{number}.wav", noise(seed + number))
            os.utime(path, (1_600_000_000, 1_600_000_000))
    shutil.copytree(tmp_path / "A", tmp_path / "C")
    sets = {}
    for who in "ABC":  # the path as it is typed is the same
        monkeypatch.chdir(tmp_path / who)
        sets[who] = AudioData(AudioFolder("data"))
        sets[who].setup()
    first, other, copy = ([batch.inputs for batch in sets[who].test_dataloader()] for who in "ABC")
    assert not any(map(torch.equal, first, other)) and all(map(torch.equal, first, copy))
    assert sets["A"].split_hash == sets["C"].split_hash != sets["B"].split_hash
    assert sets["A"].identity == sets["C"].identity != sets["B"].identity


def test_the_same_sounds_of_other_classes_are_another_data_set(tmp_path: Path) -> None:
    for who, labels in (("A", "xy"), ("B", "uv")):
        for number in range(12):
            write(tmp_path / who / labels[number % 2] / f"{number}.wav", noise(number))
    sets = [AudioData(AudioFolder(tmp_path / who)) for who in "AB"]
    for data in sets:
        data.setup()
    assert sets[0].split_hash != sets[1].split_hash


def test_copied_sounds_across_parts_are_counted(tmp_path: Path) -> None:
    for number, (part, label) in enumerate(product(("train", "val", "test"), "ab")):
        write(tmp_path / "root" / part / label / "1.wav", noise(number))
    write(tmp_path / "root" / "test" / "b" / "2.aiff", noise(0))  # of train/a, in another format
    data = AudioData(AudioFolder(tmp_path / "root"))
    with pytest.warns(UserWarning, match="1 of 5 recordings for validation and testing are exact copies"):
        data.setup()


def test_a_sounds_name_need_not_be_utf8(tmp_path: Path) -> None:
    for number, name in enumerate((b"caf\xe9.wav", b"a\nb.wav", "ünï.wav".encode()) * 4):
        folder = os.fsencode(tmp_path) + b"/data/" + str(number).encode()[:1]
        os.makedirs(folder, exist_ok=True)
        path = write(tmp_path / "x.wav", noise(number) if number else np.zeros((8000, 1)))
        path.rename(os.fsdecode(folder + b"/" + name))
    with pytest.warns(UserWarning, match=r"caf\\xe9\.wav"):  # the silent one
        AudioData(AudioFolder(tmp_path / "data")).setup()
