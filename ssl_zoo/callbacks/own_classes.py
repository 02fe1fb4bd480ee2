"""What classes of the user's own promise is tried on one batch, before anything is written or trained."""

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device

from ssl_zoo.callbacks.last_checkpoint import LastCheckpoint
from ssl_zoo.callbacks.own_contracts import (
    check_data,
    check_decoder,
    check_encoder,
    check_losses,
    check_optimizers,
    check_views,
)
from ssl_zoo.callbacks.own_hooks import check_hooks
from ssl_zoo.data.base import data_of
from ssl_zoo.decoders.base import Decoder
from ssl_zoo.methods.base import Method
from ssl_zoo.own_code import is_own, own_errors


class OwnClasses(L.Callback):
    """Refuses a method, an encoder, views, data or a callback of the user's that breaks its contract.

    What comes with this package is held to it by tests, and costs nothing here.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Tries those that are the user's own.

        Raises:
            InputError: one of them gives what it must not, or fails.
        """
        if stage != "fit":
            return
        assert isinstance(pl_module, Method), "ssl_zoo trains methods"
        data, encoder = data_of(trainer), pl_module.encoder
        recipes = [] if pl_module.views is None else pl_module.views.recipes()
        decoder = getattr(pl_module, "decoder", None)
        for callback in getattr(trainer, "callbacks", []):
            if is_own(type(callback)):
                check_hooks(callback)
        if is_own(type(data)):
            check_data(data)
        if not any(is_own(type(each)) for each in (pl_module, encoder, decoder, *recipes)):
            return
        device = trainer.strategy.root_device
        trainer.precision_plugin.convert_module(pl_module).to(device)  # as training does right after this
        with _unchanged(pl_module), own_errors(), trainer.precision_plugin.forward_context():
            batch = next(iter(data.shuffled(data.pretrain_set, data.batch_size, 0, trainer)))
            batch = move_data_to_device(batch._replace(labels=None), device)
            for views in recipes:
                if is_own(type(views)):
                    check_views(views, batch, pl_module.keys(batch), data.modality)
            if is_own(type(encoder)):
                check_encoder(encoder, batch)
            if isinstance(decoder, Decoder) and is_own(type(decoder)):
                check_decoder(decoder, batch)
            if is_own(type(pl_module)):
                check_losses(pl_module, batch)
                check_optimizers(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Has the end saved before callbacks of the user's come to it, so that what fails there costs no training."""
        for callback in getattr(trainer, "callbacks", []):
            if isinstance(callback, LastCheckpoint):
                callback.save_end(trainer)


@contextmanager
def _unchanged(method: Method) -> Iterator[None]:
    """Within, a method may do as in a training step; afterwards it, and all generators, are what they were."""
    kept = [
        (module, {name: _copied(value) for name, value in vars(module).items()}) for module in method.modules()
    ]  # attributes, such as counts of calls
    tensors = [(tensor, tensor.detach().clone()) for tensor in (*method.parameters(), *method.buffers())]
    generators = random.getstate(), np.random.get_state()
    ignored: dict[str, Any] = {"log": lambda *_, **__: None, "log_dict": lambda *_, **__: None, "_total_steps": 1}
    devices = [method.device] if method.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            vars(method).update(ignored)  # there is no step yet that would be logged
            yield
    finally:
        for module, attributes in kept:
            vars(module).clear()
            vars(module).update(attributes)
        with torch.no_grad():
            for tensor, value in tensors:
                tensor.copy_(value)
        random.setstate(generators[0])
        np.random.set_state(generators[1])


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list | set | OrderedDict) else value
