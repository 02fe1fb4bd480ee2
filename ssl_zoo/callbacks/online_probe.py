"""Probes while a method trains: how good is the representation so far?"""

from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import Subset

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.data.base import data_of
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.distributed import gather_examples
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.probes.accuracy import is_informative
from ssl_zoo.probes.features import extract
from ssl_zoo.probes.knn import choose_vote, knn_predict
from ssl_zoo.probes.linear import fit_linear


class OnlineProbe(L.Callback):
    """Logs the accuracy of a kNN and of a linear probe at every validation, on data without augmentation.

    Both are fitted from scratch on representations of training examples and evaluated on validation data, so nothing
    lags behind the encoder, no gradient reaches it and there is no state to keep. Nothing but these training examples
    chooses a setting, as with few labels in `ssl-zoo probe`, which reports on the test set. Where any accuracy would be
    0 or 100 %, as of a single class, there is none.

    Args:
        bank_size: training examples to fit the probes on, a random choice that is always the same; 4096, or 512
            recordings, when left out; 0 switches the probes off.

    Raises:
        InputError: `bank_size` is negative.
    """

    def __init__(self, bank_size: int | None = None) -> None:
        if bank_size is not None and bank_size < 0:
            raise InputError(f"online_probe: bank_size is {bank_size}: it must be at least 1, or 0 for no probes.")
        self.bank_size = bank_size
        self._vectors: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._index: list[Tensor] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects what the validation step has represented."""
        if batch.labels is not None and self.bank_size != 0:
            self._vectors.append(outputs)
            self._labels.append(batch.labels)
            self._index.append(batch.index)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Fits and evaluates both probes."""
        if not self._labels:
            return
        assert isinstance(pl_module, Method)
        validation, index = (torch.cat(self._vectors), torch.cat(self._labels)), torch.cat(self._index)
        self._vectors, self._labels, self._index = [], [], []
        if trainer.sanity_checking:
            return
        data = data_of(trainer)
        known, wanted = data.train_set.labels, data.validation_set.labels
        if known is None or wanted is None or not is_informative(known, wanted):  # the same on every process
            return
        examples = data.as_validated(data.train_set)
        size = min(self.bank_size or data.cheap_examples, len(data.train_set))
        chosen = fixed_order(len(data.train_set))[:size].tolist()
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            bank = extract(lambda batch: pl_module.encode(batch).pooled, Subset(examples, chosen), pl_module.device)
        assert bank.labels is not None
        linear, _ = fit_linear(bank.vectors, bank.labels, int(bank.labels.max()) + 1)
        predicted = {
            metrics.PROBE_KNN: knn_predict(
                validation[0], bank.vectors, bank.labels, *choose_vote(bank.vectors, bank.labels)
            ),
            metrics.PROBE_LINEAR: linear.predict(validation[0]),
        }
        for name, classes in predicted.items():
            (right,) = gather_examples(index, (classes == validation[1]).float())
            pl_module.log(name, right.mean(), sync_dist=True, prog_bar=True)
