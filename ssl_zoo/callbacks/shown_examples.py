"""What a trained method has to show of a few validation examples."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import lightning as L
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.methods.base import Method

Shown = TypeVar("Shown")


def show_examples(
    trainer: L.Trainer, method: Method, examples: Examples, rows: Sequence[int], show: Callable[[Batch], Shown]
) -> Shown:
    """What is shown of some examples, on the method's device, without labels, gradients or dropout.

    Args:
        trainer: the Trainer, whose precision holds.
        method: the method, which afterwards trains or not as before.
        examples: validation examples.
        rows: positions of those to show, in order; positions beyond the last example are left out.
        show: makes what is shown of a batch.
    """
    batch = examples.__getitems__([row for row in rows if row < len(examples)])
    batch = method.transfer_batch_to_device(batch._replace(labels=None), method.device, 0)
    was_training = method.training
    method.eval()
    with trainer.precision_plugin.forward_context(), torch.no_grad():
        shown = show(batch)
    method.train(was_training)
    return shown
