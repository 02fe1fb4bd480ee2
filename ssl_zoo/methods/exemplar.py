"""Exemplar: every image is a class of its own, whose examples are its views."""

import math

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import trainer_of
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm
from ssl_zoo.parts.heads import mlp
from ssl_zoo.parts.refit import Count, Refit, as_columns, from_columns
from ssl_zoo.views.base import Views, require_at_least

KNOWN = "train/known"
FEW_KNOWN = 0.25  # part of a batch below which most of a run is spent on what gives no loss
NOBODY = 2**63 - 1  # in place of an example's number, of a class that there is none for


class Exemplar(Method):
    """Exemplar networks (Dosovitskiy et al., 2014, arXiv:1406.6909, equations 1 and 2).

    Each of N training examples is a class. A network g with one hidden layer predicts from a view x of an example, of
    which there are as many as there are steps, which one it is. With f the encoder and i the example's class:

        loss = mean over the views of examples with a class of  -log softmax(g(f(x)))_i

    More classes are better until there are too many that look alike: in the paper 8,000 to 16,000 small patches work
    best, and 32,000 are worse; MoCo and SimCLR are for more. Where there are more training examples than `classes`, so
    many of them are chosen at random, the same in every run, on every rank and after a resume. The others take as long
    and give no loss; `train/known` is the part of a batch that has a class.

    Held-out examples have no class. For `val/loss` and `val/accuracy` each is in the class that the network takes it
    for as it is, without being changed, so that both say how much views change what an example is taken for.

    Watch `train/accuracy`, how often the class is predicted, against one in N, and the loss against log N.

    Args:
        encoder: The network to pretrain.
        views: Makes the views of each example, all of which are classified.
        classes: Number of examples that are classes, N; all training examples where there are fewer.
        hidden: Width of the hidden layer between the encoder and the classes; 512 in the paper.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: an argument is out of its range, or an example's views are made of two images.
    """

    chosen: Tensor

    def __init__(
        self,
        encoder: Encoder,
        views: Views,
        classes: int = 8000,
        hidden: int = 512,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_at_least("Exemplar's classes", classes, 2)
        require_at_least("Exemplar's hidden", hidden, 1)
        self.views, self.classes = views, classes
        self.head = mlp(encoder.dim, hidden, classes)
        self.fitted = Count()
        # The number (`Batch.index`) of the example that each class is of, ascending.
        self.register_buffer("chosen", torch.full((classes,), NOBODY))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, how often the class is predicted, and in training the part of the examples that has one."""
        self.fitted.require_some("Exemplar", self.training and trainer_of(self) is not None)
        if batch.fields is not None and "partner" in batch.fields:
            raise InputError(
                "Exemplar takes every image for a class of its own, and data.pairs gives it views of another one, "
                "which is a class too: set data.pairs to false."
            )
        trained = self.training and self.fitted.value > 0
        truth, known = self.classes_of(batch.index) if trained else self.taken_for(batch)
        logits = self.among_chosen(self.head(self.encoder(*self.make_views(batch)).pooled))
        views = len(logits) // len(truth)
        truth, counted = truth.repeat(views), known.repeat(views)
        terms = {
            "loss": global_mean(token_nats(logits, truth), counted).share,
            "accuracy": global_mean(logits.detach().argmax(1) == truth, counted).value,
        }
        return {**terms, "known": known.float().mean()} if trained else terms

    def classes_of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The classes of training examples, and which have one.

        Args:
            index: ``(B,)`` int64, numbers of the examples.

        Returns:
            ``(B,)`` int64, of an example without a class the first one; and ``(B,)`` bool.
        """
        place = torch.searchsorted(self.chosen, index).clamp(max=self.classes - 1)
        known = self.chosen[place] == index
        return place * known, known

    def among_chosen(self, logits: Tensor) -> Tensor:
        """``(V, N)`` with -inf for classes that have no example, once the others are chosen."""
        return logits.masked_fill(self.chosen == NOBODY, -torch.inf) if self.fitted.value else logits

    @torch.no_grad()
    def taken_for(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same of examples that are in no class: what each is taken for as it is."""
        found = self.among_chosen(self.head(self.encoder(batch.inputs, batch.mask).pooled)).argmax(1)
        return found, torch.ones_like(found, dtype=torch.bool)

    def refits(self) -> list[Refit]:
        """The choice of the examples that are classes, before the first step."""
        if self.fitted.value:
            return []
        return [Refit(0.0, "examples that are classes", self._collect, self._fit, self._use, self.classes)]

    def _collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        columns = as_columns(batch.index)[:, None]
        return columns, torch.ones(columns.shape[:2], dtype=torch.bool, device=columns.device)

    def _fit(self, columns: Tensor) -> Tensor:
        return from_columns(columns).unique()  # ascending; pieces of one recording are one example

    def _use(self, found: Tensor) -> None:
        self.chosen.fill_(NOBODY)
        self.chosen[: len(found)] = found
        self.fitted.value += 1

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Few examples with a class, too."""
        sentence = (
            f"Few training examples are classes, {{{KNOWN}:.3f}} of a batch, and the others take as long and give no "
            "loss. Raise classes, lower data.train_size, or take MoCo or SimCLR, which are for more examples."
        )
        return [*super().alarms(batch_size), Alarm(KNOWN, sentence, below=FEW_KNOWN)]

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of classes that have an example; before they are chosen, of all."""
        return math.log(int((self.chosen != NOBODY).sum()) or self.classes)
