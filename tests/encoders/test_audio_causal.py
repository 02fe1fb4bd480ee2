"""Encoders that see the past alone, in mixed precision."""

import torch

from ssl_zoo.encoders.audio_causal import GRUEncoder
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.front_ends import LogMel

# Products of bfloat16 numbers are off by up to 2^-8 of their size, and a gate is a sum of two of them.
ROUNDING = 4 * 2.0**-8


def test_states_of_grus_are_float32_whose_rounding_errors_do_not_add_up_over_600_frames():
    torch.manual_seed(0)
    encoder = GRUEncoder(LogMel(dim=16), dim=64, depth=3, residual=True).eval()
    frames = Embedded(torch.randn(4, 600, 64), None, {})
    with torch.no_grad():
        exact = encoder.contextualize(frames, layers=True)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = encoder.contextualize(frames, layers=True)
    for true, near in zip(exact.layers[1:], mixed.layers[1:], strict=True):
        errors = (near - true).norm(dim=2) / true.norm(dim=2)
        assert near.dtype == torch.float32
        assert 0 < errors.min() and errors.max() < ROUNDING  # products are bfloat16's, from the first frame to the last
