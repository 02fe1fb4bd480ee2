"""Front ends whose frames are replaced by codes: ones that are learnt, and those of a finished run."""

from typing import Any, Literal

import torch
from torch import Tensor

from ssl_zoo.encoders.audio_base import FrontEnd
from ssl_zoo.encoders.front_ends import LogMel
from ssl_zoo.encoders.published_run import find_run, part_of_run
from ssl_zoo.encoders.weights import Pretrained, remember
from ssl_zoo.errors import InputError
from ssl_zoo.parts.codebooks import GumbelQuantizer, Quantized
from ssl_zoo.parts.nearest_quantizer import NearestQuantizer, Replaced
from ssl_zoo.rebuilding import build, kinds_in


class CodedFrames(FrontEnd):
    """A front end's frames as codes, of which an encoder sees nothing else (vq-wav2vec, arXiv:1910.05453, section 3).

    Without a method that says otherwise the codes are the likeliest or nearest ones, without noise.

    Args:
        front_end: makes frames of waveforms.
        quantizer: how frames become codes: `gumbel` takes the likeliest, drawn with noise in pretraining, `k_means` the
            nearest.
        groups: number of codebooks, G.
        entries: number of entries of each codebook, V.
        code_dim: size of the codes' vectors of all groups together, a multiple of `groups`.

    Raises:
        InputError: `groups` does not divide the other sizes.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        quantizer: Literal["gumbel", "k_means"] = "gumbel",
        groups: int = 2,
        entries: int = 320,
        code_dim: int = 256,
    ) -> None:
        super().__init__()
        self.front_end = front_end
        kind = GumbelQuantizer if quantizer == "gumbel" else NearestQuantizer
        self.quantizer = kind(front_end.dim, groups, entries, code_dim)
        self.groups, self.entries, self.dim = groups, entries, code_dim
        self.stride, self.receptive_field = front_end.stride, front_end.receptive_field
        self.sample_rate, self.mels, self.ends_with_norm = front_end.sample_rate, front_end.mels, False

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"front_end": LogMel(dim=16), "entries": 8, "code_dim": 16}

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The codes' vectors ``(B, N, code_dim)`` and their mask; shapes as in `FrontEnd`."""
        quantized, frame_mask = self.quantize(inputs, mask)
        return quantized.vectors, frame_mask

    def quantize(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Quantized | Replaced, Tensor | None]:
        """The codes of waveforms, and which frames are real; arguments as in `FrontEnd`."""
        frames, frame_mask = self.front_end(inputs, mask)
        if isinstance(self.quantizer, GumbelQuantizer):
            return self.quantizer(frames, None, 1.0), frame_mask
        return self.quantizer(frames, torch.ones_like(frames[..., 0], dtype=torch.bool)), frame_mask


class FrozenCodes(FrontEnd):
    """The codes of a finished run of `VQWav2Vec`, which are trained no further.

    Args:
        pretrained: folder of the run, or of its experiment, whose newest run it is then.

    Raises:
        InputError: the folder is no run, or one whose encoder has no codes.
    """

    ends_with_norm = False

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__()
        if isinstance(pretrained, str):
            folder = find_run(pretrained)
            if folder is None:
                raise InputError(
                    f"FrozenCodes: {pretrained} is no run; train one with `ssl-zoo fit --config audio/vq_wav2vec` and "
                    "set pretrained to its folder."
                )
            settings, state = part_of_run(folder, "front_end")
            architecture = {} if settings is None else kinds_in(settings)
        else:
            architecture, state = pretrained["architecture"], None
        found = build(architecture) if architecture else None
        if not isinstance(found, CodedFrames):
            raise InputError(
                f"FrozenCodes: the encoder of {pretrained} has no codes; set pretrained to a run of VQWav2Vec."
            )
        if state is not None:
            found.load_state_dict(state)
        self.coded = found.requires_grad_(False)
        remember(self, found, architecture)
        self.groups, self.entries, self.dim = found.groups, found.entries, found.dim
        self.stride, self.receptive_field = found.stride, found.receptive_field
        self.sample_rate, self.mels = found.sample_rate, found.mels

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        coded = CodedFrames(**CodedFrames.tiny())
        return {"pretrained": {"source": "none", "architecture": kinds_in(coded.settings), "fingerprint": 0}}

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The codes' vectors ``(B, N, code_dim)`` and their mask; shapes as in `FrontEnd`."""
        vectors, _, frame_mask = self.codes(inputs, mask)
        return vectors, frame_mask

    @torch.no_grad()
    def codes(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The codes' vectors ``(B, N, code_dim)``, the codes ``(B, N, G)`` int64, and their mask."""
        self.coded.eval()  # whoever trains the encoder has put all of it into training mode
        quantized, frame_mask = self.coded.quantize(inputs, mask)
        return quantized.vectors, quantized.codes, frame_mask
