"""ALBERT, as transformers has it, behind the encoder contract: layers that share their weights."""

from typing import Any, Literal

from torch import Tensor, nn

from ssl_zoo.encoders.attention import check_heads
from ssl_zoo.encoders.base import Embedded
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.encoders.text_base import Layer, TextEncoder, check_sizes, load_pretrained
from ssl_zoo.encoders.weights import Pretrained
from ssl_zoo.vocabulary import Vocabulary

# The parts of a layer, and those that each way of sharing has once for all layers (section 3.1, table 4 of the paper).
PARTS = ("attention", "ffn", "ffn_output", "full_layer_layer_norm")
Sharing = Literal["all", "attention", "feed_forward", "none"]
SHARED: dict[Sharing, tuple[str, ...]] = {
    "all": PARTS,
    "attention": ("attention",),
    "feed_forward": ("ffn", "ffn_output"),
    "none": (),
}


class AlbertEncoder(BertEncoder):
    """ALBERT (Lan et al., 2019, arXiv:1909.11942): BERT with one set of weights for all layers and narrow embeddings.

    Tokens, positions and segments have `embedding_dim` numbers, E, and one linear layer makes H = `dim` of them before
    the first layer: the vocabulary of V tokens costs ``V * E + E * H`` weights in place of ``V * H``. With `shared`
    `all` no weight is added by a further layer, and the gradient of each is the sum over all layers: it takes a lower
    learning rate than BERT.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the vectors in the layers and of those that it gives, H.
        embedding_dim: size of the token embeddings, E; 128 in the paper.
        depth: number of transformer layers, or how often the shared one is applied.
        heads: number of attention heads; must divide `dim`.
        shared: What layers have in common: `all` of their weights, those of `attention` with its norm, those of
            `feed_forward`, or `none`.
        max_length: the most tokens a row may have.
        dropout: rate of dropout on tokens and attention, in training; the paper's largest models do without.
        pooling: what becomes the vector of a text: `mean` over real tokens, or `cls`, the first one, which means
            something once a sentence task or fine-tuning has trained it.
        pretrained: a model's name on the Hugging Face Hub or a folder that `save_pretrained` wrote; its sizes then
            stand for `dim`, `embedding_dim`, `depth`, `heads`, `shared` and `max_length`. Take the same for the data's
            `tokenizer`.
        token_vectors: a run of this project, or an experiment's folder for its newest one, whose token vectors this
            encoder's begin as, such as word2vec's; it has read the same tokens and has vectors of the same width.

    Raises:
        InputError: a size is below 1 or does not fit the others, or the published model cannot be read or does not fit
            the vocabulary.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        embedding_dim: int = 128,
        depth: int = 4,
        heads: int = 4,
        shared: Sharing = "all",
        max_length: int = 512,
        dropout: float = 0.1,
        pooling: Literal["mean", "cls"] = "mean",
        pretrained: Pretrained | None = None,
        token_vectors: Pretrained | None = None,
    ) -> None:
        from transformers import AlbertConfig, AlbertModel

        rates: dict[str, Any] = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        if pretrained is not None:
            model = load_pretrained(AlbertModel, pretrained, vocabulary, add_pooling_layer=False, **rates)
        else:
            check_heads("AlbertEncoder", dim, heads)
            check_sizes("AlbertEncoder", embedding_dim=embedding_dim, depth=depth, max_length=max_length)
            begin, end = vocabulary["begin"], vocabulary["end"]
            config = AlbertConfig(
                vocab_size=vocabulary["size"],
                embedding_size=embedding_dim,
                hidden_size=dim,
                num_hidden_layers=depth,
                num_hidden_groups=1 if shared == "all" else depth,
                num_attention_heads=heads,
                intermediate_size=4 * dim,
                hidden_act="gelu",
                max_position_embeddings=max_length,
                pad_token_id=vocabulary["pad"],
                bos_token_id=end if begin is None else begin,
                eos_token_id=end,
                **rates,
            )
            model = AlbertModel(config, add_pooling_layer=False)
            groups: Any = model.encoder.albert_layer_groups
            first, *others = (group.albert_layers[0] for group in groups)
            for layer in others:
                for part in SHARED[shared]:
                    setattr(layer, part, getattr(first, part))
        TextEncoder.__init__(self, vocabulary, model, pooling)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {**super().tiny(), "embedding_dim": 16}

    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """The sum of token, segment and position embeddings, normalised and made as wide as the layers."""
        return self.model.encoder.embedding_hidden_mapping_in(super().place(embedded, places))

    def parameter_layers(self) -> list[list[str]]:
        """Tokens, positions and segments, then every layer; what layers share is the first one's."""
        layers, seen = [["model.embeddings", "model.encoder.embedding_hidden_mapping_in"]], set[int]()
        for number, group in enumerate(self.model.encoder.albert_layer_groups):
            name = f"model.encoder.albert_layer_groups.{number}.albert_layers."
            parts = {
                f"{name}{inner}.{part}": getattr(layer, part)
                for inner, layer in enumerate(group.albert_layers)
                for part in PARTS
            }
            layers.append([part for part, module in parts.items() if id(module) not in seen])
            seen |= {id(module) for module in parts.values()}
        return layers

    def feed_forwards(self) -> list[nn.Module]:
        """None: what layers share is called by all of them, and no layer's output is any part's."""
        return []

    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """Every layer gets the attention mask; a group of layers is applied as often as its part of the depth."""
        groups, depth = self.model.encoder.albert_layer_groups, self.model.config.num_hidden_layers
        inputs = {"attention_mask": self.attention_mask(mask)}
        return [(groups[number * len(groups) // depth], inputs) for number in range(depth)]
