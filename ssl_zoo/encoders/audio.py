"""The audio encoder that sees a recording as a whole: wav2vec 2.0's transformer."""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.audio_base import AudioEncoder, FrontEnd
from ssl_zoo.encoders.base import Embedded, Encoded
from ssl_zoo.encoders.front_ends import WaveConvolutions, front_end_config, published_front_end
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
            if min(dim, heads) < 1 or dim % heads or position_groups < 1 or dim % position_groups:
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

    def feed_forwards(self) -> list[nn.Module]:
        """The same in layers that normalise before and after their parts."""
        return [layer.feed_forward for layer in self.trunk.layers]

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
