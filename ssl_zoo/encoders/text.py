"""Text encoders: transformers' BERT and GPT-2 behind the encoder contract."""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import attend, check_heads
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.text_base import (
    Layer,
    TextEncoder,
    check_sizes,
    load_pretrained,
    positions_at,
    positions_in_documents,
    since_start,
)
from ssl_zoo.encoders.weights import Pretrained
from ssl_zoo.vocabulary import Vocabulary


class BertEncoder(TextEncoder):
    """BERT (Devlin et al., 2018, arXiv:1810.04805): bidirectional, with learnt positions and segments.

    A token's segment is the number of end tokens before it in its document, which gives `[CLS] A [SEP] B [SEP]` the
    paper's segments 0 and 1.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors.
        depth: number of transformer layers.
        heads: number of attention heads; must divide `dim`.
        max_length: the most tokens a row may have.
        dropout: rate of dropout on tokens and attention, in training.
        pooling: what becomes the vector of a text: `mean` over real tokens, or `cls`, the first one, which means
            something once a sentence task or fine-tuning has trained it.
        pretrained: a model's name on the Hugging Face Hub or a folder that `save_pretrained` wrote; its sizes then
            stand for `dim`, `depth`, `heads` and `max_length`. Take the same for the data's `tokenizer`.
        token_vectors: a run of this project, or an experiment's folder for its newest one, whose token vectors this
            encoder's begin as, such as word2vec's; it has read the same tokens and has vectors of the same width.

    Raises:
        InputError: a size is below 1 or does not fit the others, or the published model cannot be read or does not fit
            the vocabulary.
    """

    causal = False

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 512,
        dropout: float = 0.1,
        pooling: Literal["mean", "cls"] = "mean",
        pretrained: Pretrained | None = None,
        token_vectors: Pretrained | None = None,
    ) -> None:
        from transformers import BertConfig, BertModel

        rates: dict[str, Any] = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        if pretrained is not None:
            model = load_pretrained(BertModel, pretrained, vocabulary, add_pooling_layer=False, **rates)
        else:
            check_heads(type(self).__name__, dim, heads)
            check_sizes(type(self).__name__, depth=depth, max_length=max_length)
            config = BertConfig(
                vocab_size=vocabulary["size"],
                hidden_size=dim,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                intermediate_size=4 * dim,
                max_position_embeddings=max_length,
                pad_token_id=vocabulary["pad"],
                use_cache=False,
                **rates,
            )
            model = BertModel(config, add_pooling_layer=False)
        super().__init__(vocabulary, model, pooling)

    def hints(self, inputs: Tensor, mask: Tensor | None) -> dict[str, Any]:
        """Every token's segment and, in packed rows, its position in its document, both ``(B, T)`` int64."""
        ends = (inputs == self.vocabulary["end"]).long()
        segments, positions = ends.cumsum(1) - ends, None
        if mask is not None and mask.dtype != torch.bool:
            segments, positions = since_start(segments, mask), positions_in_documents(mask)
        return {"segments": segments.clamp(max=self.model.config.type_vocab_size - 1), "positions": positions}

    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The sum of token, segment and position embeddings, normalised."""
        segments, positions = embedded.hints["segments"], positions_at(embedded.hints["positions"], places)
        if places is not None:
            segments = segments.gather(1, places)
        return self.model.embeddings(inputs_embeds=embedded.vectors, token_type_ids=segments, position_ids=positions)

    def no_weight_decay(self) -> list[str]:
        """The positions."""
        return ["model.embeddings.position_embeddings"]

    def parameter_layers(self) -> list[list[str]]:
        """Tokens, positions and segments, then every transformer layer."""
        layers = range(len(self.model.encoder.layer))
        return [["model.embeddings"], *([f"model.encoder.layer.{number}"] for number in layers)]

    def feed_forwards(self) -> list[nn.Module]:
        """The second linear part of every layer's, whose norm comes after the sum."""
        return [layer.output.dense for layer in self.model.encoder.layer]

    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """Every layer gets the attention mask."""
        inputs = {"attention_mask": self.attention_mask(mask)}
        return [(layer, inputs) for layer in self.model.encoder.layer]

    @property
    def last_norm(self) -> nn.Module:
        """Nothing: BERT's layers end with their norm."""
        return nn.Identity()


class GPT2Encoder(TextEncoder):
    """GPT-2 (Radford et al., 2019, "Language models are unsupervised multitask learners"): a token sees those before.

    Pooled is the mean over real tokens; the first token has seen nothing.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors.
        depth: number of transformer layers.
        heads: number of attention heads; must divide `dim`.
        max_length: the most tokens a row, or a generated text with its prompt, may have.
        dropout: rate of dropout on tokens and attention, in training.
        bias: whether linear layers and norms have biases, as GPT-2's do; without them training is a little faster. A
            pretrained model has its own.
        pretrained: a model's name on the Hugging Face Hub or a folder that `save_pretrained` wrote; its sizes then
            stand for `dim`, `depth`, `heads` and `max_length`. Take the same for the data's `tokenizer`.
        token_vectors: a run of this project, or an experiment's folder for its newest one, whose token vectors this
            encoder's begin as, such as word2vec's; it has read the same tokens and has vectors of the same width.

    Raises:
        InputError: a size is below 1 or does not fit the others, or the published model cannot be read or does not fit
            the vocabulary.
    """

    causal = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 512,
        dropout: float = 0.1,
        bias: bool = True,
        pretrained: Pretrained | None = None,
        token_vectors: Pretrained | None = None,
    ) -> None:
        from transformers import GPT2Config, GPT2Model

        rates: dict[str, Any] = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
        if pretrained is not None:
            model = load_pretrained(GPT2Model, pretrained, vocabulary, **rates)
        else:
            check_heads("GPT2Encoder", dim, heads)
            check_sizes("GPT2Encoder", depth=depth, max_length=max_length)
            begin, end = vocabulary["begin"], vocabulary["end"]
            config = GPT2Config(
                vocab_size=vocabulary["size"],
                n_embd=dim,
                n_layer=depth,
                n_head=heads,
                n_positions=max_length,
                activation_function="gelu",  # exact; the original's approximation by tanh takes longer to compute
                bos_token_id=end if begin is None else begin,
                eos_token_id=end,
                pad_token_id=vocabulary["pad"],
                use_cache=False,
                **rates,
            )
            model = GPT2Model(config)
            if not bias:
                _fix_biases_at_zero(model)
        super().__init__(vocabulary, model, "mean")

    def hints(self, inputs: Tensor, mask: Tensor | None) -> dict[str, Any]:
        """In packed rows every token's position in its document, ``(B, T)`` int64."""
        packed = None if mask is None or mask.dtype == torch.bool else mask
        return {"positions": None if packed is None else positions_in_documents(packed)}

    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The sum of token and position embeddings."""
        vectors, positions = embedded.vectors, positions_at(embedded.hints["positions"], places)
        if positions is None:
            positions = torch.arange(vectors.shape[1], device=vectors.device)
        return self.model.drop(vectors + self.model.wpe(positions))

    def no_weight_decay(self) -> list[str]:
        """The positions."""
        return ["model.wpe"]

    def parameter_layers(self) -> list[list[str]]:
        """Tokens and positions, then every transformer layer."""
        return [["model.wte", "model.wpe"], *([f"model.h.{number}"] for number in range(len(self.model.h)))]

    def feed_forwards(self) -> list[nn.Module]:
        """The dropout after it, as it is the last part that `_gpt2_layer` calls."""
        return [layer.mlp.dropout for layer in self.model.h]

    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """Every layer gets the attention mask; without one it is causal by itself."""
        inputs = {"attention_mask": self.attention_mask(mask)}
        return [(partial(_gpt2_layer, layer), inputs) for layer in self.model.h]

    @property
    def last_norm(self) -> nn.Module:
        """The norm that this model's layers begin with and do not end with."""
        return self.model.ln_f


def _fix_biases_at_zero(model: Any) -> None:
    """Buffers of zeros in place of all biases, which the library's own layers add and its saved models have."""
    for module in model.modules():
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            zeros = torch.zeros_like(module.bias)
            del module.bias
            module.register_buffer("bias", zeros)


def _gpt2_layer(layer: Any, vectors: Tensor, attention_mask: Tensor | None) -> Tensor:
    """What transformers' `GPT2Block` computes while it writes no text; its own way there costs a small model 7 %."""
    attention, mlp = layer.attn, layer.mlp
    shape = (*vectors.shape[:2], 3, attention.num_heads, attention.head_dim)
    query, key, value = _linear(attention.c_attn, layer.ln_1(vectors)).view(shape).permute(2, 0, 3, 1, 4)
    dropout = attention.attn_dropout.p if attention.training else 0.0
    heads, _ = attend(attention, query, key, value, attention_mask, dropout=dropout, scaling=attention.scaling)
    vectors = vectors + attention.resid_dropout(_linear(attention.c_proj, heads.flatten(2)))
    hidden = mlp.act(_linear(mlp.c_fc, layer.ln_2(vectors)))
    return vectors + mlp.dropout(_linear(mlp.c_proj, hidden))


def _linear(layer: Any, vectors: Tensor) -> Tensor:
    """The library's `Conv1D`, without an addition of zeros."""
    return vectors @ layer.weight if "bias" in layer._buffers else layer(vectors)
