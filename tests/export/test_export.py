"""Exported encoders give the original outputs in a process that cannot import this package."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoTokenizer
from transformers.utils import logging

from ssl_zoo.batch import Batch
from ssl_zoo.cli import main, run
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.text.module import Documents
from ssl_zoo.decoders.recurrent import RecurrentDecoder
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.elmo import ElmoEncoder
from ssl_zoo.encoders.image_gpt import ImageGPTEncoder
from ssl_zoo.encoders.text_recurrent import GRUTextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.export.card import _data, write_card
from ssl_zoo.export.export import write_export
from ssl_zoo.export.program import save_program
from ssl_zoo.export.transformers_folder import without_bars
from ssl_zoo.methods.elmo import ELMo
from ssl_zoo.methods.ijepa import IJEPA
from ssl_zoo.methods.image_gpt import ImageGPT
from ssl_zoo.methods.translation import Translation
from ssl_zoo.runs.result_file import write_result
from ssl_zoo.runs.results import TaskScore
from tests.export.kinds import KINDS, LENGTH, SIZE, a_run, gru, images, make_run, texts, vit
from tests.made_results import made, score

# An exported program takes a second of tracing and half a one of loading, and these differ little from others.
VARIANTS = {
    "ResNet, narrow", "ResNet, bottlenecks", "ViT, grey", "wav2vec 2.0, norm over time",
    # Programs alone, as CausalConvEncoder's is; tests/runs/test_moved_data.py exports an AudioResNet, too.
    "Wav2Vec2Encoder on log-mel", "AudioResNet", "SplitResNet", "PatchResNet",
}  # fmt: skip
ASKED_FOR_BY_NAME = {"ResNet, as torchvision has it", "BERT"}

EACH_KIND = [pytest.param(each, marks=[pytest.mark.slow] * (each in VARIANTS)) for each in KINDS]

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "experiments" / "quickstart.yaml")

# Runs what a card says, and compares. The program first: it must need neither transformers nor torchvision.
STRANGER = """
import gc, os, re, sys
gc.disable()
for module in ("ssl_zoo", "lightning"):
    sys.modules[module] = None
import torch
torch.set_num_threads(1)
folders = sys.argv[1:]
for way in ("PyTorch alone", "torchvision", "transformers"):
    for folder in folders:
        os.chdir(folder)
        known = torch.load("../reference.pt")
        found = re.search(rf"### With {way}\\n.+?```python\\n(.+?)```", open("README.md").read(), re.DOTALL)
        if found is None:
            continue
        names = {}
        exec(found[1], names)
        given = known["inputs"]
        if way == "transformers":
            given = next((known[name],) for name in ("texts", "recordings", "pixels") if name in known)
            if "recordings" in known:
                given = ([each.numpy() for each in known["recordings"]],)
        pooled, sequence = names["encode"](*given)
        wanted = known["sequence"][:, : sequence.shape[1]]  # the library pads no further than it must
        real = known.get("real", torch.ones(wanted.shape[:2], dtype=torch.bool))[:, : sequence.shape[1]]
        difference = max(
            float((pooled - known["pooled"]).abs().max()), float((sequence - wanted)[real].abs().max())
        )
        spread = float(known["pooled"].std(0).max())
        print(f"{folder}|{way}|{difference}|{spread}")
    if way == "PyTorch alone":
        assert not {"transformers", "torchvision", "tokenizers"} & set(sys.modules)
"""


def all_texts(data) -> list[str]:
    lines = Path(data.source.root).read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def reference(loaded, folder: Path) -> None:
    """Inputs and the encoder's own outputs: another batch size, and other lengths, than the exporter saw."""
    data, encoder = loaded.data, loaded.method.encoder
    known = {}
    if encoder.modality == "text":
        known["texts"] = all_texts(data)
        batch = Documents(data.corpus, torch.arange(len(known["texts"])), LENGTH).__getitems__(list(range(40)))
        known["inputs"], known["real"] = (batch.inputs, batch.mask), batch.mask
    elif encoder.modality == "audio":
        batch = data.validation_set.__getitems__([0, 1, 2])
        known["inputs"] = batch.inputs, batch.mask
        known["recordings"] = [wave[real] for wave, real in zip(batch.inputs, batch.mask, strict=True)]
    else:
        batch = data.train_set.__getitems__(list(range(7)))
        known["inputs"], known["pixels"] = (batch.inputs / 255,), batch.inputs
    with torch.no_grad():
        encoded = encoder(batch.inputs, batch.mask)
    if encoder.modality == "audio":
        known["real"] = encoded.mask
    torch.save({**known, "pooled": encoded.pooled, "sequence": encoded.sequence}, folder / "reference.pt")


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory) -> dict[str, Path]:
    """Every kind of encoder that is asked for, exported."""
    asked = {item.callspec.params.get("kind") for item in request.session.items if hasattr(item, "callspec")}
    folders = {}
    for kind in filter((asked | ASKED_FOR_BY_NAME).__contains__, KINDS):
        folder = tmp_path_factory.mktemp("kind")
        loaded = make_run(kind, folder)
        write_export(loaded, folder / "out")
        reference(loaded, folder)
        folders[kind] = folder / "out"
    return folders


@pytest.fixture(scope="module")
def differences(exported) -> dict[tuple[str, str], tuple[float, float]]:
    """By folder and way of loading: the largest difference, and the spread of the outputs."""
    command = [sys.executable, "-I", "-c", STRANGER, *map(str, exported.values())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return {(folder, way): (float(difference), float(spread)) for folder, way, difference, spread in rows}


@pytest.mark.parametrize("kind", EACH_KIND)
def test_a_stranger_gets_the_original_outputs_by_following_the_card(exported, differences, kind):
    alone = "MLP SplitResNet PatchResNet SwitchBertEncoder BagOfTokens CausalConvEncoder AudioResNet".split()
    alone.append("Wav2Vec2Encoder on log-mel")
    library = {"ResNet": ["torchvision"], **{name: [] for name in alone}}.get(kind.split(",")[0], ["transformers"])
    folder = str(exported[kind])
    found = {way: values for (where, way), values in differences.items() if where == folder}
    assert list(found) == ["PyTorch alone", *library]
    for difference, spread in found.values():
        assert difference < 1e-5 < 1e-3 < spread


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # of torch.export.load itself
@pytest.mark.parametrize("kind", [each for each in EACH_KIND if each.values[0].startswith(("ResNet", "ViT", "MLP"))])
def test_programs_take_images_of_other_sizes_and_any_number_where_the_network_does(exported, kind, tmp_path):
    encoder, card = make_run(kind, tmp_path).method.encoder, (exported[kind] / "README.md").read_text()
    program = torch.export.load(exported[kind] / "encoder.pt2").module()
    if encoder(torch.rand(1, encoder.channels, SIZE, SIZE)).sequence.shape[1] == 1:  # one place, which has no others
        assert f"takes images of {SIZE} x {SIZE} pixels alone" in card
        with pytest.raises(AssertionError, match="Guard failed"):
            program(torch.rand(1, encoder.channels, 2 * SIZE, SIZE))
        return
    assert f"trained on images of {SIZE} x {SIZE} pixels and takes others" in card
    for count, height, width in ((1, SIZE, SIZE), (5, SIZE, SIZE), (1, 2 * SIZE, 2 * SIZE), (3, SIZE + 8, 3 * SIZE)):
        images = torch.rand(count, encoder.channels, height, width)
        with torch.no_grad():
            found, wanted = program(images), encoder(images)
        torch.testing.assert_close(found["pooled"], wanted.pooled, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found["sequence"], wanted.sequence, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", EACH_KIND)
def test_the_exported_folder_is_complete_for_the_hub(exported, kind):
    folder = exported[kind]
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {"README.md", "encoder.pt2"} <= set(files) and all(files.values())
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name in ("transformers", "pytorch") and card.data.pipeline_tag and card.data.tags
    if card.data.library_name == "transformers":
        assert {"config.json", "model.safetensors"} <= set(files)
        inputs = {"image": "preprocessor_config.json", "text": "tokenizer.json", "audio": "preprocessor_config.json"}
        assert inputs[card.data.tags[1]] in files
    for name in set(re.findall(r"\{folder\}/([\w.]+)", card.text)):
        assert name in files, name  # what its code reads lies beside it


def test_a_standard_resnet_goes_into_torchvisions_constructor_as_it_is(exported):
    from safetensors.torch import load_file
    from torchvision.models import resnet18

    network = resnet18()
    left = network.load_state_dict(
        load_file(exported["ResNet, as torchvision has it"] / "model.safetensors"), strict=False
    )
    assert left.missing_keys == ["fc.weight", "fc.bias"] and left.unexpected_keys == []


@pytest.mark.parametrize("kind", ["BERT", "BERT, first token", "ModernBERT", "GPT-2", "BagOfTokens"])
def test_the_exported_tokenizer_gives_the_ids_of_training(exported, kind, tmp_path):
    data = make_run(kind, tmp_path).data
    tokenizer = AutoTokenizer.from_pretrained(exported[kind])
    documents = Documents(data.corpus, torch.arange(40), LENGTH)
    lengths = set()
    for number, text in enumerate(all_texts(data)):
        (wanted,) = documents.__getitems__([number]).inputs.tolist()
        assert tokenizer(text, verbose=False)["input_ids"][:LENGTH] == wanted
        lengths.add(len(wanted))
    assert min(lengths) < max(lengths) == LENGTH  # uncut and cut
    assert tokenizer.pad_token_id == data.vocabulary["pad"] and tokenizer.mask_token_id == data.vocabulary["mask"]


def test_pairs_of_texts_get_the_segments_of_training(exported, tmp_path):
    data = make_run("BERT", tmp_path).data
    pair = AutoTokenizer.from_pretrained(exported["BERT"])("cat dog", "milk")
    begin, end = data.vocabulary["begin"], data.vocabulary["end"]
    assert pair["input_ids"][0] == begin and pair["input_ids"].count(end) == 2
    ends = (torch.tensor(pair["input_ids"]) == end).long()
    assert pair["token_type_ids"] == (ends.cumsum(0) - ends).tolist()


def test_the_card_is_one_for_the_hub_and_states_method_data_budget_and_results(tmp_path):
    loaded = make_run("MLP", tmp_path)
    accuracies = {"linear": {"5": 0.512, "all": 0.625}, "knn": {"5": 0.4, "all": 0.5}}
    rows = {
        name: {kind: {n: score(mean * scale) for n, mean in found.items()} for kind, found in accuracies.items()}
        for name, scale in {"SimCLR": 1.0, "raw inputs": 0.5}.items()
    }
    write_result(loaded.directory, made(rows=rows, tasks={}, layers={}))
    write_export(loaded, tmp_path / "out", licence="apache-2.0")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "apache-2.0" and "simclr" in card.data.tags
    found = {each.metric_name: (each.dataset_name, each.metric_value) for each in card.data.eval_results}
    assert found == {"linear probe, all labels": ("Noise", 62.5), "kNN probe, all labels": ("Noise", 50.0)}
    for shown in ("arXiv:2002.05709", "CC0-1.0", loaded.data.split_hash, "128 steps, 1,280 examples seen, 64 seconds",
                 "Abacus 3000", "| SimCLR | linear | 51.2 | 62.5 |", "| raw inputs | knn | 20.0 | 25.0 |"):  # fmt: skip
        assert shown in card.text, shown


@pytest.mark.parametrize(
    ("modality", "noun", "used"),
    [
        ("image", "images", "used the training part and the images without a label (3)."),
        ("audio", "recordings", "used the training part and the recordings without a label (3)."),
        ("text", "texts", "used rows packed from the training part and what has no labels."),
    ],
)
def test_the_card_says_what_was_pretrained_on_besides_the_training_part(tmp_path, monkeypatch, modality, noun, used):
    loaded = make_run("MLP", tmp_path)
    split = {"hash": "ab", "train": 10, "validation": 2, "test": 2, "pretrain": 13}
    monkeypatch.setattr(type(loaded.data), "split_record", lambda data: split)
    monkeypatch.setattr(type(loaded.data), "modality", modality)
    monkeypatch.setattr(type(loaded.data), "noun", noun)
    assert used in _data(loaded.data)


def test_the_card_has_the_mean_over_classes_where_they_differ_in_size(tmp_path):
    loaded = make_run("MLP", tmp_path)
    found = score(0.9, balanced=0.5)
    rows = {"SimCLR": {"linear": {"5": found, "all": found}, "knn": {"5": found, "all": found}}}
    write_result(loaded.directory, made(rows=rows, tasks={}, layers={}))
    write_export(loaded, tmp_path / "out")
    assert "| SimCLR | linear, mean over classes | 50.0 | 50.0 |" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_of_speech_has_its_tasks_also_where_there_are_no_classes(tmp_path):
    loaded = make_run("CausalConvEncoder", tmp_path)
    tasks = {"phones": {"Wav2Vec": TaskScore(0.725, None, [1.0]), "majority class": TaskScore(0.208, None, [])}}
    write_result(loaded.directory, made(method="Wav2Vec", rows={}, tasks=tasks, layers={}))
    write_card(loaded, [], None, tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert [(each.metric_name, each.metric_value) for each in card.data.eval_results] == [
        ("linear probe on weighted layers, phones", 72.5)
    ]
    assert "| phones | Wav2Vec | 72.5 |" in card.text and "| phones | majority class | 20.8 |" in card.text


def test_damaged_results_are_named(tmp_path):
    loaded = make_run("MLP", tmp_path)
    (loaded.directory / "results.json").write_text('{"rows": ')
    with pytest.raises(InputError, match=r"results\.json cannot be used, it is no JSON"):
        write_export(loaded, tmp_path / "out")


class Untraceable(Encoder):
    """Decides by a value of its input."""

    modality, dim, num_layers, stride = "image", 2, 1, 1

    def embed(self, inputs, mask=None):
        return Embedded(inputs.flatten(1)[:, None, : 2 if float(inputs.sum()) > 0 else 1], mask)

    def contextualize(self, embedded, *, places=None, layers=False):
        return Encoded(embedded.vectors, embedded.vectors[:, 0], embedded.mask)


def test_an_encoder_that_cannot_be_traced_is_refused_in_a_sentence(tmp_path):
    batch = Batch(torch.rand(2, 1, 4, 4), None, None, torch.arange(2))
    with pytest.raises(InputError, match=r"torch\.export cannot follow the encoder Untraceable"):
        save_program(Untraceable(), ImageData(), batch, tmp_path)


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch.export's own reader
@torch.no_grad()
def test_what_is_exported_is_what_was_evaluated_a_teacher_or_a_middle_layer(tmp_path):
    ijepa = IJEPA(vit(1, "mean", 0.5), predictor_dim=16, predictor_depth=1, predictor_heads=2)
    for parameter in ijepa.teacher.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    encoder = ImageGPTEncoder(SIZE, 1, colours=4, stride=8, dim=32, depth=2, heads=2)
    for method in (ijepa, ImageGPT(encoder, feature_layer=1)):
        folder = tmp_path / type(method).__name__
        loaded = a_run(method, images(1), folder)
        write_export(loaded, folder / "out")
        pixels = loaded.data.train_set.__getitems__(list(range(7))).inputs / 255
        found = torch.export.load(folder / "out" / "encoder.pt2").module()(pixels)
        expected = method.encode(Batch(pixels, None, None, torch.arange(7)))
        torch.testing.assert_close(found["pooled"], expected.pooled, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found["sequence"], expected.sequence, atol=1e-4, rtol=1e-4)
        assert (found["pooled"] - method.encoder(pixels).pooled).abs().max() > 0.01
    weights = load_file(tmp_path / "IJEPA" / "out" / "model.safetensors")
    ours = ijepa.teacher.module.state_dict()
    assert any(torch.equal(value, each) for value in weights.values() for each in ours.values() if each.ndim > 1)


def test_a_run_is_exported_from_the_command_line(tmp_path, capsys):
    options = ["--trainer.max_steps=2", "--data.batch_size=8", "--probe_after_fit=false", "--trainer.accelerator=cpu"]
    run(["fit", "--config", QUICKSTART, *options, "--runs_dir", str(tmp_path)])
    (directory,) = tmp_path.glob("quickstart/*")
    out = tmp_path / "out"
    run(["export", "--run", str(directory), "--out", str(out)])
    assert {path.name for path in out.iterdir()} == {"README.md", "encoder.pt2", "model.safetensors"}
    card = (out / "README.md").read_text()
    assert "has not been probed" in card and "2 steps, 16 examples seen" in card
    assert re.search(r"seconds of training on .*\d+ cores\.", card)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["export", "--run", str(directory), "--out", str(out)])
    assert "exists already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", "--run", str(tmp_path / "nowhere"), "--out", str(tmp_path / "new")])
    assert "no run at" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_recurrent_encoders_are_refused_in_a_sentence_before_anything_is_traced(tmp_path, monkeypatch):
    loaded, data = a_run(*gru(), tmp_path / "speech"), texts(tmp_path / "texts", "wordpiece")
    gru_of_texts, elmo = (
        Translation(GRUTextEncoder(data.vocabulary, 16), RecurrentDecoder(16)),
        ELMo(ElmoEncoder(data.vocabulary, data.spelling, **ElmoEncoder.tiny())),
    )
    monkeypatch.setattr(torch.export, "export", None)
    for number, each in enumerate(
        (loaded, *(loaded._replace(method=each, data=data) for each in (gru_of_texts, elmo)))
    ):
        out = tmp_path / str(number)
        with pytest.raises(
            InputError, match=r"^\w+ reads one place after the other, .* it cannot be exported\. `ssl-zoo"
        ):
            write_export(each, out)
        assert not list(out.iterdir())


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # PyTorch's own, on the way to the refusal
def test_a_loop_of_ones_own_that_is_traced_for_one_length_is_refused(tmp_path):
    loaded = a_run(*gru(), tmp_path)
    loaded.encoder.stepwise = False
    with pytest.raises(InputError, match=r"torch\.export cannot follow the encoder GRUEncoder"):
        write_export(loaded, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_no_bars_are_drawn_of_files_that_are_written_in_an_instant():
    before = logging.is_progress_bar_enabled()
    for drawn, change in ((True, logging.enable_progress_bar), (False, logging.disable_progress_bar)):
        change()
        with without_bars():
            assert not logging.is_progress_bar_enabled()
        assert logging.is_progress_bar_enabled() == drawn  # what else uses the library is left as it was
    (logging.enable_progress_bar if before else logging.disable_progress_bar)()
