"""What a class of the user's own promises, tried on one batch: data, views, an encoder, a decoder, a loss."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.optim import Optimizer

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.decoders.base import Decoder
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.own_code import is_own, own_errors, place_of, require_said, said
from ssl_zoo.tasks.labels import ExampleLabels, PlaceLabels, Places
from ssl_zoo.views.base import Views

FAR = 10  # from [0, 1]: no noise carries an image there, but bytes that were not divided by 255 are


def check_data(data: DataModule) -> None:
    """Refuses tasks that do not fit the data.

    Args:
        data: set up.

    Raises:
        InputError: labels are missing, too few or too many, or of classes without a name.
    """
    kind = type(data)
    with _trying(kind, "tasks"):
        tasks = data.tasks()
    if not isinstance(tasks, dict) or not all(isinstance(task, ExampleLabels | PlaceLabels) for task in tasks.values()):
        _refuse(kind, "tasks", f"gives {_shown(tasks)}", "return ExampleLabels or PlaceLabels by name")
    base: Any = next(each for each in kind.__mro__ if not is_own(each))
    if lost := [name for name in base.tasks(data) if name not in tasks]:
        _refuse(kind, "tasks", f"leaves out {', '.join(lost)}", "begin with what super().tasks() gives")
    parts = {name: len(part) for name, part in data.parts().items()}
    for name, task in tasks.items():
        if missing := [part for part in parts if part not in task.parts]:
            _refuse(kind, "tasks", f"has no labels of the part {missing[0]} in {name}", "give those of every part")
        for part, length in parts.items():
            labels = task.parts[part]
            if isinstance(task, ExampleLabels) != isinstance(labels, Tensor):
                wanted = "a tensor" if isinstance(task, ExampleLabels) else "Places"
                _refuse(kind, "tasks", f"has {_shown(labels)} in {name}", f"give {wanted}")
            if isinstance(labels, Tensor) and len(labels) != length:
                found = f"has {len(labels)} labels of {name} for the {length} examples of the part {part}"
                _refuse(kind, "tasks", found, "give one per example, -1 where it is unknown")
            numbers = labels.labels if isinstance(labels, Places) else labels
            if numbers.dtype != torch.int64:
                _refuse(kind, "tasks", f"has {_shown(numbers)} in {name}", "make labels torch.int64")
            if len(numbers) and not -1 <= int(numbers.min()) <= int(numbers.max()) < len(task.classes):
                found = f"has the label {int(numbers.max())} in {name}, which has {len(task.classes)} classes"
                _refuse(kind, "tasks", found, "number classes from 0 on, and name as many")


def check_views(views: Views, batch: Batch, keys: Tensor, modality: str) -> None:
    """Refuses views of a wrong number, shape or type; warns of those that follow from more than their keys.

    Args:
        views: the user's.
        batch: examples on the device.
        keys: ``(B,)`` int64, one per example.
        modality: what encoders of the data read, such as `image`.

    Raises:
        InputError: the views are wrong.
    """
    kind, given = type(views), batch.inputs
    require_said(views, Views)
    with _trying(kind, "forward"):
        made, again = (views(given, keys, batch.fields) for _ in range(2))
    wanted = views.views_per_example * len(given)
    if not isinstance(made, Tensor):
        _refuse(kind, "forward", f"gives {_shown(made)}", "return one tensor, first views first, as torch.cat makes it")
    if len(made) != wanted or made.dim() != given.dim():
        shape = f"({wanted}, {', '.join(str(side) for side in given.shape[1:])})"
        reason = f"{views.views_per_example} views of each of {len(given)} examples are to be one tensor like {shape}"
        _refuse(kind, "forward", f"gives {_shown(made)}", f"{reason}: return that, or mend views_per_example")
    if given.is_floating_point() or modality == "image":
        if not made.is_floating_point():
            _refuse(kind, "forward", f"gives {_shown(made)}", "return floats, images in [0, 1]")
        _require_no_double(kind, "forward", made)
        _require_finite(kind, "forward", "a view", made)
    if modality == "image":
        if made.shape[1] != given.shape[1]:
            _refuse(kind, "forward", f"makes {made.shape[1]} channels of {given.shape[1]}", "keep their number")
        if float(made.detach().abs().max()) > FAR:
            found = f"gives numbers up to {float(made.detach().abs().max()):.0f}"
            _refuse(kind, "forward", found, "return images in [0, 1]: bytes are divided by 255")
    if not torch.equal(made, again):
        warnings.warn(
            f"{kind.__name__}.forward ({place_of(kind)}) gives other views when it is called again with the same keys: "
            "draw random numbers with ssl_zoo.randomness, or the run can be neither repeated nor resumed exactly.",
            stacklevel=2,
        )


@torch.no_grad()
def check_encoder(encoder: Encoder, batch: Batch) -> None:
    """Refuses vectors of other shapes and numbers than the encoder says.

    Args:
        encoder: the user's.
        batch: examples on the device.

    Raises:
        InputError: the vectors are wrong.
    """
    kind, examples, dim = type(encoder), len(batch.inputs), encoder.dim
    with _trying(kind, "embed"):
        embedded = encoder.embed(batch.inputs, batch.mask)
    if not isinstance(embedded, Embedded):
        _refuse(kind, "embed", f"gives {_shown(embedded)}", "return Embedded(vectors)")
    if encoder.content_dim:
        with _trying(kind, "contents"):
            contents = encoder.contents(batch.inputs, batch.mask)
        wanted = (*embedded.vectors.shape[:2], encoder.content_dim)
        if contents.shape != wanted:
            found = f"gives numbers of shape {_shape(contents)}"
            _refuse(kind, "contents", found, f"they are {wanted}, of every place as many as content_dim says")
    with _trying(kind, "contextualize"):
        encoded, plain = encoder(batch.inputs, batch.mask, layers=True), encoder(batch.inputs, batch.mask)
    if not isinstance(encoded, Encoded) or not isinstance(plain, Encoded):
        _refuse(kind, "contextualize", f"gives {_shown(encoded)}", "return Encoded(sequence, pooled, mask, layers)")
    if encoded.pooled.shape != (examples, dim):
        found = f"gives pooled vectors of shape {_shape(encoded.pooled)}"
        _refuse(kind, "contextualize", found, f"they are one per example, ({examples}, {dim}), as dim says")
    if encoded.sequence.dim() != 3 or encoded.sequence.shape[::2] != (examples, dim):
        found = f"gives a sequence of shape {_shape(encoded.sequence)}"
        _refuse(kind, "contextualize", found, f"it is ({examples}, places, {dim}), as dim says")
    if len(encoded.layers) != encoder.num_layers:
        found = f"gives {len(encoded.layers)} layers, and its num_layers is {encoder.num_layers}"
        _refuse(
            kind, "contextualize", found, "give what enters the first layer and what each one gives, and count them"
        )
    if odd := [layer for layer in encoded.layers if layer.dim() != 3 or len(layer) != examples]:
        _refuse(
            kind, "contextualize", f"gives a layer of shape {_shape(odd[0])}", f"each is ({examples}, places, size)"
        )
    prefix = 0 if encoded.prefix is None else encoded.prefix.shape[1]
    if prefix != encoder.prefix:
        found = f"gives {prefix} vectors in front of the sequence, and its prefix is {encoder.prefix}"
        _refuse(kind, "contextualize", found, "say as many")
    if plain.layers:
        _refuse(kind, "contextualize", "gives layers that nobody asked for", "leave them empty unless layers is true")
    _require_no_double(kind, "contextualize", encoded.pooled)
    _require_finite(kind, "contextualize", "a vector", encoded.pooled)


@torch.no_grad()
def check_decoder(decoder: Decoder, batch: Batch) -> None:
    """Refuses what is no image of the size that it is compared with.

    Args:
        decoder: the user's.
        batch: examples on the device.

    Raises:
        InputError: the images are wrong.
    """
    kind = type(decoder)
    require_said(decoder, Decoder)
    with _trying(kind, "forward"):
        made = decoder(torch.zeros(len(batch.inputs), decoder.latent_dim, device=batch.inputs.device))
    wanted = decoder.observe(batch.inputs).shape
    if not isinstance(made, Tensor) or made.shape != wanted:
        _refuse(kind, "forward", f"gives {_shown(made)}", f"it is compared with images of shape {tuple(wanted)}")


def check_losses(method: Method, batch: Batch) -> None:
    """Refuses what cannot be minimised or logged.

    Args:
        method: the user's.
        batch: examples on the device.

    Raises:
        InputError: `losses` gives something else than scalars by name, or no "loss" that can be minimised.
    """
    kind = type(method)
    with _trying(kind, "losses"):
        terms: Any = method.losses_in_precision(batch)
    if not isinstance(terms, dict):
        _refuse(kind, "losses", f"gives {_shown(terms)}", 'return a dictionary, {"loss": ...}')
    if "loss" not in terms:
        known = ", ".join(map(str, terms)) or "nothing"
        _refuse(kind, "losses", f'gives no "loss" but {known}', 'name what is minimised "loss"')
    for name, value in terms.items():
        if not isinstance(value, Tensor | float | int) or (isinstance(value, Tensor) and value.numel() != 1):
            _refuse(kind, "losses", f'gives {_shown(value)} as "{name}"', "give one number: take its mean")
    loss = terms["loss"]
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        found = f'gives a "loss" without a gradient, {_shown(loss)}'
        _refuse(kind, "losses", found, "compute it from the encoder's vectors, neither detached nor under no_grad")
    _require_finite(kind, "losses", 'a "loss"', loss)


def check_optimizers(method: Method) -> None:
    """Refuses a `configure_optimizers` of the user's that fails or gives no optimizer.

    Args:
        method: the user's, with a Trainer.

    Raises:
        InputError: nothing could be trained by what it gives.
    """
    kind = type(method)
    if kind.configure_optimizers is Method.configure_optimizers:
        return
    with _trying(kind, "configure_optimizers"):
        made: Any = method.configure_optimizers()
    many = made if isinstance(made, list | tuple) else [made]
    if not many or not isinstance(many[0], Optimizer | list | dict):
        found = "gives nothing" if made is None else f"gives {_shown(made)}"
        _refuse(kind, "configure_optimizers", found, 'return an optimizer, or {"optimizer": ..., "lr_scheduler": ...}')


def _require_no_double(kind: type, function: str, made: Tensor) -> None:
    if made.dtype == torch.float64 != torch.get_default_dtype():  # which it is where the Trainer's precision is 64
        advice = "make them float32, which weights are: NumPy's numbers are float64 unless they are converted"
        _refuse(kind, function, f"gives {_shown(made)}", advice)


def _require_finite(kind: type, function: str, what: str, values: Tensor) -> None:
    if not values.isfinite().all():
        advice = "look for a division by zero, or a logarithm or root of it"
        _refuse(kind, function, f"gives {what} that is no finite number", advice)


@contextmanager
def _trying(kind: type, function: str) -> Iterator[None]:
    """Within, what fails is a mistake in a function of the user's, also where it cannot so much as be called."""
    try:
        with own_errors():
            yield
    except InputError:
        raise
    except Exception as error:  # whatever it is, it comes of calling the user's function
        raise InputError(
            f"{kind.__name__}.{function} failed with {said(error)} ({_place(kind, function)}): mend it there."
        ) from error


def _place(kind: type, function: str) -> str:
    return place_of(next((each for each in kind.__mro__ if function in vars(each)), kind), function)


def _refuse(kind: type, function: str, found: str, advice: str) -> NoReturn:
    raise InputError(f"{kind.__name__}.{function} {found} ({_place(kind, function)}): {advice}.")


def _shown(value: Any) -> str:
    """What a value is, for a sentence."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} and shape {_shape(value)}"
    return f"a {type(value).__name__}"


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
