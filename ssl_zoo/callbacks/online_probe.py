"""Probes while a method trains: how good is the representation so far?"""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import Subset

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule, data_of
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.probe_data import open_probe_data, require_same
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.distributed import gather_examples
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.probes.accuracy import is_informative
from ssl_zoo.probes.features import Features, extract
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
        probe_data: folder with classes to probe on in place of the data that the method is trained on.

    Raises:
        InputError: `bank_size` is negative.
    """

    def __init__(self, bank_size: int | None = None, probe_data: Path | None = None) -> None:
        if bank_size is not None and bank_size < 0:
            raise InputError(f"online_probe: bank_size is {bank_size}: it must be at least 1, or 0 for no probes.")
        self.bank_size, self.probe_data = bank_size, probe_data
        self._other: DataModule | None = None
        self._probed_on: str | None = None
        self._vectors: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._index: list[Tensor] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reads the data to probe on where it is another, before any step is made.

        Raises:
            InputError: it cannot be read, has no labels, or is not what a run that goes on was probed on.
        """
        if self.probe_data is None:
            return
        self._other, remarks = open_probe_data(data_of(trainer), self.probe_data)
        require_same(self._probed_on, self._other, data_of(trainer).allow_other_split)
        for remark in remarks[1:]:
            rank_zero_warn(remark)

    def state_dict(self) -> dict[str, Any]:
        """The hash of the other data's split, where there is some."""
        return {} if self._other is None else {"probed_on": self._other.split_hash}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remembers what a run that goes on was probed on."""
        self._probed_on = state_dict.get("probed_on")

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
        if batch.labels is not None and self.bank_size != 0 and self._other is None:
            self._vectors.append(outputs)
            self._labels.append(batch.labels)
            self._index.append(batch.index)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Fits and evaluates both probes."""
        assert isinstance(pl_module, Method)
        if self._other is not None and self.bank_size != 0 and not trainer.sanity_checking:
            data = self._other
            wanted = self._extract(trainer, pl_module, data, data.validation_set)
            if wanted.labels is not None:  # of which every process has all
                for name, classes in self._predict(trainer, pl_module, data, wanted.vectors).items():
                    pl_module.log(name, (classes == wanted.labels).float().mean(), sync_dist=True, prog_bar=True)
        if not self._labels:
            return
        validation, index = (torch.cat(self._vectors), torch.cat(self._labels)), torch.cat(self._index)
        self._vectors, self._labels, self._index = [], [], []
        if trainer.sanity_checking:
            return
        for name, classes in self._predict(trainer, pl_module, data_of(trainer), validation[0]).items():
            (right,) = gather_examples(index, (classes == validation[1]).float())
            pl_module.log(name, right.mean(), sync_dist=True, prog_bar=True)

    def _predict(self, trainer: L.Trainer, method: Method, data: DataModule, vectors: Tensor) -> dict[str, Tensor]:
        """The classes ``(N,)`` of validation vectors by the name of each probe; none where they say nothing."""
        known, wanted = data.train_set.labels, data.validation_set.labels
        if known is None or wanted is None or not is_informative(known, wanted):  # the same on every process
            return {}
        # `ssl-zoo validate` is in inference mode, whose tensors no probe could be fitted on.
        with torch.inference_mode(False):
            bank = self._extract(trainer, method, data, data.train_set)
            assert bank.labels is not None
            linear, _ = fit_linear(bank.vectors, bank.labels, int(bank.labels.max()) + 1)
        return {
            metrics.PROBE_KNN: knn_predict(vectors, bank.vectors, bank.labels, *choose_vote(bank.vectors, bank.labels)),
            metrics.PROBE_LINEAR: linear.predict(vectors),
        }

    def _extract(self, trainer: L.Trainer, method: Method, data: DataModule, part: Examples) -> Features:
        """Representations of so many examples of a part."""
        chosen = fixed_order(len(part))[: self.bank_size or data.cheap_examples].tolist()
        examples = Subset(data.as_validated(part), chosen)
        with trainer.precision_plugin.forward_context(), torch.no_grad():
            return extract(lambda batch: method.encode(batch).pooled, examples, method.device)
