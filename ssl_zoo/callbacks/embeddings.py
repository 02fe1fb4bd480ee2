"""What `ssl-zoo predict` leaves: the representation of every example, with its label and its position."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.base import DataModule
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.parts.texts import Texts

UNLABELLED = -1


class Embeddings(L.Callback):
    """Writes the representations of the examples that are predicted, in data set order, whatever the number of ranks.

    The file has `features` ``(N, D)`` float32, what probes see; `index` ``(N,)`` int64, the positions of the examples
    in their source; `names` ``(N,)``, what they are called there, such as the paths of files, where they have names;
    and where the data has labels, `labels` ``(N,)`` int64 and the names of the classes: `classes` ``(C,)`` by label in
    an npz, and a column `class` in a parquet file.

    Args:
        file_format: `npz` for NumPy, or `parquet`, which needs pyarrow (`ssl_zoo[parquet]`).
        part: part of the data to be embedded: `train`, `validation`, `test`, or `pretrain`, which has the unlabelled
            examples too.

    Raises:
        InputError: the file is to be `parquet` and pyarrow is not there.
    """

    def __init__(
        self,
        file_format: Literal["npz", "parquet"] = "npz",
        part: Literal["train", "validation", "test", "pretrain"] = "test",
    ) -> None:
        check_format(file_format)
        self.file_format, self.part = file_format, part
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._directory: str | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Says which part it is to be, before the data makes its loader."""
        if stage == "predict" and isinstance(data := getattr(trainer, "datamodule", None), DataModule):
            data.predicted = self.part

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The ranks agree on the run directory: all of them have to ask."""
        self._directory, self._parts = trainer.log_dir, []

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects every rank's share of the batch on the first rank; in rank order they are in data set order."""
        assert isinstance(pl_module, Method)
        if not isinstance(outputs, Texts):
            features = outputs
        else:
            with trainer.precision_plugin.predict_step_context(), torch.no_grad():
                features = pl_module.encode(batch).pooled
        labels = torch.full_like(batch.index, UNLABELLED) if batch.labels is None else batch.labels
        part = (features.float(), labels, batch.index)
        if trainer.world_size > 1:
            part = tuple(each.flatten(0, 1) for each in pl_module.all_gather(part))
        if trainer.is_global_zero:
            self._parts.append(tuple(each.cpu() for each in part))  # type: ignore[arg-type]  # still three, as in `part`

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the file and says where it lies."""
        if not self._parts or self._directory is None:  # another rank, or a run that leaves nothing behind
            return
        features, labels, index = (torch.cat(each).numpy() for each in zip(*self._parts, strict=True))
        self._parts = []
        # Where the ranks could not share the last batch evenly, its last example was repeated.
        kept = np.sort(np.unique(index, return_index=True)[1])
        columns = {"features": features[kept], "labels": labels[kept], "index": index[kept]}
        data = getattr(trainer, "datamodule", None)
        classes: list[str] = []
        if isinstance(data, DataModule):
            classes = data.classes
            if data.name_of is not None and data.predicted_set.in_source:
                columns["names"] = np.array([data.name_of(position) for position in columns["index"].tolist()])
        path = Path(self._directory) / f"embeddings.{self.file_format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_embeddings(Embedded(columns, classes), path)
        print(f"Embeddings of {len(kept):,} examples: {path}", flush=True)


class Embedded(NamedTuple):
    """What is written of examples.

    Attributes:
        columns: Arrays of one length by their names; `features` is ``(N, D)`` float32, `labels` ``(N,)`` int64, -1
            where there is none, and `index` ``(N,)`` int64.
        classes: names of the classes in label order.
    """

    columns: dict[str, np.ndarray]
    classes: list[str]


def check_format(file_format: str) -> None:
    """Refuses, before anything is computed, what could not be written in the end.

    Raises:
        InputError: the format is parquet and pyarrow is not there.
    """
    if file_format == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401  # only whether it is there; `_write_parquet` uses it
        except ImportError as error:
            raise InputError("parquet needs pyarrow: install ssl_zoo[hub] or ssl_zoo[parquet], or take npz.") from error


def write_embeddings(embedded: Embedded, path: Path) -> None:
    """Writes an npz or a parquet file, as the path's suffix says; labels are left out where no example has one."""
    columns, classes = dict(embedded.columns), embedded.classes
    if (columns["labels"] == UNLABELLED).all():
        del columns["labels"]
        classes = []
    if path.suffix == ".npz":
        if classes:
            columns["classes"] = np.array(classes)
        np.savez(path, **columns)  # type: ignore[arg-type]  # its stub takes no dictionary
        return
    if classes:
        columns["class"] = np.array([*classes, ""])[columns["labels"]]  # -1, no label, is the last
    _write_parquet(columns, path)


def _write_parquet(columns: dict[str, np.ndarray], path: Path) -> None:
    """One row an example; `features` is a list of fixed length."""
    import pyarrow
    import pyarrow.parquet

    features = columns["features"]
    rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(features.ravel()), features.shape[1])
    others = {name: column for name, column in columns.items() if name != "features"}
    pyarrow.parquet.write_table(pyarrow.table({"features": rows, **others}), path)
