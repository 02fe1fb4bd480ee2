"""Audio encoders: wav2vec 2.0's transformer, wav2vec's causal convolutions and CPC's GRU behind one contract."""

import math
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.audio_base import AudioEncoder, FrontEnd
from ssl_zoo.encoders.base import Embedded, Encoded
from ssl_zoo.encoders.convolution import convolve
from ssl_zoo.encoders.front_ends import LogMel, WaveConvolutions, front_end_config, published_front_end
from ssl_zoo.encoders.pretrained import load_model
from ssl_zoo.encoders.weights import Pretrained, remember
from ssl_zoo.errors import InputError


class Wav2Vec2Encoder(AudioEncoder):
    """wav2vec 2.0's encoder (Baevski et al., 2020, arXiv:2006.11477, section 2): a bidirectional transformer on frames.

    Positions come from a convolution over neighbouring frames. The layers are those of the transformers library, called
    one by one, so that attention gets a mask only where something is padded.

    Args:
        front_end: makes frames of waveforms. None is `WaveConvolutions` with its defaults, or with `pretrained` the
            published model's own, which no other can replace.
        dim: size of the vectors.
        depth: number of transformer layers.
        heads: number of attention heads; must divide `dim`.
        hidden: width of the layers' feed-forward part; None is four times `dim`.
        norm: where layers normalise: `post` normalises after each part of a layer, as the paper's base model does;
            `pre` before it, as the large one does, which trains more stably.
        position_kernel: frames that the convolution for positions sees.
        position_groups: groups of channels of the convolution for positions; must divide `dim`.
        dropout: rate of dropout on vectors, in training.
        attention_dropout: rate of dropout on attention weights, in training.
        activation_dropout: rate of dropout inside the feed-forward parts, in training.
        pretrained: a wav2vec 2.0 or HuBERT model's name on the Hugging Face Hub, or a folder that `save_pretrained`
            wrote; its sizes then stand for everything from `dim` to `position_groups`.
        sample_rate: samples per second; comes from the data.

    Attributes:
        projection: linear, from the front end's frames to `dim`.
        trunk: the transformer, as the transformers library has it.

    Raises:
        InputError: sizes do not fit each other, or the published model cannot be read.
    """

    droppable = True

    def __init__(
        self,
        front_end: FrontEnd | None = None,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int | None = None,
        norm: Literal["pre", "post"] = "pre",
        position_kernel: int = 128,
        position_groups: int = 16,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation_dropout: float = 0.0,
        pretrained: Pretrained | None = None,
        sample_rate: int = 16000,
    ) -> None:
        from transformers import HubertModel, Wav2Vec2Config, Wav2Vec2Model

        settings: dict[str, Any] = {
            "hidden_dropout": dropout,
            "feat_proj_dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation_dropout": activation_dropout,
            "layerdrop": 0.0,
            "mask_time_prob": 0.0,  # masking is the method's
            "mask_feature_prob": 0.0,
        }
        if pretrained is not None:
            if front_end is not None:
                raise InputError(
                    f"Wav2Vec2Encoder: {pretrained} brings its own front end; leave out either front_end or pretrained."
                )
            model = load_model([Wav2Vec2Model, HubertModel], pretrained, **settings)
            remember(self, model, model.config.to_dict())
            front_end = published_front_end(model)
        else:
            if heads < 1 or dim % heads or position_groups < 1 or dim % position_groups:
                raise InputError(
                    f"Wav2Vec2Encoder: dim {dim} is not a multiple of both heads {heads} and position_groups "
                    f"{position_groups}; choose numbers that divide."
                )
            front_end = WaveConvolutions() if front_end is None else front_end
            config = Wav2Vec2Config(
                hidden_size=dim,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                intermediate_size=4 * dim if hidden is None else hidden,
                do_stable_layer_norm=norm == "pre",
                num_conv_pos_embeddings=position_kernel,
                num_conv_pos_embedding_groups=position_groups,
                **front_end_config(front_end),
                **settings,
            )
            model = Wav2Vec2Model(config)
            # As in the authors' code; what the library does to this weight is lost on its weight norm.
            positions = model.encoder.pos_conv_embed.conv
            positions.weight = torch.randn_like(positions.weight) * 2 / math.sqrt(position_kernel * dim)
        use_fast_attention(model)
        super().__init__(front_end, model.config.hidden_size, model.config.num_hidden_layers, sample_rate)
        # HuBERT has a variant without the norm.
        self.feature_norm = getattr(model.feature_projection, "layer_norm", None) or nn.Identity()
        self.projection, self.dropout = model.feature_projection.projection, model.feature_projection.dropout
        self.trunk = model.encoder

    def project(self, normalized: Tensor) -> Tensor:
        """Linear, then dropout."""
        return self.dropout(self.projection(normalized))

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Frames in context; where one is left out, the convolution for positions finds zeros."""
        vectors, mask = embedded.vectors, embedded.mask
        attention_mask = None
        if mask is not None:
            # The convolution for positions reaches into padding, where it must find what lies beyond the last frame.
            vectors = vectors.masked_fill(~mask[..., None], 0)
            attention_mask = mask[:, None, None, :]
        trunk, pre_norm = self.trunk, self.trunk.config.do_stable_layer_norm
        if places is None:
            vectors = vectors + trunk.pos_conv_embed(vectors)
        else:
            spread = places[..., None].expand_as(vectors)
            whole = vectors.new_zeros(vectors.shape[0], embedded.hints["frames"], vectors.shape[2])
            vectors = vectors + trunk.pos_conv_embed(whole.scatter(1, spread, vectors)).gather(1, spread)
        vectors = trunk.dropout(vectors if pre_norm else trunk.layer_norm(vectors))
        states = [vectors]
        for layer in trunk.layers:
            vectors = layer(vectors, attention_mask=attention_mask)
            states.append(vectors)
        sequence = trunk.layer_norm(vectors) if pre_norm else vectors
        return self.encoded(sequence, mask, states if layers else [])

    def no_weight_decay(self) -> list[str]:
        """The convolution for positions, whose weight norm has its size as a parameter of its own."""
        return ["trunk.pos_conv_embed"]

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"front_end": WaveConvolutions(16), "dim": 32, "depth": 2, "heads": 2}

    def parameter_layers(self) -> list[list[str]]:
        """Frames and positions, then every transformer layer."""
        first = ["front_end", "feature_norm", "projection", "trunk.pos_conv_embed"]
        if not self.trunk.config.do_stable_layer_norm:  # its norm is then before the layers, not after them
            first.append("trunk.layer_norm")
        return [first, *([f"trunk.layers.{number}"] for number in range(len(self.trunk.layers)))]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the encoder for others to load, as the transformers library's `Wav2Vec2Model` or `HubertModel`.

        Raises:
            InputError: it has a front end that the library does not know.
        """
        from transformers import AutoModel

        if not isinstance(self.front_end, WaveConvolutions):
            raise InputError(
                f"Wav2Vec2Encoder: the transformers library has no {type(self.front_end).__name__}; only an encoder on "
                "WaveConvolutions can be saved for it."
            )
        model = AutoModel.from_config(self.trunk.config)
        model.feature_extractor.load_state_dict(self.front_end.state_dict())
        parts = {"layer_norm": self.feature_norm, "projection": self.projection}
        model.feature_projection.load_state_dict(nn.ModuleDict(parts).state_dict())
        model.encoder.load_state_dict(self.trunk.state_dict())
        model.save_pretrained(folder)


class CausalConvEncoder(AudioEncoder):
    """wav2vec's context network (Schneider et al., 2019, arXiv:1904.05862, section 3.1): causal convolutions on frames.

    Layers are convolution, norm, ReLU, and a skip connection that halves the variance of the sum, as in the authors'
    code. The paper's norm takes statistics over time, where padding and the future would enter; here each frame is
    normalised by itself, so that a vector depends on nothing but the frames up to its own.

    Args:
        front_end: makes frames of waveforms; with its `normalize` off nothing at all of the future is seen.
        dim: channels of every layer.
        kernels: kernel sizes of the layers, in frames; nine of 3 are the paper's, 2 to 13 its large model's.
        dropout: rate of dropout after each convolution, in training.
        sample_rate: samples per second; comes from the data.
    """

    causal = True

    def __init__(
        self,
        front_end: FrontEnd,
        dim: int = 512,
        kernels: list[int] = [3, 3, 3, 3, 3, 3, 3, 3, 3],  # noqa: B006  # never changed, and --help shows it
        dropout: float = 0.0,
        sample_rate: int = 16000,
    ) -> None:
        if not kernels or min(kernels) < 1:
            raise InputError(f"CausalConvEncoder: kernels are {kernels}; give each layer's size, at least 1.")
        super().__init__(front_end, dim, len(kernels), sample_rate)
        self.projection = nn.Linear(front_end.dim, dim)
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, dim, kernel) for kernel in kernels)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in kernels)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"front_end": LogMel(dim=16), "dim": 32, "kernels": [2, 3]}

    def parameter_layers(self) -> list[list[str]]:
        """Frames, then every convolution with its norm."""
        layers = ([f"convolutions.{number}", f"norms.{number}"] for number in range(len(self.convolutions)))
        return [["front_end", "feature_norm", "projection"], *layers]

    def project(self, normalized: Tensor) -> Tensor:
        """Linear."""
        return self.projection(normalized)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Vectors in the context of earlier ones; padding lies to the right, out of sight."""
        self.require_all(places)
        states, frames = [vectors := embedded.vectors], embedded.vectors.shape[1]
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            convolution = cast(nn.Conv1d, layer)
            past = F.pad(vectors, (0, 0, convolution.kernel_size[0] - 1, 0))
            seen = convolve(past, convolution.weight, convolution.bias, stride=1)[:, :frames]
            vectors = (vectors + torch.relu(norm(self.dropout(seen)))) * math.sqrt(0.5)
            states.append(vectors)
        return self.encoded(vectors, embedded.mask, states if layers else [])


class GRULayer(nn.RNNBase):
    """`torch.nn.GRU` of one layer on ``(B, N, dim)`` from a state of zeros, which `torch.compile` traces.

    It refuses that class by name, and not the function that it calls.

    Args:
        dim: size of vectors and state.
    """

    def __init__(self, dim: int) -> None:
        super().__init__("GRU", dim, dim, batch_first=True)

    def forward(self, vectors: Tensor) -> Tensor:
        """The state after every vector, ``(B, N, dim)``."""
        start = vectors.new_zeros(1, len(vectors), self.hidden_size)
        weights = cast(list[Tensor], self._flat_weights)
        return torch.gru(vectors, start, weights, True, 1, 0.0, self.training, False, True)[0]


class GRUEncoder(AudioEncoder):
    """CPC's autoregressive network (van den Oord et al., 2018, arXiv:1807.03748, section 3.1): a GRU on frames.

    Args:
        front_end: makes frames of waveforms; with its `normalize` off nothing at all of the future is seen.
        dim: size of the GRU's state.
        depth: number of GRUs on top of each other; the paper has one.
        sample_rate: samples per second; comes from the data.
    """

    causal = True

    def __init__(self, front_end: FrontEnd, dim: int = 256, depth: int = 1, sample_rate: int = 16000) -> None:
        super().__init__(front_end, dim, depth, sample_rate)
        self.projection = nn.Linear(front_end.dim, dim)
        self.layers = nn.ModuleList(GRULayer(dim) for _ in range(depth))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"front_end": WaveConvolutions(16, [10, 8, 4], [5, 4, 2]), "dim": 32}

    def parameter_layers(self) -> list[list[str]]:
        """Frames, then every GRU."""
        return [["front_end", "feature_norm", "projection"], *([f"layers.{i}"] for i in range(len(self.layers)))]

    def project(self, normalized: Tensor) -> Tensor:
        """Linear."""
        return self.projection(normalized)

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Vectors in the context of earlier ones; padding lies to the right, out of sight."""
        self.require_all(places)
        states = [embedded.vectors]
        # A state that is added to hundreds of times wants float32.
        with torch.autocast(embedded.vectors.device.type, enabled=False):
            for layer in self.layers:
                states.append(layer(states[-1].float()))
        return self.encoded(states[-1], embedded.mask, states if layers else [])
