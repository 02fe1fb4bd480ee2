"""The encoder of the first transformer, of the layers of transformers' BERT."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo.encoders.attention import check_heads
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.positions import line_positions
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.encoders.text_base import TextEncoder, check_sizes, positions_at
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary


class TransformerTextEncoder(BertEncoder):
    """The encoder of the Transformer (Vaswani et al., 2017, arXiv:1706.03762, section 3).

    Its layers are those of BERT, norms after every sum, with ReLU. What enters them are tokens times the square root of
    `dim`, and sines and cosines of their positions in the document, sines first; there are no segments and no norm.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors; even.
        depth: number of transformer layers.
        heads: number of attention heads; must divide `dim`.
        max_length: the most tokens a row may have.
        dropout: rate of dropout on tokens, attention and what each part adds, in training.
        pooling: what becomes the vector of a text: `mean` over real tokens, or `cls`, the first one.

    Raises:
        InputError: a size is below 1 or does not fit the others.
    """

    in_library = False
    positions: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 512,
        dropout: float = 0.1,
        pooling: Literal["mean", "cls"] = "mean",
    ) -> None:
        from transformers import BertConfig, BertModel

        check_heads("TransformerTextEncoder", dim, heads)
        check_sizes("TransformerTextEncoder", depth=depth, max_length=max_length)
        if dim % 2:
            raise InputError(f"TransformerTextEncoder: dim is {dim}; give an even number, sines and cosines share it.")
        config = BertConfig(
            vocab_size=vocabulary["size"],
            hidden_size=dim,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * dim,
            hidden_act="relu",
            layer_norm_eps=1e-5,
            max_position_embeddings=max_length,
            pad_token_id=vocabulary["pad"],
            use_cache=False,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        model = BertModel(config, add_pooling_layer=False)
        embeddings = model.embeddings
        del embeddings.position_embeddings, embeddings.token_type_embeddings, embeddings.LayerNorm
        nn.init.normal_(embeddings.word_embeddings.weight, std=dim**-0.5)  # of size 1 where the layers read them
        TextEncoder.__init__(self, vocabulary, model, pooling)
        # It comes back with the constructor.
        self.register_buffer("positions", line_positions(max_length, dim), persistent=False)

    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The sum of scaled tokens and positions."""
        vectors, positions = embedded.vectors, positions_at(embedded.hints["positions"], places)
        if positions is None:
            positions = torch.arange(vectors.shape[1], device=vectors.device)
        return self.model.embeddings.dropout(vectors * math.sqrt(self.dim) + self.positions[positions])

    def no_weight_decay(self) -> list[str]:
        """Nothing: positions are not learnt."""
        return []
