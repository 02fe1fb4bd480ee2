"""ModernBERT, as transformers has it, behind the encoder contract."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import check_heads
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.text_base import Layer, TextEncoder, check_sizes, load_pretrained
from ssl_zoo.encoders.weights import Pretrained
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary


class ModernBertEncoder(TextEncoder):
    """ModernBERT (Warner et al., 2024, arXiv:2412.13663): BERT with rotary positions, gated layers and local attention.

    Every third layer, from the first on, sees the whole document; the others see a window around each token.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors.
        depth: number of transformer layers.
        heads: number of attention heads; `dim` must be an even multiple of the number.
        max_length: the most tokens a row may have; positions are relative and cost nothing.
        window: tokens that a local layer sees, half of them on either side.
        dropout: rate of dropout on tokens, attention and hidden layers, in training; the paper has none.
        pooling: what becomes the vector of a text: `mean` over real tokens, or `cls`, the first one.
        pretrained: a model's name on the Hugging Face Hub or a folder that `save_pretrained` wrote; its sizes then
            stand for `dim`, `depth`, `heads`, `max_length` and `window`. Take the same for the data's `tokenizer`.
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
        max_length: int = 8192,
        window: int = 128,
        dropout: float = 0.0,
        pooling: Literal["mean", "cls"] = "mean",
        pretrained: Pretrained | None = None,
        token_vectors: Pretrained | None = None,
    ) -> None:
        from transformers import ModernBertConfig, ModernBertModel

        rates: dict[str, Any] = {"attention_dropout": dropout, "embedding_dropout": dropout, "mlp_dropout": dropout}
        if pretrained is not None:
            model = load_pretrained(ModernBertModel, pretrained, vocabulary, **rates)
        else:
            check_heads("ModernBertEncoder", dim, heads)
            check_sizes("ModernBertEncoder", depth=depth, max_length=max_length, window=window)
            if dim // heads % 2:
                raise InputError(
                    f"ModernBertEncoder: {dim // heads} dimensions a head, but rotations turn pairs; "
                    "choose an even multiple of heads for dim."
                )
            begin, end = vocabulary["begin"], vocabulary["end"]
            config = ModernBertConfig(
                vocab_size=vocabulary["size"],
                hidden_size=dim,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                intermediate_size=3 * dim // 2,  # the ratio of ModernBERT-base; the gate doubles it
                max_position_embeddings=max_length,
                local_attention=window,
                pad_token_id=vocabulary["pad"],
                bos_token_id=begin,
                cls_token_id=begin,
                eos_token_id=end,
                sep_token_id=end,
                **rates,
            )
            model = ModernBertModel(config)
        super().__init__(vocabulary, model, pooling)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Three layers, as the first of three sees the whole document and the others a window."""
        return {**super().tiny(), "depth": 3, "window": 8}

    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The vectors, normalised; positions come in with attention."""
        return self.model.embeddings(inputs_embeds=embedded.vectors)

    def parameter_layers(self) -> list[list[str]]:
        """Tokens, then every transformer layer."""
        return [["model.embeddings"], *([f"model.layers.{number}"] for number in range(len(self.model.layers)))]

    def feed_forwards(self) -> list[nn.Module]:
        """The layers' gated parts."""
        return [layer.mlp for layer in self.model.layers]

    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """Local layers get a narrower attention mask and faster rotations than the others."""
        # Counted over the row: distances, which are all that attention sees of positions, are those in the document.
        positions = torch.arange(vectors.shape[1], device=vectors.device)[None] if places is None else places
        masks = {"full_attention": self.attention_mask(mask)}
        masks["sliding_attention"] = masks["full_attention"]
        window = self.model.config.sliding_window
        # An exported program has rows of every length in one, and a few places can lie far apart.
        if torch.compiler.is_exporting() or places is not None or vectors.shape[1] - 1 > window:
            near = ((positions[:, :, None] - positions[:, None]).abs() <= window)[:, None]
            full = masks["full_attention"]
            masks["sliding_attention"] = near if full is None else full & near
        inputs = {
            kind: {
                "attention_mask": masks[kind],
                "position_embeddings": self.model.rotary_emb(vectors, positions, kind),
            }
            for kind in set(self.model.config.layer_types)
        }
        return [(layer, inputs[layer.attention_type]) for layer in self.model.layers]

    @property
    def last_norm(self) -> nn.Module:
        """The norm that this model's layers begin with and do not end with."""
        return self.model.final_norm
