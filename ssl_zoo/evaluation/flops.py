"""What a training step costs in arithmetic, the same on every machine."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import alone
from ssl_zoo.methods.base import Method


def training_flops(method: Method, batch: Batch) -> float | None:
    """Floating-point operations per example of a training step, forward and backward.

    Counts the matrix products and convolutions that really run, a multiplication and an addition as two operations:
    recomputation, momentum encoders and hidden positions are in, the optimizer and elementwise arithmetic are not.
    Attention is counted in full, causal or not, as its plain formula computes it. One process counts for itself: a loss
    that gathers over the processes of a run gets this one's batch alone.

    Args:
        method: a method in any state; it is left in training mode, and its buffers and gradients are changed.
        batch: training examples, on the method's device.

    Returns:
        The number, or None for a method whose loss cannot be computed outside of a Trainer.
    """
    method.train()
    counter = FlopCounterMode(display=False)
    # PyTorch has no count for the CPU's fused attention, and would leave it out without a word.
    with alone(), torch.random.fork_rng(), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        try:
            method.losses(batch._replace(labels=None))["loss"].backward()
        except RuntimeError as error:  # only the one that the docstring answers with None
            if "attached to a `Trainer`" not in str(error):
                raise
            return None
    return counter.get_total_flops() / len(batch.index)
