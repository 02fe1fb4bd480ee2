"""Every method continues from published weights, and its run needs them no more once it has begun."""

import json
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from transformers import BertConfig, BertModel

from ssl_zoo.cli import run
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.byol import BYOL
from ssl_zoo.runs.run import load_run, rebuild, rebuild_as_loaded
from ssl_zoo.views.image import DigitViews
from tests.made import vocabulary

HEADS = {"projection_hidden": 32, "projection_dim": 16}


def write(folder: Path) -> Path:
    """A file of weights for grey images."""
    torch.manual_seed(3)
    path = folder / "weights.pth"
    torch.save(ResNet(10, 8, channels=1).state_dict(), path)
    return path


def fit(tmp_path: Path, *options: str) -> Path:
    """A BYOL of two steps on digits; returns its run directory."""
    before = set(tmp_path.glob("runs/*/*"))
    run(["fit", "--model=BYOL", "--model.encoder=ResNet", "--model.views=DigitViews", "--model.projection_hidden=32",
         "--model.projection_dim=16", "--data=ImageData", "--data.train_size=64", "--data.batch_size=32",
         "--trainer.max_steps=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
         "--trainer.precision=32-true", "--trainer.limit_val_batches=0", "--data.test_fraction=0.1",
         f"--runs_dir={tmp_path / 'runs'}", "--probe.draws=1", "--probe.labels_per_class=[1]", *options])  # fmt: skip
    (created,) = set(tmp_path.glob("runs/*/*")) - before
    return created


@pytest.fixture(scope="module")
def continued(tmp_path_factory) -> tuple[Path, Path]:
    """A run that continued from a file, at a learning rate that changes nothing, and the file."""
    folder = tmp_path_factory.mktemp("continued")
    path = write(folder)
    normalization = ["--model.encoder.mean=0.3", "--model.encoder.std=0.3"]
    options = [*normalization, f"--model.encoder.pretrained={path}", *rate("1e-12")]
    return fit(folder, *options), path


def rate(value: str) -> list[str]:
    return [f"--model.optimizer.learning_rate={value}"]


def test_results_show_the_encoder_before_beside_after(continued):
    directory, path = continued
    record = json.loads((directory / "results.json").read_text())
    assert list(record["rows"]) == ["BYOL", "before", "raw inputs", "supervised"]
    assert record["pretrained"] == str(path)
    # As good as nothing was learnt, and batch norm has moved its statistics in two steps by a fifth.
    loaded = rebuild_as_loaded(load_run(directory).checkpoint)
    for name, value in torch.load(path).items():
        assert torch.equal(loaded.encoder.state_dict()[name], value)


def test_the_checkpoint_rebuilds_without_the_file(continued, tmp_path, untraced):
    directory, path = continued
    hidden = path.rename(path.with_name("elsewhere.pth"))
    try:
        saved = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
        for method in (
            L.LightningModule.load_from_checkpoint(directory / "checkpoints" / "last.ckpt", weights_only=True),
            load_run(directory).method,
        ):
            assert all(torch.equal(value, saved["state_dict"][name]) for name, value in method.state_dict().items())
        run(["export", f"--run={directory}", f"--out={tmp_path / 'out'}"])
        assert (tmp_path / "out" / "encoder.pt2").is_file()
        with pytest.raises(InputError, match="names no library"):
            rebuild_as_loaded(saved)
        again = tmp_path / "runs" / "byol" / "again"
        shutil.copytree(directory, again)
        run(["probe", f"--run={again}", "--draws=1", "--labels_per_class=[1]", "--layers=false"])
        record = json.loads((again / "results.json").read_text())
        assert list(record["rows"]) == ["BYOL", "untrained encoder", "raw inputs"]
        assert any("before" in remark and str(path) in remark for remark in record["remarks"])
    finally:
        hidden.rename(path)


def test_other_weights_under_the_same_name_are_no_row(continued):
    directory, path = continued
    content, checkpoint = path.read_bytes(), load_run(directory).checkpoint
    state = torch.load(path)
    state["conv1.weight"][0, 0, 0, 0] += 1
    torch.save(state, path)
    try:
        with pytest.raises(InputError, match="other weights now"):
            rebuild_as_loaded(checkpoint)
    finally:
        path.write_bytes(content)


def test_a_method_built_in_python_is_rebuilt_without_the_file(tmp_path):
    path = write(tmp_path)
    encoder = ResNet(channels=1, mean=0.3, std=0.3, pretrained=str(path))
    method = BYOL(encoder, DigitViews(), **HEADS)
    path.unlink()
    again = rebuild({"hyper_parameters": dict(method.hparams)})
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in method.state_dict().items()
    }
    assert not torch.equal(again.encoder.conv1.weight, method.encoder.conv1.weight)
    assert torch.equal(method.encoder.conv1.weight, method.target_encoder.module.conv1.weight)


def test_a_run_is_continued_by_another_method(continued):
    directory, _ = continued
    weights = load_run(directory).method.encoder.state_dict()
    encoder = ResNet(channels=1, pretrained=str(directory))
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())
    assert encoder.normalize.mean.item() == pytest.approx(0.3)
    with pytest.raises(InputError, match="has trained a ResNet and this encoder is a ViT"):
        ViT(pretrained=str(directory))
    with pytest.raises(InputError, match="stem is large"):
        ResNet(channels=1, stem="large", pretrained=str(directory))


def test_a_vit_of_a_run_keeps_its_kind_of_positions(tmp_path):
    vit = ["--model.encoder=ViT", "--model.encoder.patch_size=4", "--model.encoder.dim=16", "--model.encoder.heads=2",
           "--model.encoder.depth=1", "--model.encoder.positions=sincos", "--model.encoder.pooling=mean"]  # fmt: skip
    directory = fit(tmp_path, *vit, "--probe_after_fit=false", "--model.encoder.mean=0.3")
    method, encoder = load_run(directory).method, ViT(8, channels=1, pretrained=str(directory))
    images = torch.rand(2, 1, 8, 8)
    assert (encoder.positions, encoder.pooling) == ("sincos", "mean")
    assert "model.embeddings.position_embeddings" in dict(encoder.named_buffers())
    torch.testing.assert_close(encoder.eval()(images).pooled, method.encoder(images).pooled)


def test_the_teacher_is_continued_where_a_method_evaluates_it(continued, monkeypatch, tmp_path):
    monkeypatch.setattr(BYOL, "evaluated", "target_encoder.module", raising=False)
    encoder = ["--model.encoder.depth=10", "--model.encoder.width=8"]
    directory = fit(tmp_path, *encoder, "--probe_after_fit=false", *rate("0.5"))
    method = load_run(directory).method
    assert not torch.equal(method.encoder.conv1.weight, method.target_encoder.module.conv1.weight)
    found = ResNet(channels=1, pretrained=str(directory))
    assert torch.equal(found.conv1.weight, method.target_encoder.module.conv1.weight)


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"no checkpoints/last\.ckpt that can be read"):
        ResNet(pretrained=str(tmp_path))


def test_a_text_encoder_is_rebuilt_without_its_folder(tmp_path):
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}
    BertModel(BertConfig(**sizes, intermediate_size=24)).save_pretrained(tmp_path / "bert")
    encoder = BertEncoder(vocabulary(40), pretrained=str(tmp_path / "bert"))
    shutil.rmtree(tmp_path / "bert")
    again = BertEncoder(**encoder.settings["init_args"])
    again.load_state_dict(encoder.state_dict())
    ids = torch.tensor([[1, 7, 8, 2]])
    assert torch.equal(again.eval()(ids).sequence, encoder.eval()(ids).sequence)
