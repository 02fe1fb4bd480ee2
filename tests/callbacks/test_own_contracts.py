"""Own classes that break their contract, one mistake each, tried on one batch as at the start of a run."""

import warnings
from typing import ClassVar

import lightning as L
import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.own_classes import OwnClasses
from ssl_zoo.callbacks.own_contracts import check_data, check_decoder, check_encoder, check_losses, check_views
from ssl_zoo.callbacks.own_hooks import check_hooks
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources import contract
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.decoders.base import Decoder
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.image import ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.randomness import uniform
from ssl_zoo.tasks.labels import ExampleLabels
from ssl_zoo.views.base import Views

BATCH = Batch(torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8), None, None, torch.arange(4))
KEYS = torch.arange(4)


def own(name, base, attributes):
    """A class as if it were written in this file."""
    return type(name, (base,), {"__module__": __name__, **attributes})


class Patches(Encoder):
    modality, num_layers, stride, dim = "image", 1, 4, 6

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(1, self.dim, 4, 4)

    def embed(self, inputs, mask=None):
        return Embedded(self.patches(inputs).flatten(2).mT)

    def contextualize(self, embedded, *, places=None, layers=False):
        vectors = embedded.vectors
        return self.changed(Encoded(vectors, vectors.mean(1), None, (vectors,) if layers else ()))

    def changed(self, encoded):
        return encoded


def encoder(**overridden):
    return own("Mine", Patches, overridden)()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda self, it: it.pooled, "contextualize gives a tensor of torch.float32 and shape (4, 6)"),
        (lambda self, it: it._replace(pooled=it.sequence), "gives pooled vectors of shape (4, 4, 6)"),
        (lambda self, it: it._replace(pooled=it.pooled[:, :5]), "they are one per example, (4, 6), as dim says"),
        (lambda self, it: it._replace(pooled=it.pooled[:2]), "gives pooled vectors of shape (2, 6)"),
        (lambda self, it: it._replace(pooled=it.pooled.double()), "gives a tensor of torch.float64 and shape (4, 6)"),
        (lambda self, it: it._replace(pooled=it.pooled / 0), "a vector that is no finite number"),
        (lambda self, it: it._replace(sequence=it.sequence[:, :, :3]), "a sequence of shape (4, 4, 3)"),
        (lambda self, it: it._replace(layers=it.layers * 2), "2 layers, and its num_layers is 1"),
        (lambda self, it: it._replace(layers=(it.sequence,)), "layers that nobody asked for"),
        (lambda self, it: it._replace(prefix=it.sequence[:, :1]), "gives 1 vectors in front of the sequence"),
        (lambda self, it: it.nothing, "failed with AttributeError: "),
    ],
)
def test_an_encoder(change, sentence):
    with pytest.raises(InputError, match=r"test_own_contracts.py, line \d+\): ") as refused:
        check_encoder(encoder(changed=change), BATCH)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_an_encoder_that_gives_or_takes_something_else():
    with pytest.raises(InputError, match=r"Mine.embed gives a tensor .*: return Embedded\(vectors\)"):
        check_encoder(encoder(embed=lambda self, inputs, mask=None: self.patches(inputs)), BATCH)
    with pytest.raises(InputError, match=r"Mine.contextualize failed with TypeError: .*unexpected keyword"):
        check_encoder(encoder(contextualize=lambda self, embedded: None), BATCH)
    pixels = {"contents": lambda self, inputs, mask=None: torch.zeros(len(inputs), 4, 16)}
    with pytest.raises(
        InputError, match=r"Mine.contents gives numbers of shape \(4, 4, 16\) .*they are \(4, 4, 48\), of"
    ):
        check_encoder(encoder(content_dim=48, **pixels), BATCH)
    check_encoder(encoder(content_dim=16, **pixels), BATCH)
    check_encoder(encoder(), BATCH)


class Twice(Views):
    views_per_example = 2

    def forward(self, inputs, keys, fields=None):
        return self.changed(torch.cat([inputs, inputs.flip(3)]).float() / 255, keys)

    def changed(self, views, keys):
        return views


def views(**overridden):
    return own("Mine", Twice, overridden)()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda self, it, keys: it[:4], "2 views of each of 4 examples are to be one tensor like (8, 1, 8, 8)"),
        (lambda self, it, keys: it.unflatten(0, (2, 4)), "shape (2, 4, 1, 8, 8)"),
        (lambda self, it, keys: [it, it], "gives a list"),
        (lambda self, it, keys: (255 * it).byte(), "return floats, images in [0, 1]"),
        (lambda self, it, keys: it.double(), "gives a tensor of torch.float64"),
        (lambda self, it, keys: 255 * it, "images in [0, 1]: bytes are divided by 255"),
        (lambda self, it, keys: it.expand(-1, 3, -1, -1), "makes 3 channels of 1"),
        (lambda self, it, keys: it * float("nan"), "a view that is no finite number"),
    ],
)
def test_views(change, sentence):
    with pytest.raises(InputError, match=r"^Mine.forward .*test_own_contracts.py, line \d+\): ") as refused:
        check_views(views(changed=change), BATCH, KEYS, "image")
    assert sentence in str(refused.value)


def test_views_that_take_too_little_or_do_not_say_their_number():
    with pytest.raises(InputError, match=r"Mine.forward failed with TypeError: .* takes 2 positional arguments"):
        check_views(views(forward=lambda self, inputs: inputs), BATCH, KEYS, "image")
    kind = own("Uncounted", Views, {"forward": Twice.forward})
    with pytest.raises(InputError, match=r"^Uncounted .* does not say its views_per_example: set it in the class"):
        check_views(kind(), BATCH, KEYS, "image")


def test_views_that_draw_from_elsewhere_than_their_keys_are_named():
    with pytest.warns(UserWarning, match="gives other views when it is called again with the same keys"):
        check_views(views(changed=lambda self, it, keys: it * torch.rand(1)), BATCH, KEYS, "image")
    check_views(
        views(changed=lambda self, it, keys: it * uniform(keys, 1, 1, 1).repeat(2, 1, 1, 1)), BATCH, KEYS, "image"
    )


class Mean(Method):
    def losses(self, batch):
        return self.changed({"loss": self.encoder(batch.inputs).pooled.square().mean()})

    def changed(self, terms):
        return terms


def method(**overridden):
    return own("Mine", Mean, overridden)(Patches())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda self, it: it["loss"], "return a dictionary"),
        (lambda self, it: None, "gives a NoneType"),
        (lambda self, it: {"los": it["loss"]}, 'gives no "loss" but los'),
        (lambda self, it: {}, 'gives no "loss" but nothing'),
        (lambda self, it: {"loss": it["loss"].expand(3)}, 'shape (3,) as "loss"'),
        (lambda self, it: it | {"more": torch.zeros(2)}, 'shape (2,) as "more"'),
        (lambda self, it: it | {"more": "a lot"}, 'gives a str as "more"'),
        (lambda self, it: {"loss": it["loss"].detach()}, "without a gradient"),
        (lambda self, it: {"loss": 3.0}, "without a gradient, a float"),
        (lambda self, it: {"loss": it["loss"] / 0}, 'gives a "loss" that is no finite number'),
        (lambda self, it: {"loss": it["loss"] @ it["loss"]}, "failed with RuntimeError"),
    ],
)
def test_losses(change, sentence):
    with pytest.raises(InputError, match=r"test_own_contracts.py, line \d+\): ") as refused:
        check_losses(method(changed=change), BATCH)
    assert sentence in str(refused.value)


def test_losses_as_they_should_be():
    check_losses(method(changed=lambda self, it: it | {"share": 0.5, "more": torch.ones(())}), BATCH)


class Blank(Decoder):
    def __init__(self, *shape):
        super().__init__()
        self.latent_dim, self.shape = 3, shape

    def forward(self, latents):
        return torch.zeros(len(latents), *self.shape)


def test_a_decoder():
    check_decoder(Blank(1, 8, 8), BATCH)
    with pytest.raises(InputError, match=r"Blank.forward gives .* shape \(4, 1, 9, 9\) .*shape \(4, 1, 8, 8\)"):
        check_decoder(Blank(1, 9, 9), BATCH)


class Mine(ImageSource):
    name, licence, channels, image_size = "mine", "none", 1, 8
    given: ClassVar = None

    def load(self):
        pixels, labels, names = torch.zeros(40, 1, 8, 8).byte(), torch.arange(40) % 2, None
        pixels, labels, names = self.given(pixels, labels, names)
        return LoadedImages(ArrayImages(pixels, labels), None, None, ["a", "b"], names=names)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda self, p, y, n: (p, y[:10], n), "gives 40 images and 10 labels as train"),
        (lambda self, p, y, n: (p, y + 1, n), "gives the label 2, and 2 classes"),
        (lambda self, p, y, n: (p, y - 2, n), "gives the label -2, and 2 classes"),
        (lambda self, p, y, n: (p, y.int(), n), "labels as a tensor of torch.int32"),
        (lambda self, p, y, n: (p, y.tolist(), n), "labels as a list"),
        (lambda self, p, y, n: (p[:, 0], y, n), "pixels of shape (40, 8, 8)"),
        (lambda self, p, y, n: (p.numpy(), y, n), "pixels as a ndarray"),
        (lambda self, p, y, n: (p.float(), y, n), "pixels of float32"),
        (lambda self, p, y, n: (p.float() + 2, y, n), "pixels from 2 to 2"),
        (lambda self, p, y, n: (p.expand(-1, 3, -1, -1), y, n), "images of shape (3, 8, 8)"),
        (lambda self, p, y, n: (p, y, ["one"]), "gives 1 names to 40 images"),
    ],
)
def test_a_source_of_images(change, sentence):
    source = own("Yours", Mine, {"given": change})()
    with pytest.raises(InputError, match=r"^Yours.load .*test_own_contracts.py, line \d+\): ") as refused:
        contract.load(source)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("styles", "partners", "sentence"),
    [
        (torch.zeros(39).long(), torch.arange(40), "gives no styles of 40 images"),
        (torch.zeros(40), torch.arange(40), "gives no styles of 40 images"),
        (torch.arange(40) % 3, torch.arange(40), "gives styles that lie outside of 0 to 1"),
        (torch.arange(40) % 2, list(range(40)), "gives no partners of 40 images"),
        (torch.arange(40) % 2, torch.arange(40) - 1, "gives partners that lie outside of 0 to 39"),
    ],
)
def test_a_source_of_pairs(styles, partners, sentence):
    def load(self):
        images = ArrayImages(torch.zeros(40, 1, 8, 8).byte(), None)
        return LoadedImages(images, None, None, [], pairs=Pairs(["a", "b"], styles, partners))

    with pytest.raises(InputError, match=sentence):
        contract.load(own("Yours", Mine, {"load": load})())


def test_a_source_that_gives_other_images_at_every_call():
    def noise(self, pixels, labels, names):
        return torch.randint(0, 256, pixels.shape).byte(), labels, names

    with pytest.raises(InputError, match=r"^Yours.load gives other images when it is called again \(.*: sort what is"):
        contract.load(own("Yours", Mine, {"given": noise})())
    assert len(contract.load(own("Yours", Mine, {"given": lambda self, *same: same})()).train) == 40


def test_a_source_without_images():
    with pytest.raises(InputError, match=r"gives a tuple .*return LoadedImages"):
        contract.load(own("Yours", Mine, {"load": lambda self: (1, 2)})())
    with pytest.raises(InputError, match=r"failed with FileNotFoundError: .*nowhere.* mend it there"):
        contract.load(own("Yours", Mine, {"load": lambda self: open("/nowhere")})())


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (lambda part: part.labels[:3] % 2, "has 3 labels of parity for the"),
        (lambda part: part.labels, "has the label 9 in parity, which has 2 classes"),
        (lambda part: [0, 1], "has a list in parity"),
        (lambda part: part.labels % 2 * 1.0, "has a tensor of torch.float32 and shape"),
    ],
)
def test_tasks(labels, sentence):
    class Parity(ImageData):
        def tasks(self):
            parts = {name: labels(part) for name, part in self.parts().items()}
            return super().tasks() | {"parity": ExampleLabels(["even", "odd"], parts)}

    data = Parity(train_size=40)
    data.setup()
    with pytest.raises(InputError, match=r"Parity.tasks .*test_own_contracts.py, line") as refused:
        check_data(data)
    assert sentence in str(refused.value)


def test_tasks_without_those_that_the_data_has_anyway():
    class Alone(ImageData):
        def tasks(self):
            return {"parity": ExampleLabels(["even", "odd"], {n: part.labels % 2 for n, part in self.parts().items()})}

    data = Alone(train_size=40)
    data.setup()
    sentence = r"Alone.tasks leaves out classes .*: begin with what super\(\).tasks\(\) gives"
    with pytest.raises(InputError, match=sentence):
        check_data(data)


def test_hooks_that_are_no_hooks():
    class Nearly(L.Callback):
        def on_train_bacth_end(self, *_):
            pass

    with pytest.warns(UserWarning, match=r"no hook of Lightning's .*did you mean 'on_train_batch_end'"):
        check_hooks(Nearly())

    class Short(L.Callback):
        def on_train_start(self, trainer):
            pass

    with pytest.raises(InputError, match=r"Short.on_train_start cannot be called .*arguments self, trainer, pl_module"):
        check_hooks(Short())

    class Fine(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            pass

        def on_my_own(self):
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_hooks(Fine())


def trainer(tmp_path, *callbacks):
    return L.Trainer(
        max_steps=3, accelerator="cpu", limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, callbacks=list(callbacks),
    )  # fmt: skip


class Counting(Method):
    """Changes all that a method can change in a loss."""

    def __init__(self, encoder: Encoder):  # typed, as completion and help list every method that there is
        super().__init__(encoder)
        self.norm = torch.nn.BatchNorm1d(encoder.dim)
        self.calls = 0

    def losses(self, batch):
        self.calls += 1
        self.log("seen", self.progress)
        return {"loss": (self.norm(self.encoder(batch.inputs).pooled) * torch.rand(())).square().mean()}


def test_trying_a_method_changes_nothing(tmp_path):
    weights = []
    for callbacks in ([], [OwnClasses()]):
        torch.manual_seed(0)
        mine = Counting(ResNet(10, 8, channels=1))
        trainer(tmp_path, *callbacks).fit(mine, ImageData(batch_size=16, train_size=64))
        assert mine.calls == 3
        weights.append(mine.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_run_of_ones_own_is_refused_before_it_begins(tmp_path):
    mine = method(changed=lambda self, it: {"los": it["loss"]})
    with pytest.raises(InputError, match=r'Mine.losses gives no "loss" but los'):
        trainer(tmp_path, OwnClasses()).fit(mine, ImageData(batch_size=16, train_size=64))
