"""Front ends of audio encoders: learnt convolutions over the waveform, and log-mel spectrograms."""

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.audio_base import FrontEnd
from ssl_zoo.encoders.convolution import convolve
from ssl_zoo.encoders.log_mel import spectrogram, window_and_hop
from ssl_zoo.encoders.waveforms import fit_length, normalize_waveforms, silence_padding
from ssl_zoo.errors import InputError


class WaveConvolutions(FrontEnd):
    """Strided convolutions over the waveform, each followed by a norm and GELU.

    The defaults are wav2vec 2.0's feature encoder (Baevski et al., 2020, arXiv:2006.11477, section 2), a frame of 25 ms
    every 20 ms at 16 kHz. Kernels [10, 8, 4, 4, 4] and strides [5, 4, 2, 2, 2] are those of CPC (arXiv:1807.03748) and
    wav2vec (arXiv:1904.05862), a frame of 29 ms every 10 ms. Parameters are named as in the transformers library's
    `Wav2Vec2FeatureEncoder`.

    Args:
        dim: channels of every layer.
        kernels: the layers' kernel sizes.
        strides: the layers' strides.
        norm: norm of the layers: `layer` normalises every frame of every layer by itself; `group` normalises each
            channel over the time of the recording, in the first layer only, as the published wav2vec2-base does.
        bias: whether convolutions have a bias; the paper's models with `group` have none.
        normalize: bring every recording to zero mean and unit variance first. Two numbers then depend on the whole
            recording, which a causal encoder may or may not be meant to know.
    """

    def __init__(
        self,
        dim: int = 512,
        kernels: list[int] = [10, 3, 3, 3, 3, 2, 2],  # noqa: B006  # never changed, and --help shows it
        strides: list[int] = [5, 2, 2, 2, 2, 2, 2],  # noqa: B006  # never changed, and --help shows it
        norm: Literal["layer", "group"] = "layer",
        bias: bool = True,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        _check_layers("WaveConvolutions", kernels, strides)
        self.dim, self.norm, self.normalize = dim, norm, normalize
        self.receptive_field, self.stride = _field(1, 1, kernels, strides)
        self.ends_with_norm = norm == "layer"
        norms: list[Literal["layer", "group", "none"]] = [norm]
        norms += ["layer" if norm == "layer" else "none"] * (len(kernels) - 1)
        entering = [1] + [dim] * len(kernels)
        self.conv_layers = nn.ModuleList(
            ConvolutionLayer(channels, dim, kernel, stride, each, bias)
            for channels, kernel, stride, each in zip(entering, kernels, strides, norms, strict=False)
        )

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 16}

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Frames ``(B, N, dim)`` and their mask; shapes as in `FrontEnd`."""
        samples, frames = inputs.shape[1], self.frames(inputs.shape[1])
        waves = normalize_waveforms(inputs, mask) if self.normalize else silence_padding(inputs, mask)
        counts = torch.full_like(waves[:, 0], samples, dtype=torch.long) if mask is None else mask.sum(1)
        counts = counts.clamp(min=self.receptive_field)
        # Every layer divides the length exactly, so that none has to copy.
        length = max(samples, (frames - 1) * self.stride + self.receptive_field)
        sequence = fit_length(waves, _round_up(length, self.stride))[..., None]
        for layer in self.conv_layers:
            sequence, counts = layer(sequence, counts)
        return sequence[:, :frames], self.frame_mask(mask, samples)


class LogMel(FrontEnd):
    """Log-mel spectrogram, if wanted with strided convolutions over time on top.

    A frame of the spectrogram is 25 ms every 10 ms; one that is not wholly real is dropped. Recordings are brought to
    zero mean and unit variance over their real samples before, so that neither loudness nor padding matters, and one
    fixed scale for all brings the logarithms to about [-2, 2]. Statistics of the recording's spectrogram are kept out
    of it: they would hide the mean spectrum, which distinguishes speakers and channels, from whoever pools over time.

    Args:
        mels: number of frequency bands of a frame.
        dim: channels of the convolutions over time; without any, a frame is `stack` times `mels`.
        strides: strides of the convolutions over time, each with a kernel of ``2 * stride - 1``: [2] gives a frame
            every 20 ms, [2, 2] every 40 ms, [] the spectrogram itself.
        stack: neighbouring frames of the spectrogram put together into one before anything else.
        sample_rate: samples per second; the same as the encoder's.
        normalize: bring every recording to zero mean and unit variance first. Two numbers then depend on the whole
            recording, which a causal encoder may or may not be meant to know.
    """

    sample_rate: int

    def __init__(
        self,
        mels: int = 80,
        dim: int = 256,
        strides: list[int] = [2],  # noqa: B006  # never changed, and --help shows it
        stack: int = 1,
        sample_rate: int = 16000,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        kernels = [2 * stride - 1 for stride in strides]
        _check_layers("LogMel", [stack, *kernels], [stack, *strides])
        self.mels, self.stack, self.sample_rate, self.normalize = mels, stack, sample_rate, normalize
        self.dim = dim if strides else stack * mels
        self.window, self.hop = window_and_hop(sample_rate)
        self.receptive_field, self.stride = _field(self.window, self.hop, [stack, *kernels], [stack, *strides])
        entering = [stack * mels] + [dim] * len(strides)
        self.conv_layers = nn.ModuleList(
            ConvolutionLayer(channels, dim, kernel, stride, "layer", True)
            for channels, kernel, stride in zip(entering, kernels, strides, strict=False)
        )

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 16}

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Frames ``(B, N, dim)`` and their mask; shapes as in `FrontEnd`."""
        samples, frames = inputs.shape[1], self.frames(inputs.shape[1])
        waves = normalize_waveforms(inputs, mask) if self.normalize else silence_padding(inputs, mask)
        # As many frames of the spectrogram as hold every window, and a length that every layer divides exactly.
        step = self.stride // self.hop
        spectra = (frames - 1) * step + (self.receptive_field - self.window) // self.hop + 1
        spectra = _round_up(spectra, step)
        waves = fit_length(waves, (spectra - 1) * self.hop + self.window)
        sequence = spectrogram(waves, self.sample_rate, self.mels).unflatten(1, (-1, self.stack)).flatten(2)
        for layer in self.conv_layers:
            sequence, _ = layer(sequence)
        return sequence[:, :frames], self.frame_mask(mask, samples)


class ConvolutionLayer(nn.Module):
    """Convolution over time, norm, GELU, on channels-last sequences.

    Args:
        channels: number of channels that enter.
        dim: number of channels that leave.
        kernel: size of the kernel.
        stride: step from one output to the next.
        norm: `layer` over each output's channels; `group` over the real outputs of each channel; or `none`.
        bias: whether the convolution has one.
    """

    def __init__(
        self, channels: int, dim: int, kernel: int, stride: int, norm: Literal["layer", "group", "none"], bias: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, dim, kernel, stride, bias=bias)
        nn.init.kaiming_normal_(self.conv.weight)
        if norm == "layer":
            self.layer_norm: nn.Module = nn.LayerNorm(dim)
        elif norm == "group":
            self.layer_norm = ChannelNorm(dim)
        self.norm = norm

    def forward(self, sequence: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Outputs ``(B, L / stride, dim)``, the last ones without meaning (see `convolve`), and how many are real.

        Args:
            sequence: ``(B, L, channels)``, L a multiple of the stride.
            counts: ``(B,)`` how many of its vectors are real; `group` needs them.
        """
        (kernel,), (stride,) = self.conv.kernel_size, self.conv.stride
        sequence = convolve(sequence, self.conv.weight, self.conv.bias, stride)
        counts = None if counts is None else (counts - kernel) // stride + 1
        if self.norm == "layer":
            sequence = self.layer_norm(sequence)
        elif self.norm == "group":
            sequence = self.layer_norm(sequence, counts)
        return F.gelu(sequence), counts


class ChannelNorm(nn.Module):
    """Each channel to zero mean and unit variance over its recording's real outputs, then scale and shift.

    What `torch.nn.GroupNorm` does with as many groups as channels, if it knew of padding; parameters are named alike.

    Args:
        dim: channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, sequence: Tensor, counts: Tensor) -> Tensor:
        """Normalised ``(B, L, dim)``.

        Args:
            sequence: ``(B, L, dim)``.
            counts: ``(B,)`` how many of its vectors, from the first on, are real.
        """
        real = (torch.arange(sequence.shape[1], device=sequence.device) < counts[:, None])[..., None]
        count = counts[:, None, None]
        exact = sequence.float()
        mean = exact.masked_fill(~real, 0).sum(1, keepdim=True) / count
        variance = (exact - mean).masked_fill(~real, 0).square().sum(1, keepdim=True) / count
        scale = torch.rsqrt(variance + 1e-5) * self.weight
        return (exact * scale + (self.bias - mean * scale)).to(sequence.dtype)


def _round_up(length: int, step: int) -> int:
    """The next multiple of a step."""
    return -(-length // step) * step


def _field(receptive_field: int, stride: int, kernels: list[int], strides: list[int]) -> tuple[int, int]:
    """Receptive field and stride of layers put on top of what has these."""
    for kernel, step in zip(kernels, strides, strict=True):
        receptive_field += (kernel - 1) * stride
        stride *= step
    return receptive_field, stride


def _check_layers(name: str, kernels: list[int], strides: list[int]) -> None:
    if len(kernels) != len(strides) or not kernels or min(kernels + strides) < 1:
        raise InputError(
            f"{name}: kernels {kernels} and strides {strides}; give both one number of at least 1 for every layer."
        )


def front_end_config(front_end: FrontEnd) -> dict[str, Any]:
    """How a configuration of the transformers library describes the front end, as far as it can."""
    if not isinstance(front_end, WaveConvolutions):
        return {"conv_dim": (front_end.dim,), "conv_kernel": (1,), "conv_stride": (1,), "num_feat_extract_layers": 1}
    convolutions = [cast(nn.Conv1d, layer.conv) for layer in front_end.conv_layers]
    return {
        "conv_dim": [front_end.dim] * len(convolutions),
        "conv_kernel": [each.kernel_size[0] for each in convolutions],
        "conv_stride": [each.stride[0] for each in convolutions],
        "conv_bias": convolutions[0].bias is not None,
        "feat_extract_norm": front_end.norm,
    }


def published_front_end(model: Any) -> WaveConvolutions:
    """The front end of a published model of the transformers library, weights included.

    Args:
        model: wav2vec 2.0 or HuBERT.

    Raises:
        InputError: its convolutions are of different widths.
    """
    config = model.config
    if len(set(config.conv_dim)) > 1:
        raise InputError(f"pretrained: {config.name_or_path} has convolutions of different widths; choose another.")
    front_end = WaveConvolutions(
        config.conv_dim[0],
        list(config.conv_kernel),
        list(config.conv_stride),
        config.feat_extract_norm,
        config.conv_bias,
    )
    front_end.load_state_dict(model.feature_extractor.state_dict())
    return front_end
