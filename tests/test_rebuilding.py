"""What is built in Python comes back from its checkpoint alone."""

import gc
import weakref
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.text.module import TextData
from ssl_zoo.encoders.audio import Wav2Vec2Encoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.encoders.front_ends import WaveConvolutions
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.optim import Optimizer
from ssl_zoo.rebuilding import with_absolute_paths
from ssl_zoo.runs.run import load_run, rebuild
from ssl_zoo.views.image import DigitViews
from tests.made import write_images


def test_what_is_built_in_python_is_gone_when_nobody_has_it_any_more(tmp_path):
    gc.disable()
    try:
        built = [SimCLR(ResNet(10, 8, channels=1), DigitViews()), ImageData(ImageFolder(tmp_path), image_size=8)]
        left = [weakref.ref(each) for each in built]
        built.clear()
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()


def test_a_run_built_in_python_is_loaded_without_unpickling_code(tmp_path, monkeypatch):
    write_images(tmp_path / "images", 40, 2, (8, 8))
    monkeypatch.chdir(tmp_path)
    method = SimCLR(ResNet(10, 8, channels=1), DigitViews(noise=0.1), projection_hidden=32, projection_dim=16)
    data = ImageData(ImageFolder(Path("images"), channels=1), image_size=8, batch_size=16)
    trainer = L.Trainer(
        accelerator="cpu", max_steps=2, callbacks=[LastCheckpoint()], logger=CSVLogger(tmp_path, "runs", "one"),
        enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(method, datamodule=data)
    monkeypatch.chdir("/")  # the data's folder was given from where the run was started
    loaded = load_run(tmp_path / "runs" / "one")
    assert type(loaded.method) is SimCLR and loaded.method.views.settings["init_args"]["noise"] == 0.1
    for name, value in method.state_dict().items():
        assert torch.equal(value, loaded.method.state_dict()[name]), name
    assert loaded.data.split_hash == data.split_hash and loaded.data.order_seed == data.order_seed
    path = tmp_path / "runs" / "one" / "checkpoints" / "last.ckpt"
    assert type(L.LightningModule.load_from_checkpoint(path, weights_only=True)) is SimCLR


def test_settings_hold_parts_of_parts_and_defaults():
    settings = Wav2Vec2Encoder(WaveConvolutions(dim=16), dim=16, depth=1, heads=2).settings
    assert settings["class_path"] == "ssl_zoo.encoders.audio.Wav2Vec2Encoder"
    assert settings["init_args"]["front_end"]["init_args"]["dim"] == 16
    assert settings["init_args"]["sample_rate"] == 16000  # not given


def test_a_tokenizer_in_a_folder_is_found_from_any_other_and_a_name_stays_a_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    for given, kept in {"./mine": str(tmp_path / "mine"), "org/bert": "org/bert", "wordpiece": "wordpiece"}.items():
        assert with_absolute_paths(TextData, {"tokenizer": given, "length": 8}) == {"tokenizer": kept, "length": 8}


def test_an_optimizers_settings_come_back_wherever_a_checkpoint_has_them(tmp_path):
    given = Optimizer("adamw", 0.5, 0.1, warmup=0.3, betas=(0.8, 0.95), schedule="linear")
    method = SimCLR(ResNet(10, 8), DigitViews(), projection_hidden=8, projection_dim=4, optimizer=given)
    torch.save({"hyper_parameters": dict(method.hparams)}, tmp_path / "settings.ckpt")
    saved = torch.load(tmp_path / "settings.ckpt", weights_only=True)
    assert rebuild(saved).optimizer == given
    # As they were before the optimizer's settings had an argument of their own.
    old = {**saved["hyper_parameters"], "optimizer": "sgd", "learning_rate": 0.5, "weight_decay": 0.1, "warmup": 0.3}
    assert rebuild({"hyper_parameters": old}).optimizer == Optimizer("sgd", 0.5, 0.1, warmup=0.3)


class WithNetwork(Method):
    def __init__(self, encoder: Encoder, network: nn.Module) -> None:
        super().__init__(encoder)
        self.network = network

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.network(self.encoder(batch.inputs).pooled).square().mean()}


def test_what_no_setting_describes_is_left_out_with_a_warning_and_asked_for_on_loading():
    with pytest.warns(UserWarning, match="WithNetwork: its checkpoints leave out network, which no setting describes"):
        method = WithNetwork(ResNet(10, 8), nn.Linear(64, 2))
    assert "network" not in method.hparams
    with pytest.raises(InputError, match=r"WithNetwork cannot be built again: .* given network, which"):
        rebuild({"hyper_parameters": dict(method.hparams)})


class InMemory(ImageSource):
    name, licence, channels, image_size = "InMemory", "none", 1, 8

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def load(self) -> LoadedImages:
        return LoadedImages(ArrayImages(self.pixels, None), None, None, [])


def test_a_source_that_no_setting_describes_is_never_replaced_by_the_default():
    with pytest.warns(UserWarning, match="ImageData: its checkpoints leave out source"):
        data = ImageData(InMemory(torch.zeros(40, 1, 8, 8, dtype=torch.uint8)))
    with pytest.raises(InputError, match=r"ImageData cannot be built again: .* given source, which"):
        rebuild({"hyper_parameters": dict(data.hparams)})


def test_a_class_that_is_not_there_any_more_is_named():
    with pytest.raises(InputError, match=r"nowhere_at_all\.Method cannot be built again .*nowhere_at_all"):
        rebuild({"hyper_parameters": {"_class_path": "nowhere_at_all.Method"}})


def test_a_wrong_argument_is_refused_in_the_constructors_words():
    with pytest.raises(TypeError, match=r"ResNet\.__init__\(\) got an unexpected keyword argument 'widht'"):
        ResNet(10, widht=8)


@pytest.mark.parametrize(
    ("kind", "source", "advice"),
    [
        (ImageData, "Digits", r"in Python give it Digits\(\.\.\.\), of ssl_zoo\.data\.image\.sources\.digits"),
        (ImageData, ImageFolder, r"in Python give it ImageFolder\(\.\.\.\), of ssl_zoo"),
        (ImageData, "photographs", "in Python give it an object of your own ImageSource or of one in ssl_zoo"),
        (TextData, "WordNet", r"in Python give it WordNet\(\.\.\.\)"),
        (AudioData, "AudioFolder", r"in Python give it AudioFolder\(\.\.\.\)"),
    ],
)
def test_the_name_of_a_source_is_for_yaml_and_python_wants_an_object(kind, source, advice):
    with pytest.raises(InputError, match=advice) as error:
        kind(source)
    assert str(error.value).startswith(f"{kind.__name__}: source is ") and "\n" not in str(error.value)


@pytest.mark.parametrize("rate", [2.0, -1, float("nan")])
def test_a_rate_of_dropout_that_is_none_has_a_sentence_in_whatever_class(rate):
    with pytest.raises(InputError, match=r"^ViT: dropout is .*; give a probability between 0 and 1\.$"):
        ViT(8, dropout=rate)


def test_a_rate_of_dropout_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match=r"^ViT: dropout is 1, which leaves nothing"):
        ViT(8, dropout=1.0)
