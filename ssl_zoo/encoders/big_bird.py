"""BigBird: BERT whose tokens see the blocks around them, a few for all and a few at random, at a linear cost."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import attend, use_attention
from ssl_zoo.encoders.base import Embedded, Encoded
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.encoders.text_base import Layer, check_sizes
from ssl_zoo.encoders.weights import Pretrained
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

NAME = "ssl_zoo_blocks"


class BigBirdEncoder(BertEncoder):
    """BigBird (Zaheer et al., 2020, arXiv:2007.14062, section 2) with global tokens of the text itself (BigBird-ITC).

    A row is cut into blocks of `block` tokens. A block sees `window` blocks with itself in the middle, the first
    `global_blocks` of the row, which see all others in turn, and `random_blocks` others, drawn once for every layer:
    time and memory grow with the length of a row and not with its square. Where that comes to all blocks it is BERT, to
    whose weights nothing is added. The paper's base model has blocks of 64, 3 blocks of a window, 2 for all and 3 at
    random (appendix E.1); its two for all stand at either end of a text, these at the beginning.

    Documents of a packed row do not see each other, but blocks are counted along the row: one that does not begin the
    row has no tokens for all. Fill rows with single documents (data.packing false) where that matters.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors.
        depth: number of transformer layers.
        heads: number of attention heads; must divide `dim`.
        max_length: the most tokens a row may have.
        block: tokens of a block.
        window: blocks that a block sees around it, itself included; odd.
        global_blocks: blocks at the beginning of a row that see all others and that all others see.
        random_blocks: further blocks that a block sees, drawn among the others.
        seed: what these are drawn by: with the same seed they are the same in every process and every run.
        dropout: rate of dropout on tokens and attention, in training. With it PyTorch keeps the weights of attention.
        pooling: what becomes the vector of a text: `mean` over real tokens, or `cls`, the first one, which means
            something once a sentence task or fine-tuning has trained it.
        pretrained: a BERT's name on the Hugging Face Hub or a folder that `save_pretrained` wrote; its sizes then stand
            for `dim`, `depth`, `heads` and `max_length`. Take the same for the data's `tokenizer`.

    Raises:
        InputError: a size is below 1 or does not fit the others, `window` is even, or the published model cannot be
            read or does not fit the vocabulary.
    """

    droppable = in_library = False
    draws: Tensor

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 4096,
        block: int = 64,
        window: int = 3,
        global_blocks: int = 2,
        random_blocks: int = 3,
        seed: int = 0,
        dropout: float = 0.1,
        pooling: Literal["mean", "cls"] = "mean",
        pretrained: Pretrained | None = None,
    ) -> None:
        check_sizes("BigBirdEncoder", block=block, window=window)
        if window % 2 == 0 or min(global_blocks, random_blocks) < 0:
            raise InputError(
                f"BigBirdEncoder: window is {window}, global_blocks {global_blocks} and random_blocks {random_blocks}; "
                "give an odd number for the first and at least 0 for the others."
            )
        super().__init__(vocabulary, dim, depth, heads, max_length, dropout, pooling, pretrained)
        self.block, self.window = block, window
        self.global_blocks, self.random_blocks = global_blocks, random_blocks
        use_attention(self.model, NAME, attend_in_blocks)
        most, layers = -(-self.max_length // block), len(self.model.encoder.layer)
        keys = fold_in(torch.full((layers * most,), seed), torch.arange(layers * most))
        self.register_buffer("draws", uniform(keys, most).view(layers, most, most), persistent=False)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Blocks so small that a short text has many of them."""
        return {**super().tiny(), "max_length": 64, "block": 2, "global_blocks": 1, "random_blocks": 1}

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Tokens in context; shapes as in `Encoder`."""
        self.require_all(places)
        return super().contextualize(embedded, layers=layers)

    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """Every layer gets the blocks that are seen in it."""
        length = vectors.shape[1]
        number = -(-length // self.block)
        if number <= max(self.global_blocks, self.window // 2 + 1):  # all see all
            return super().layers_and_inputs(vectors, mask, places)
        documents = None if mask is None else mask.long()
        if length % self.block:
            real = torch.ones(1, length, dtype=torch.int64, device=vectors.device) if documents is None else documents
            documents = F.pad(real, (0, number * self.block - length))
        return [
            (layer, {"attention_mask": self.blocks(number, documents, draws)})
            for layer, draws in zip(self.model.encoder.layer, self.draws[:, :number, :number], strict=True)
        ]

    def blocks(self, number: int, documents: Tensor | None, draws: Tensor) -> "Blocks":
        """What each of so many blocks of a row sees; random ones are drawn where the row has real tokens.

        Args:
            number: blocks of a row, n.
            documents: numbers of the tokens' documents, as in `Blocks`.
            draws: ``(n, n)`` float32, those with the smallest are taken.
        """
        place = torch.arange(number, device=draws.device)
        seen = ((place[:, None] - place).abs() <= self.window // 2) | (place < self.global_blocks)
        seen, others = seen[None], ~seen[None]
        if documents is not None:
            others = others & (documents.unflatten(1, (number, self.block)) > 0).any(2)[:, None]
        if self.random_blocks:
            order = draws.masked_fill(~others, 2.0).argsort(dim=2, stable=True)[..., : self.random_blocks]
            seen = seen | (torch.zeros_like(others).scatter(2, order, True) & others)
        most = min(number, self.window + self.global_blocks + self.random_blocks)
        keys = seen.long().argsort(dim=2, descending=True, stable=True)[..., :most]
        return Blocks(keys, seen.expand(len(keys), -1, -1).gather(2, keys), documents, self.block, self.global_blocks)


class Blocks(NamedTuple):
    """What blocks of tokens see in one layer; B is 1 where all rows are alike.

    Attributes:
        keys: ``(B, n, K)`` int64, blocks that each block may see.
        seen: ``(B, n, K)`` bool, which of these it does.
        documents: ``(B, n * size)`` int64, the number of each token's document and 0 for padding; None where all of
            them are real and of one document.
        size: tokens of a block.
        for_all: blocks at a row's beginning that see all others.
    """

    keys: Tensor
    seen: Tensor
    documents: Tensor | None
    size: int
    for_all: int


def attend_in_blocks(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **settings: Any
) -> tuple[Tensor, None]:
    """`attend` to the blocks that `attention_mask` names; where it is a mask or None, to all that it shows.

    Args:
        module: the layer that asks.
        query: ``(B, H, T, D / H)``.
        key: the same shape.
        value: the same shape.
        attention_mask: `Blocks`, or as in `attend`.
        **settings: as in `attend`.

    Returns:
        ``(B, T, H, D / H)``, and None in place of the weights.
    """
    if not isinstance(attention_mask, Blocks):
        return attend(module, query, key, value, attention_mask, **settings)
    keys, seen, documents, size, first = attention_mask
    rows, length, number = len(query), query.shape[2], keys.shape[1]
    query, key, value = (F.pad(each, (0, 0, 0, number * size - length)) for each in (query, key, value))
    parts = []
    if first:
        same = None if documents is None else (documents[:, : first * size, None] == documents[:, None])[:, None]
        parts.append(attend(module, query[:, :, : first * size], key, value, same, **settings)[0])
    # From here on every block of the others is a row of its own, with the keys that it sees.
    keys, others = keys[:, first:], number - first
    chosen = keys + number * torch.arange(rows, device=keys.device)[:, None, None]
    visible = seen[:, first:].repeat_interleave(size, dim=2)[:, :, None]
    if documents is not None:
        documents = documents.expand(rows, -1).unflatten(1, (number, size))
        visible = visible & (documents[:, first:, :, None] == documents.flatten(0, 1)[chosen].flatten(2)[:, :, None])
    visible = visible.expand(rows, -1, -1, -1).flatten(0, 1)[:, None]
    own = _in_blocks(query[:, :, first * size :], others)
    key, value = (_in_blocks(each, number)[chosen].transpose(2, 3).flatten(3, 4).flatten(0, 1) for each in (key, value))
    read = attend(module, own, key, value, visible, **settings)[0]
    parts.append(read.unflatten(0, (rows, others)).flatten(1, 2))
    return torch.cat(parts, dim=1)[:, :length], None


def _in_blocks(vectors: Tensor, number: int) -> Tensor:
    """``(B * number, H, size, D / H)``, of so many blocks in ``(B, H, T, D / H)``."""
    return vectors.unflatten(2, (number, -1)).transpose(1, 2).flatten(0, 1)
