"""What a method fits to the training data as a whole: the data is read for it between two steps."""

from collections.abc import Iterable

import lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import Subset

from ssl_zoo.data.base import data_of
from ssl_zoo.distributed import alone, rank, world_size
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.parts.refit import Refit
from ssl_zoo.probes.features import batches, choose_examples, similar_lengths, to_device
from ssl_zoo.signals import requests
from ssl_zoo.whereabouts import whereabouts


class Refits(L.Callback):
    """Does every `Method.refits` when it is due: before the first step, or right after the step that makes it so.

    It happens where a checkpoint stands, and nothing of it lasts but what the method takes in the end. A run that is
    killed meanwhile goes on from its last checkpoint as ever, with the weights of the same step, and fits the same
    again. Ctrl-C and SIGTERM break it off in a run of one process, which is saved as it was before.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Does what is due before the first step, and what a resumed run has not done yet."""
        catch_up(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        """Does what is due after this step; callbacks that save come later."""
        catch_up(trainer, pl_module)


def catch_up(trainer: L.Trainer, method: L.LightningModule) -> None:
    """Does all that is due.

    Raises:
        InputError: the method asks for what it has just been given.
    """
    assert isinstance(method, Method), "ssl_zoo trains methods"
    pending = method.refits()
    while any(each.at <= method.progress < 1 for each in pending):
        due = next(each for each in pending if each.at <= method.progress)
        with whereabouts.during(f"{due.what} after step {trainer.global_step:,}"):
            vectors = read(trainer, method, due)
            if vectors is None:
                return
            due.use(due.fit(vectors.to(method.device)))
            for optimizer in trainer.optimizers:
                forget(optimizer, due.renewed)
        left = method.refits()
        if len(left) >= len(pending):
            raise InputError(
                f"{type(method).__name__}.refits asks again for {due.what}, which it was given: leave out of `refits` "
                "what `use` has taken."
            )
        pending = left


def forget(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Makes an optimizer treat parameters as in its first step: its sums and its count of their steps are zero again.

    They are set to zero and not left out, as a fused optimizer wants all parameters of a group to have a momentum.

    Args:
        optimizer: Optimizer that updates them, or none of them.
        parameters: Those whose values are new.
    """
    for parameter in parameters:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor):
                value.zero_()


@torch.no_grad()
def read(trainer: L.Trainer, method: Method, refit: Refit) -> Tensor | None:
    """What a method collects of the training data, ``(M, D)`` float32 on the CPU, in the order of the data.

    Batches are the same on any number of ranks, so that the vectors are the same bit for bit. Training examples are
    read as validation has them: whole, or the middle of what training takes crops of.

    Args:
        trainer: Trainer of the run, whose precision holds.
        method: method, which afterwards trains as before.
        refit: what is to be fitted.

    Returns:
        The same on every rank; None where the run has been asked to stop meanwhile.
    """
    data = data_of(trainer)
    examples = data.as_validated(data.pretrain_set)
    chosen = choose_examples(len(examples), refit.examples or len(examples))
    order = chosen[similar_lengths(Subset(examples, chosen.tolist()))]
    every = order.split(examples.fetched_at_once)
    mine = every[rank() :: world_size()]
    found: list[tuple[Tensor, Tensor]] = []
    training = [part for part in method.modules() if part.training]
    method.eval()
    try:
        with (
            whereabouts.during(lambda: f"batch {len(found):,} of {len(mine):,}"),
            trainer.precision_plugin.forward_context(),
            alone(),  # the last batch is on one rank
        ):
            if mine:
                for positions, batch in zip(
                    mine, batches(examples, torch.cat(mine), examples.fetched_at_once), strict=True
                ):
                    if requests.received is not None and trainer.world_size == 1:
                        return None
                    vectors, counted = refit.collect(to_device(batch._replace(labels=None), method.device))
                    owners = positions.repeat_interleave(counted.sum(1).cpu())
                    found.append((owners, vectors[counted].float().cpu()))
    finally:
        for part in training:
            part.training = True
    if world_size() > 1:
        everywhere: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(world_size())]
        dist.all_gather_object(everywhere, found)
        found = [each for part in everywhere for each in part]
    owners, vectors = (torch.cat(column) for column in zip(*found, strict=True))
    return vectors[owners.argsort(stable=True)]
