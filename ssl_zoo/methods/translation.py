"""Translation: an encoder reads a text, and a decoder writes it in another language. Supervised, for comparison."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.word_dropout import dropped_words
from ssl_zoo.decoders.beams import Memory, search
from ssl_zoo.decoders.stepwise import StepwiseDecoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.texts import Texts
from ssl_zoo.rebuilding import require_kind
from ssl_zoo.targets.tokens import next_tokens
from ssl_zoo.views.base import require_at_least
from ssl_zoo.vocabulary import Vocabulary

MOST_SCORES = 2_000_000  # of tokens that could come next, for one text: 256 MB of them in a batch of 32


class Translation(Method):
    """Sequence to sequence learning (Sutskever et al., 2014, arXiv:1409.3215; Vaswani et al., 2017, arXiv:1706.03762).

    It is supervised, the only such method here: translations are its labels. It is there to compare encoders by what a
    decoder can make of their vectors, and because attention comes from its papers. With h the encoder's vectors of the
    source, y the target and g the decoder's vectors, the mean over all tokens of all targets in the global batch, and
    q = (1 - label_smoothing) * one-hot(y_j) + label_smoothing / V,

        loss = mean of cross entropy(q, softmax(E g(y_1 ... y_(j-1); h) + b))

    E are the token embeddings that encoder and decoder read, too, if they share them. Which network it is, the encoder
    and the decoder say: GRUs without attention (`GRUTextEncoder`, also with the source reversed, and
    `RecurrentDecoder`), with Bahdanau's or Luong's attention, or the Transformer (`TransformerTextEncoder` and
    `TokenDecoder` with `original`).

    Watch `val/perplexity`, without label smoothing, which `loss` has; and `accuracy`, the part of the tokens that are
    predicted right given the right ones before. Both flatter: what counts is BLEU of what is written, which the
    evaluation at the end has for short and for long sources. samples.txt has source, translation and reference.

    Args:
        encoder: The network that reads; of texts.
        decoder: The network that writes: `TokenDecoder` or `RecurrentDecoder`. Where the encoder's vectors are of
            another size, a linear layer comes between.
        share_embeddings: Whether the decoder reads and writes with the encoder's token embeddings, which then have to
            be of the decoder's size; otherwise it has its own.
        word_dropout: Part of the words, in [0, 1], that the decoder does not read in training, so that it has to look
            at the source. A transformer's decoder otherwise learns a few thousand texts by heart before it does.
        label_smoothing: Part of a target's probability that all tokens share, in [0, 1); 0.1 is Vaswani et al.'s.
        beams: Translations kept at a time when it writes; 1 takes the likeliest token each time. Each has a score for
            every token of the vocabulary, and a text has 2 million of them at most.
        length_penalty: Power of a translation's length by which its log-probability is divided.
        max_new_tokens: The most tokens of a translation that is written.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads no texts, its embeddings cannot be shared, its tokenizer has no token that begins
            a text, or an argument is out of its range.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: StepwiseDecoder,
        share_embeddings: bool = True,
        word_dropout: float = 0.0,
        label_smoothing: float = 0.1,
        beams: int = 4,
        length_penalty: float = 1.0,
        max_new_tokens: int = 128,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        vocabulary: Vocabulary | None = getattr(encoder, "vocabulary", None)
        if vocabulary is None:
            raise InputError(
                f"Translation reads and writes texts, which {type(encoder).__name__} does not: take an encoder of "
                "texts such as GRUTextEncoder or TransformerTextEncoder."
            )
        require_kind("Translation", "decoder", decoder, StepwiseDecoder)
        if vocabulary["begin"] is None:
            raise InputError(
                "Translation writes a text from a token that begins it: take a tokenizer whose documents begin with a "
                "token of their own, like bpe."
            )
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing is {label_smoothing}: give a part of a whole, at least 0 and below 1.")
        require_at_least("beams", beams, 1)
        if beams > (most := max(1, MOST_SCORES // vocabulary["size"])):
            raise InputError(
                f"beams is {beams}, and each of them scores all {vocabulary['size']:,} tokens, which takes too much "
                f"memory: give {most} at most; translations are hardly better with more than ten."
            )
        require_at_least("length_penalty", length_penalty, 0)
        require_at_least("max_new_tokens", max_new_tokens, 1)
        shared: nn.Embedding | None = getattr(encoder, "token_embedding", None)
        if share_embeddings and (shared is None or shared.embedding_dim != decoder.dim):
            size = "none" if shared is None else f"some of size {shared.embedding_dim}"
            raise InputError(
                f"share_embeddings: {type(encoder).__name__} has {size} for a decoder of size {decoder.dim}: set it to "
                "false, or give both one size."
            )
        most = getattr(decoder, "max_length", max_new_tokens)
        if max_new_tokens > most:
            raise InputError(
                f"max_new_tokens is {max_new_tokens}, but decoder.max_length is {most}: raise that, or lower "
                "max_new_tokens."
            )
        self.decoder, self.vocabulary = decoder, vocabulary
        self.word_dropout, self.label_smoothing = word_dropout, label_smoothing
        self.beams, self.length_penalty, self.max_new_tokens = beams, length_penalty, max_new_tokens
        self.bridge = nn.Identity() if encoder.dim == decoder.dim else nn.Linear(encoder.dim, decoder.dim)
        self.embedding = None if share_embeddings else nn.Embedding(vocabulary["size"], decoder.dim)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=decoder.dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(vocabulary["size"]))
        self.silent = [token for token in vocabulary["special"] if token != vocabulary["end"]]  # no text has them

    def check_texts(self, length: int, packed: bool) -> None:
        """Texts that are too long for the encoder, and translations that are for the decoder."""
        super().check_texts(length, packed)
        most: int | None = getattr(self.decoder, "max_length", None)
        if most is not None and length - 1 > most:  # it reads all but the last token
            raise InputError(
                f"Translations have up to {length} tokens, data.length, but decoder.max_length is {most}: lower "
                f"data.length to {most + 1}, or raise the decoder's max_length."
            )

    @property
    def table(self) -> Tensor:
        """``(V, D)``, the vectors of tokens that the decoder reads and writes with."""
        encoder: Any = self.encoder
        return (encoder.token_embedding if self.embedding is None else self.embedding).weight

    def read(self, batch: Batch) -> Memory:
        """What the decoder is given of the sources."""
        encoded = self.encoder(batch.inputs, batch.mask)
        return Memory(self.bridge(encoded.sequence), encoded.mask, self.bridge(encoded.pooled))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, perplexity, and the part of the tokens that are predicted right."""
        target, real = translations(batch)
        following, valid = next_tokens(target, real)
        vectors, mask, summary = self.read(batch)
        read = F.embedding(target[:, :-1], self.table)
        if self.training and self.word_dropout:
            read = read.masked_fill(dropped_words(self.keys(batch), read.shape[1], self.word_dropout)[..., None], 0)
        found = self.decoder(read, vectors, mask, summary=summary)
        mean, likeliest, _ = token_loss(found, self.table, self.bias, following, valid, smoothing=self.label_smoothing)
        accuracy = global_mean(likeliest == following, valid).value
        return {"loss": mean.share, "accuracy": accuracy, "perplexity": mean.value.exp()}

    def write(self, batch: Batch, beams: int | None = None) -> Tensor:
        """Translations, ``(B, L)`` int64 token ids with their end, then padding.

        Args:
            batch: a batch of sources; it needs no targets.
            beams: in place of the method's own.
        """
        table, bias = self.table, self.bias.index_fill(0, torch.tensor(self.silent, device=self.device), -torch.inf)
        begin = self.vocabulary["begin"]
        assert begin is not None, "it was asked for"
        return search(
            self.decoder,
            self.read(batch),
            lambda ids: F.embedding(ids, table),
            lambda vectors: F.linear(vectors, table).float() + bias,
            begin,
            self.vocabulary["end"],
            self.vocabulary["pad"],
            self.max_new_tokens,
            self.beams if beams is None else beams,
            self.length_penalty,
        ).ids

    def attention(self, batch: Batch) -> Tensor | None:
        """What the decoder looks at: ``(B, U - 1, T)`` float32, of each target token but the first; None if nothing."""
        target, _ = translations(batch)
        vectors, mask, summary = self.read(batch)
        return self.decoder.attention(F.embedding(target[:, :-1], self.table), vectors, mask, summary)

    @torch.no_grad()
    def texts(self, batch: Batch) -> Texts:
        """Sources, what the method writes of each, and the references."""
        mask, pad = batch.mask, self.vocabulary["pad"]
        source = batch.inputs if mask is None else batch.inputs.masked_fill(~mask, pad)
        parts = [source, self.write(batch), translations(batch)[0]]
        own = [torch.full_like(part, number == 1, dtype=torch.bool) for number, part in enumerate(parts)]
        return Texts(torch.cat(parts, dim=1), torch.cat(own, dim=1))

    def chance_loss(self, batch_size: int) -> float:
        """The log of the vocabulary's size, every token being equally likely."""
        return math.log(self.vocabulary["size"])


def translations(batch: Batch) -> tuple[Tensor, Tensor]:
    """Token ids of the translations ``(B, U)`` int64, and ``(B, U)`` bool, True where one is real.

    Raises:
        InputError: the batch has none.
    """
    if "target" not in (batch.fields or {}):
        raise InputError(
            "Translation learns from texts beside their translations, and this data has none: take data.source "
            "ParallelTexts, for a file of your own, or TranslatedHandbook."
        )
    return batch.field("target", "Translation"), batch.field("target_mask", "Translation")
