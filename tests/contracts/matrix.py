"""Every method on every modality: which encoder it works with, or why none.

`python -m tests.contracts.matrix` writes what it finds to where `ssl-zoo methods` and the documentation have it from;
with names of methods it tries these alone and keeps what was found of the others.
"""

import inspect
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import lightning as L
import torch

import ssl_zoo.decoders
import ssl_zoo.encoders
import ssl_zoo.methods
import ssl_zoo.views
from ssl_zoo import matrix
from ssl_zoo.callbacks.refits import Refits
from ssl_zoo.data.audio.module import AudioData
from ssl_zoo.data.audio.sources.folder import AudioFolder
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.data.text.module import TextData
from ssl_zoo.data.text.sources.base import TextSource
from ssl_zoo.data.text.sources.files import TextFiles
from ssl_zoo.data.text.sources.pairs import ParallelTexts
from ssl_zoo.decoders.base import Decoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.matrix import MODALITIES, Matrix, Tried
from ssl_zoo.methods.base import Method
from ssl_zoo.training_cli import SIZES
from ssl_zoo.views.base import Views
from tests.contracts.experiments import (
    EXPERIMENTS,
    FEW,
    FOLDER,
    OWN,
    class_of,
    coloured,
    method_of,
    pairs,
    settings_of,
    texts,
    waves,
)
from tests.contracts.found import concrete

PAGE = FOLDER.parent / "docs" / "experiments.md"
BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"
# As folders of experiments and modules of views and decoders are called.
SHORT = {"image": "image", "speech": "audio", "text": "text"}
PARTS = {"views": (Views, ssl_zoo.views), "decoder": (Decoder, ssl_zoo.decoders)}
BATCH = 8


@cache
def data_of(modality: str) -> list[DataModule]:
    """Small data of a modality: of images grey ones and others, of text packed rows, single documents and pairs."""
    small = {"batch_size": BATCH, "train_size": 24}
    if modality == "image":
        return [ImageData(image_size=12, **small), ImageData(ImageFolder(coloured()), image_size=12, **small)]
    if modality == "speech":
        return [AudioData(AudioFolder(waves()), crop_seconds=0.5, **small)]
    sizes = {"vocab_size": 300, "length": 16}
    sources: list[tuple[TextSource, bool]] = [(TextFiles(texts()), True), (TextFiles(texts()), False)]
    sources.append((ParallelTexts(pairs()), False))
    return [TextData(source, packing=packing, **sizes, **small) for source, packing in sources]


def build(part: dict[str, Any], data: DataModule) -> Any:
    """What YAML calls by `class_path`, as small as it can be, with what it takes from the data."""
    kind = class_of(part["class_path"])
    own = part.get("init_args", {})
    # Such as a front end, without which some methods are none: it stays, and is made small itself.
    small = {name: value for name, value in kind.tiny().items() if not is_part(own.get(name))}
    arguments = {**own, **small}
    asked_for = inspect.signature(kind).parameters
    arguments |= {size: getattr(data, size) for size in SIZES if size in asked_for and hasattr(data, size)}
    return kind(**as_given(kind, arguments, data))


def as_given(kind: type, settings: dict[str, Any], data: DataModule) -> dict[str, Any]:
    """What a constructor gets of settings in YAML: objects for parts, and tuples where it wants them."""
    hints = get_type_hints(kind.__init__)  # type: ignore[misc]  # a subclass may have another, and none is asked
    given = {}
    for name, value in settings.items():
        kinds = [get_origin(each) for each in (hints.get(name), *get_args(hints.get(name)))]
        if is_part(value):
            value = build(value, data)
        elif isinstance(value, list) and tuple in kinds:
            value = tuple(value)
        given[name] = value
    return given


def is_part(value: Any) -> bool:
    return isinstance(value, dict) and "class_path" in value


def experiment_of(method: type[Method], modality: str) -> Path | None:
    """Its experiment on this modality, the one with the shortest name."""
    there = [path for path in EXPERIMENTS if path.parent.name == SHORT[modality]]
    return min((path for path in there if method_of(path) == method.__name__), key=lambda p: len(p.stem), default=None)


def of_modality(base: type, package: Any, modality: str) -> list[str]:
    """Names of the classes whose module is about this modality, those first that experiments use, then by name.

    An encoder that is made of another one, as `AlbertEncoder` is of `BertEncoder`, comes after the plain ones.
    """
    kinds = concrete(base, package)
    if base is Encoder:
        kinds = [kind for kind in kinds if kind.modality == SHORT[modality]]
    else:
        kinds = [kind for kind in kinds if kind.__module__.split(".")[-1].split("_")[0] == SHORT[modality]]
    given = {"vocabulary", "front_end", *SIZES}
    fillable = [
        (derived(kind, kinds), kind.__name__)
        for kind in kinds
        if all(
            each.default is not each.empty or each.name in given or each.name in kind.tiny()
            for each in inspect.signature(kind).parameters.values()
        )
    ]
    used = texts_of_experiments()
    return [name for _, name in sorted(fillable, key=lambda each: (each[1] not in used, *each))]


@cache
def texts_of_experiments() -> str:
    return " ".join(path.read_text() for path in EXPERIMENTS)


def derived(kind: type, kinds: list[type]) -> bool:
    """Whether an encoder is derived from another of these."""
    return issubclass(kind, Encoder) and any(issubclass(kind, each) for each in kinds if each is not kind)


class Finite(L.Callback):
    """Looks at the loss of every step."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Counts."""
        assert outputs["loss"].isfinite(), f"the loss of {type(pl_module).__name__} is no number"
        self.steps += 1


def two_steps(method: Method, data: DataModule) -> None:
    """Trains for two steps, whose losses must be finite."""
    seen = Finite()
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=2,
        limit_val_batches=0,
        callbacks=[Refits(), seen],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and the like; here it is about small data
        trainer.fit(method, datamodule=data)
    assert seen.steps == 2


class Choice(NamedTuple):
    """An encoder, and the settings that a method is to have with it."""

    encoder: dict[str, Any]
    settings: dict[str, Any]


def choices(method: type[Method], modality: str) -> Iterator[Choice]:
    """Its own experiment first, then every encoder of the modality, with the settings of a method's experiment."""
    own = experiment_of(method, modality)
    settings = settings_of(own or OWN[method.__name__])["model"]["init_args"]
    settings = {name: value for name, value in settings.items() if name not in ("encoder", "optimizer")}
    settings |= {name: FEW for name in ("classes", "clusters") if isinstance(settings.get(name), int)}
    if own is None:  # what is made for another modality is left to the method, or to this modality
        settings = {name: value for name, value in settings.items() if not is_part(value)}
    for name, (base, package) in PARTS.items():
        parameter = inspect.signature(method).parameters.get(name)
        if parameter is not None and parameter.default is parameter.empty and name not in settings:
            settings[name] = {"class_path": of_modality(base, package, modality)[0]}
    if own is not None:
        yield Choice(settings_of(own)["model"]["init_args"]["encoder"], settings)
    for name in of_modality(Encoder, ssl_zoo.encoders, modality):
        yield Choice({"class_path": name}, settings)


def attempt(method: type[Method], modality: str) -> tuple[str | None, str]:
    """The encoder that a method works with on a modality, or None and why not, in the sentence that a run ends with."""
    refusals: dict[tuple[bool, bool], str] = {}
    for data in data_of(modality):
        for choice in choices(method, modality):
            torch.manual_seed(0)
            encoder = build(choice.encoder, data)
            try:
                two_steps(method(encoder, **as_given(method, choice.settings, data)), data)
            except InputError as refusal:  # an answer, too
                refusals.setdefault((encoder.maskable, encoder.droppable), str(refusal))
                continue
            return type(encoder).__name__, ""
    return None, refusals[max(refusals)]  # of an encoder that promises most


def paper_of(method: type[Method]) -> str:
    """The arXiv id that its docstring begins with, or the authors and the year."""
    docstring = " ".join((method.__doc__ or "").split("Args:")[0].split())
    found = re.search(r"arXiv:(\d{4}\.\d{4,5})", docstring) or re.search(r"\((\D+?, \d{4})", docstring)
    return "" if found is None else found[1]


def tried(method: type[Method]) -> Tried:
    """A method on every modality."""
    found = {modality: attempt(method, modality) for modality in MODALITIES}
    return Tried(
        method.__name__,
        paper_of(method),
        {modality: encoder for modality, (encoder, _) in found.items() if encoder is not None},
        {modality: reason for modality, (encoder, reason) in found.items() if encoder is None},
    )


def parts() -> dict[str, dict[str, str]]:
    """What methods are given that take such a part and have no experiment of their own on a modality."""
    return {
        "views" if name == "views" else f"{name}s": {
            modality: of_modality(base, package, modality)[0] for modality in MODALITIES
        }
        for name, (base, package) in PARTS.items()
    }


def on_page(found: Matrix) -> str:
    """The page of the documentation with the matrix in it."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{matrix.markdown(found)}\n{END}{rest.split(END)[1]}"


def main(names: list[str]) -> None:
    """Tries what is asked for, or everything, and writes what it finds."""
    methods = concrete(Method, ssl_zoo.methods)
    known = {row.method: row for row in matrix.read().rows} if names else {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SSL_ZOO_CACHE"] = folder
        again = {method.__name__: tried(method) for method in methods if method.__name__ in names or not names}
    rows = [(known | again)[method.__name__] for method in methods if method.__name__ in known | again]
    found = Matrix(parts(), rows)
    matrix.write(found)
    PAGE.write_text(on_page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
