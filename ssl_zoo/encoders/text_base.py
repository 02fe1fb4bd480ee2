"""What text encoders share: how masks are read, how vectors are pooled, and how published weights come in.

The layers of the transformers library are called one by one and not through its own forward pass: that way the fast
attention kernels get no mask where none is needed, and packed rows keep their documents apart.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.encoders.attention import use_fast_attention
from ssl_zoo.encoders.base import Embedded, Encoded, Encoder
from ssl_zoo.encoders.pretrained import load_model
from ssl_zoo.encoders.token_vectors import begin_as_those_of
from ssl_zoo.encoders.weights import Pretrained, remember, source_of
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary

# From vectors ``(B, T, D)`` and what else it is given to vectors of the same shape.
Layer = Callable[..., Tensor]


class TextEncoder(Encoder):
    """What the text encoders share: how masks are read, how vectors are pooled, and how published weights come in.

    `inputs` are token ids ``(B, T)`` int64 of documents that begin and end as `vocabulary` says. `mask` is None when a
    row is one document without padding; bool ``(B, T)``, True where real, with padding on the right; or, for packed
    rows, int64 ``(B, T)``, the number from 1 on of the token's document in its row and 0 for padding. No document sees
    another: in a packed row it gets the vectors that it would get alone.

    `embed` looks tokens up in the vocabulary's table and nothing more, so that a method's mask vector gets position,
    segment and norm as a token does. The token that begins a text is one of its places: there is no prefix.

    Pooled is the mean over a row's real tokens, or the first token's vector where an encoder offers that. A packed
    row's pooled vector mixes its documents.

    Attributes:
        vocabulary: vocabulary of the tokenizer.
        max_length: the most tokens that a row may have.
        pooling: `mean` over real tokens, or `cls`, the first one.
        model: the model of the transformers library; `model.save_pretrained` writes it for others to load.
        in_library: whether the library computes the same of what is written so.
    """

    modality = "text"
    stride = 1
    maskable = droppable = in_library = True
    max_length: int
    pooling: Literal["mean", "cls"]

    def __init__(self, vocabulary: Vocabulary, model: Any, pooling: Literal["mean", "cls"]) -> None:
        super().__init__()
        self.vocabulary, self.model, self.pooling = vocabulary, model, pooling
        self.dim, self.num_layers = model.config.hidden_size, model.config.num_hidden_layers + 1
        self.max_length = model.config.max_position_embeddings
        source, pretrained = (self.settings["init_args"].get(name) for name in ("token_vectors", "pretrained"))
        if None not in (source, pretrained):
            raise InputError(
                f"{type(self).__name__}: pretrained brings token vectors of its own; leave out token_vectors, or it."
            )
        if pretrained is not None:
            remember(self, model, model.config.to_dict())
        if isinstance(source, str):
            begin_as_those_of(source, self, self.token_embedding, vocabulary, as_drawn=True)
        use_fast_attention(model)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {"dim": 32, "depth": 2, "heads": 2}

    @property
    def token_embedding(self) -> nn.Embedding:
        """The vectors of the vocabulary, ``(size, dim)``; a language model's output layer shares them."""
        return self.model.get_input_embeddings()

    @abstractmethod
    def place(self, embedded: Embedded, places: Tensor | None) -> Tensor:
        """What enters the first layer, ``(B, K, D)``: the vectors with all that is added to them; see `Encoder`."""

    @abstractmethod
    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """The trunk's layers in order, each with what it is given besides the vectors ``(B, K, D)`` at `places`."""

    @property
    @abstractmethod
    def last_norm(self) -> nn.Module:
        """What follows the last layer."""

    def embed(self, inputs: Tensor, mask: Tensor | None = None) -> Embedded:
        """Token embeddings ``(B, T, dim)``, and the mask as given."""
        self.check_length(inputs)
        hints = self.hints(inputs, mask)
        return Embedded(self.token_embedding(inputs), mask, hints)

    def hints(self, inputs: Tensor, mask: Tensor | None) -> dict[str, Any]:
        """What `place` needs to know of a row besides its vectors; arguments as those of `embed`."""
        return {}

    def contextualize(self, embedded: Embedded, *, places: Tensor | None = None, layers: bool = False) -> Encoded:
        """Tokens in context; shapes as in `Encoder`."""
        return self.through_layers(self.place(embedded, places), embedded.mask, places, layers)

    def through_layers(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None = None, layers: bool = False
    ) -> Encoded:
        """The rest of `contextualize` for vectors ``(B, K, D)`` that have their positions already, as from `place`."""
        states = [vectors] if layers else []
        for layer, inputs in self.layers_and_inputs(vectors, mask, places):
            vectors = layer(vectors, **inputs)
            if layers:
                states.append(vectors)
        sequence = self.last_norm(vectors)
        real = mask if mask is None or mask.dtype == torch.bool else mask > 0
        return Encoded(sequence, self._pool(sequence, real), real, tuple(states))

    def _pool(self, sequence: Tensor, real: Tensor | None) -> Tensor:
        if self.pooling == "cls":
            return sequence[:, 0]
        if real is None:
            return sequence.mean(1)
        # Counts above 256 are not all to be had in bfloat16.
        total = (sequence * real[..., None]).sum(1, dtype=torch.float32)
        return (total / real.sum(1, keepdim=True)).to(sequence.dtype)

    def attention_mask(self, mask: Tensor | None) -> Tensor | None:
        """Where a token may look: ``(B, 1, 1 or T, T)`` bool; None where nothing else than causality is to be kept.

        A causal model needs no mask for padding, which lies to the right of all that is real.
        """
        if mask is None:
            return None
        if mask.dtype == torch.bool:
            return None if self.causal else mask[:, None, None, :]
        # Padding, document 0, sees itself: a row of softmax that sees nothing would be NaN.
        same = mask[:, None, :, None] == mask[:, None, None, :]
        return same.tril() if self.causal else same

    def check_length(self, inputs: Tensor) -> None:
        """Raise `InputError` when rows are longer than the encoder has positions for."""
        if inputs.shape[1] > self.max_length:
            raise InputError(
                f"{type(self).__name__}: rows of {inputs.shape[1]} tokens, but max_length is {self.max_length}; lower "
                "data.length or raise the encoder's max_length (sentence pairs and prompts need room, too)."
            )


def check_sizes(encoder: str, **sizes: int) -> None:
    """Raise `InputError` unless every one of an encoder's sizes, by the argument's name, is at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{encoder}: {name} is {size}; give a number of at least 1.")


def since_start(counts: Tensor, documents: Tensor) -> Tensor:
    """Running counts along packed rows as counts from the start of each token's document.

    Args:
        counts: ``(B, T)`` or ``(T,)`` int64, nowhere falling and at least 0.
        documents: ``(B, T)`` int64, the number of the document that each token belongs to.

    Returns:
        ``(B, T)`` int64.
    """
    starts = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    return counts - torch.where(starts, counts, 0).cummax(1).values


def positions_in_documents(documents: Tensor) -> Tensor:
    """``(B, T)`` int64, every token's position in its document, given packed rows' document numbers ``(B, T)``."""
    return since_start(torch.arange(documents.shape[1], device=documents.device), documents)


def positions_at(positions: Tensor | None, places: Tensor | None) -> Tensor | None:
    """Positions ``(B, K)`` int64 of the tokens at `places` ``(B, K)``; None where they are 0, 1, 2 and so on.

    Args:
        positions: ``(B, T)`` int64, of all tokens of packed rows in their documents; None for rows of one document.
        places: those of the tokens that are left; None when all are.
    """
    if places is None or positions is None:
        return positions if places is None else places
    return positions.gather(1, places)


def load_pretrained(architecture: Any, source: Pretrained, vocabulary: Vocabulary, **settings: Any) -> Any:
    """A published model in float32, in training mode.

    Args:
        architecture: the model's class in the transformers library.
        source: the model's name on the Hugging Face Hub, or a folder.
        vocabulary: what it is to read.
        **settings: arguments of the model and changes to its configuration.

    Raises:
        InputError: it cannot be read, is of another architecture, lacks weights or has another vocabulary.
    """
    model = load_model([architecture], source, **settings)
    rows = model.get_input_embeddings().num_embeddings
    if rows != vocabulary["size"]:
        raise InputError(
            f"pretrained: {source_of(source)} has embeddings for {rows} tokens but the vocabulary has "
            f"{vocabulary['size']}; set the data's tokenizer to {source_of(source)}, too."
        )
    return model
