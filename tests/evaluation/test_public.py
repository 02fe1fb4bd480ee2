"""Published encoders, from files that are written here: no test asks the network."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertModel,
    ConvNextConfig,
    ConvNextImageProcessor,
    ConvNextModel,
    HubertConfig,
    HubertModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    Wav2Vec2FeatureExtractor,
)

from ssl_zoo.batch import Batch
from ssl_zoo.cli import main, run
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.kept_features import load_features
from ssl_zoo.evaluation.public_encoders import load_public
from ssl_zoo.export.transformers_folder import save_tokenizer
from ssl_zoo.probes import weighted_layers
from tests.made import Tones, write_texts

SIZE = 16
STATISTICS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    """A ViT for colour images of 16 pixels, with a head that has nothing to do with features."""
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                       image_size=SIZE, patch_size=8)  # fmt: skip
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": SIZE, "width": SIZE}, **STATISTICS).save_pretrained(folder)
    return folder


def batch_of(data: ImageData) -> Batch:
    data.setup()
    return data.test_set.__getitems__(list(range(5)))


def prepared(batch: Batch) -> torch.Tensor:
    """Grey digits of 8 pixels in colour, in size and in the authors' units."""
    images = F.interpolate(batch.inputs.repeat(1, 3, 1, 1) / 255, (SIZE, SIZE), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(STATISTICS[name]).view(3, 1, 1) for name in ("image_mean", "image_std"))
    return (images - mean) / std


@pytest.mark.parametrize("pooling", ["auto", "cls", "mean"])
def test_a_vit_of_transformers_gives_its_class_token_or_the_mean_of_its_patches(vit, pooling):
    data = ImageData()
    encoder = load_public(f"transformers:{vit}", data, pooling=pooling)
    batch = batch_of(data)
    with torch.no_grad():
        found, states = encoder(batch), ViTModel.from_pretrained(vit).eval()(prepared(batch)).last_hidden_state
    wanted = states[:, 1:].mean(1) if pooling == "mean" else states[:, 0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_every_layer_of_a_vit_is_given_without_its_class_token(vit):
    data = ImageData()
    encoder = load_public(f"transformers:{vit}", data)
    batch = batch_of(data)
    with torch.no_grad():
        found = encoder.encode(batch, layers=True)
        states = ViTModel.from_pretrained(vit).eval()(prepared(batch), output_hidden_states=True).hidden_states
    assert len(found.layers) == len(states) == 2 and torch.equal(found.pooled, encoder(batch))
    for ours, theirs in zip(found.layers, states, strict=True):
        torch.testing.assert_close(ours, theirs[:, 1:], atol=1e-5, rtol=1e-4)


def test_a_convolutional_network_of_transformers_gives_the_mean_of_its_map(tmp_path):
    torch.manual_seed(0)
    model = ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 8, 12], depths=[1, 1, 1, 1], patch_size=2)).eval()
    model.save_pretrained(tmp_path)
    ConvNextImageProcessor(size={"shortest_edge": SIZE}, **STATISTICS).save_pretrained(tmp_path)
    data = ImageData()
    encoder = load_public(f"transformers:{tmp_path}", data)
    batch = batch_of(data)
    with torch.no_grad():
        wanted = model(prepared(batch)).last_hidden_state.mean((2, 3))
        torch.testing.assert_close(encoder(batch), wanted, atol=1e-5, rtol=1e-4)


def test_untrained_means_other_weights_of_the_same_shapes(vit):
    trained, untrained = (load_public(f"transformers:{vit}", ImageData(), trained=trained) for trained in (True, False))
    ours, others = trained.state_dict(), untrained.state_dict()
    shared = [name for name in ours if name in others and ours[name].std() > 0]
    assert len(shared) > 5 and all(ours[name].shape == others[name].shape for name in shared)
    assert not any(torch.equal(ours[name], others[name]) for name in shared)


def test_torchvision_takes_a_file_with_or_without_the_classifier(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "whole.pth")
    kept = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    save_file(kept, tmp_path / "headless.safetensors")
    network.fc = torch.nn.Identity()
    data = ImageData()
    batch = batch_of(data)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    images = F.interpolate(batch.inputs.repeat(1, 3, 1, 1) / 255, (32, 32), mode="bilinear", antialias=True)
    for file in ("whole.pth", "headless.safetensors"):
        encoder = load_public("torchvision:resnet18", data, weights=tmp_path / file, image_size=32)
        with torch.no_grad():
            torch.testing.assert_close(encoder(batch), network((images - mean) / std), atol=1e-4, rtol=1e-4)


def test_timm_gives_what_its_model_gives_without_classifier(tmp_path):
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=3).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    network.reset_classifier(0)
    data = ImageData()
    encoder = load_public("timm:resnet10t", data, weights=tmp_path / "weights.pth", image_size=32)
    batch = batch_of(data)
    mean, std = (torch.tensor(network.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    images = F.interpolate(batch.inputs.repeat(1, 3, 1, 1) / 255, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        torch.testing.assert_close(encoder(batch), network((images - mean) / std), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.jsonl")


@pytest.fixture(scope="module")
def bert(texts, tmp_path_factory) -> Path:
    """A BERT with a tokenizer of its own, made of half the words."""
    folder = tmp_path_factory.mktemp("bert")
    data = TextData(TextFiles(texts), vocab_size=90, train_size=40)
    data.setup()
    torch.manual_seed(0)
    config = BertConfig(vocab_size=data.vocabulary["size"], hidden_size=16, num_hidden_layers=1,
                        num_attention_heads=2, intermediate_size=32)  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    save_tokenizer(data.corpus.tokenizer, 64, True, folder)
    return folder


@pytest.mark.parametrize("pooling", ["auto", "cls"])
def test_a_text_encoder_brings_its_tokenizer_and_ignores_padding(bert, texts, pooling):
    data = TextData(TextFiles(texts), length=32)
    encoder = load_public(f"transformers:{bert}", data, pooling=pooling)
    assert data.tokenizer == str(bert)
    data.setup()
    batch = data.test_set.__getitems__(list(range(8)))
    assert batch.mask is not None and not batch.mask.all()
    model = BertModel.from_pretrained(bert, add_pooling_layer=False).eval()
    with torch.no_grad():
        found = encoder(batch)
        for row, ids, real in zip(found, batch.inputs, batch.mask, strict=True):
            states = model(ids[real][None]).last_hidden_state[0]
            torch.testing.assert_close(row, states.mean(0) if pooling == "auto" else states[0], atol=1e-5, rtol=1e-4)


def test_the_command_leaves_results_like_a_runs(vit, tmp_path, capsys):
    command = ["probe-public", "--encoder", f"transformers:{vit}", "--data", "ImageData", "--data.source", "Digits",
               "--data.train_size=100", "--data.test_fraction=0.1",
               "--draws=2", "--labels_per_class=[2]", f"--runs_dir={tmp_path}"]  # fmt: skip
    run(command)
    (directory,) = (tmp_path / "public").iterdir()
    record = json.loads((directory / "results.json").read_text())
    data = ImageData(train_size=100, test_fraction=0.1)
    data.setup()
    assert record["method"] == "public" and record["encoder"] == f"transformers:{vit}"
    assert record["data"]["split"] == data.split_hash and record["data"]["train"] == 100
    assert list(record["rows"]) == [f"transformers:{vit}", "untrained encoder", "raw inputs"]
    assert list(record["layers"]) == [f"transformers:{vit}", "untrained encoder"]
    assert {len(found["test"]) for found in record["layers"].values()} == {2}
    model = ViTModel.from_pretrained(vit, add_pooling_layer=False)
    assert record["parameters"] == sum(each.numel() for each in model.parameters())
    assert {path.name for path in (directory / "figures").iterdir()} == {"label_efficiency.png", "feature_map.png"}
    assert len(load_features(directory / "features.npz").labels) == len(data.test_set)
    assert "as published, on Digits" in " ".join(capsys.readouterr().out.split())
    run(command)  # takes the place of the first
    assert len(list((tmp_path / "public").iterdir())) == 1
    assert json.loads((directory / "results.json").read_text()) == record
    run([*command, "--pooling=mean", "--layers=false"])  # stands beside it
    assert len(list((tmp_path / "public").iterdir())) == 2


def test_the_command_takes_text(bert, texts, tmp_path):
    run(["probe-public", "--encoder", f"transformers:{bert}", "--data", "TextData", "--data.source", "TextFiles",
         f"--data.source.root={texts}", "--data.length=32", "--draws=1", "--labels_per_class=[2]",
         "--runs_dir", str(tmp_path)])  # fmt: skip
    (path,) = tmp_path.rglob("results.json")
    record = json.loads(path.read_text())
    assert list(record["rows"]) == [f"transformers:{bert}", "untrained encoder", "tf-idf"]
    assert {len(found["test"]) for found in record["layers"].values()} == {2}
    assert record["modality"] == "text"


@pytest.fixture(scope="module")
def hubert(tmp_path_factory) -> Path:
    """A HuBERT of two layers."""
    folder = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(0)
    sizes = {"conv_dim": [16] * 3, "conv_kernel": [10, 8, 4], "conv_stride": [5, 4, 4], "hidden_size": 32,
             "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
             "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}  # fmt: skip
    HubertModel(HubertConfig(**sizes)).save_pretrained(folder)
    return folder


def test_a_model_of_speech_is_evaluated_in_all_tasks_beside_the_baselines(hubert, tmp_path, monkeypatch):
    data = AudioData(Tones())
    data.prepare_data()
    data.setup("test")
    batch = data.test_set.__getitems__([1])
    encoder = load_public(f"transformers:{hubert}", data)
    library = HubertModel.from_pretrained(hubert).eval()
    wave = Wav2Vec2FeatureExtractor()(batch.inputs[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        wanted = library(**wave).last_hidden_state.mean(1)
        torch.testing.assert_close(encoder(*batch[:2]).pooled, wanted, atol=1e-5, rtol=1e-4)

    monkeypatch.setattr(weighted_layers, "STEPS", 20)
    run(["probe-public", "--encoder", f"transformers:{hubert}", "--data=AudioData",
         "--data.source=tests.made.Tones", "--labels_per_class=[2]", "--draws=2",
         f"--runs_dir={tmp_path}"])  # fmt: skip
    (path,) = tmp_path.glob("public/*/results.json")
    record = json.loads(path.read_text())
    name = f"transformers:{hubert}"
    assert list(record["rows"]) == [name, "untrained encoder", "log-mel statistics"]
    assert list(record["tasks"]["phones"])[:2] == [name, "untrained encoder"] and record["modality"] == "audio"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["resnet18"], "write torchvision:NAME, timm:NAME or transformers:NAME_OR_FOLDER"),
        (["torchvison:resnet18"], "did you mean 'torchvision'"),
        (["torchvision:resnet81"], "torchvision has no classifier 'resnet81', did you mean 'resnet18'"),
        (["torchvision:resnet18", "--weights=nowhere.pth"], "there is no file nowhere.pth"),
        (["torchvision:resnet18", "--weights={damaged}"], "does not fit torchvision:resnet18"),
        (["transformers:{damaged}"], "could not be had"),
        (["transformers:{vit}", "--weights=x.pth"], "name it as transformers:FOLDER"),
        (["transformers:{vit}", "--image_size=7"], "cannot read images of 7 x 7 pixels"),
        (["transformers:{bert}"], "is a bert model, which reads no image"),
        (["torchvision:resnet18", "--data=AudioData"], "torchvision has no encoders of speech"),
        (["transformers:{bert}", "--data=AudioData"], "is a bert model and this encoder reads wav2vec2 or hubert"),
        (["transformers:{bert}", "--data=AudioData", "--pooling=cls"], "a model of speech has no class token"),
        (["transformers:{vit}", "--data.train_size=0"], "train_size is 0"),
        (["transformers:{vit}", "--draws=0"], "probe-public: draws is 0: it must be at least 1"),
    ],
)
def test_mistakes_get_one_sentence(vit, bert, tmp_path, capsys, options, sentence):
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(b"half a file")
    name, *others = (option.format(vit=vit, bert=bert, damaged=damaged) for option in options)
    with pytest.raises(SystemExit) as stopped:
        main(["probe-public", "--encoder", name, "--data=ImageData", f"--runs_dir={tmp_path / 'runs'}", *others])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and "Traceback" not in error
    assert sentence in error.strip().splitlines()[-1]  # after the bars of loading
    assert not (tmp_path / "runs").exists()


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    def unreachable(*args, **settings):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("torch.hub.get_dir", lambda: "/nowhere/at/all")
    monkeypatch.setattr("os.makedirs", lambda *args, **settings: None)
    with pytest.raises(InputError, match=r"torchvision:resnet18 could not be had .OSError.: check the network"):
        load_public("torchvision:resnet18", ImageData())


def test_timm_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="uv run --extra timm"):
        load_public("timm:resnet10t", ImageData())
