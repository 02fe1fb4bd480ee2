"""Denoising: an encoder reads a text with noise, and a decoder writes what is missing, or all of it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.text_noise import Noised, Shown, TextNoise, Written
from ssl_zoo.corruption.token_spans import SegmentedSpans
from ssl_zoo.corruption.words import WordMasking
from ssl_zoo.decoders.tokens import TokenDecoder
from ssl_zoo.decoders.writing import write
from ssl_zoo.encoders.base import Encoded
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, initialize_head
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.texts import Texts, filled_in
from ssl_zoo.rebuilding import require_kind
from ssl_zoo.views.base import require_at_least


class Denoising(Method):
    """Denoising sequence-to-sequence pre-training (T5, Raffel et al., 2019, arXiv:1910.10683, section 3.3).

    A text x is made into what the encoder reads, x~, and what the decoder writes, y. With h the encoder's vectors of
    x~, g the decoder's vectors, and the mean over all tokens of all y in the global batch, each given those before it:

        loss = mean of -log softmax(E g(y_1 ... y_(j-1); h) + b)[y_j]

    E are the encoder's own token embeddings, which the decoder reads and writes with, and below them one row for every
    sentinel: sentinels are no tokens of the tokenizer, whose vocabulary stays as it is. Noise has three parts:
    `masking` hides places, `inputs` says what stands there, and `targets` what is to be written. T5's own are
    `SegmentedSpans`, sentinels and sentinels; MASS (Song et al., 2019, arXiv:1905.02450) is `Fragment`, mask_tokens and
    in_place; BART (Lewis et al., 2019, arXiv:1910.13461) is `Infilling`, mask_spans and full. Tokens that stand for no
    text, as those between the documents of a packed row, are not hidden; a row is one text, in which documents see each
    other, as in T5.

    Watch `train/accuracy`, the part of the hidden tokens that is written right, given the right ones before, and
    `train/perplexity`, of all that is written. Where all of the text is written, most of it is copied, and a low
    perplexity says little. samples.txt shows what the model fills in by itself.

    Args:
        encoder: The network to pretrain; bidirectional.
        masking: What is hidden. None hides 0.15 of the text in spans of 3 tokens on average, as T5 does, but anywhere.
        inputs: What the encoder sees in place of what is hidden: `mask_tokens`, a mask token for every token;
            `mask_spans`, one for every span; `sentinels`, a token of its own for every span of a row; `drop`, nothing;
            `permute`, the hidden tokens themselves in random order.
        targets: What the decoder writes: `full`, the whole text; `sentinels`, every span behind its sentinel;
            `hidden`, the hidden tokens; `in_place`, the same, each at its own position and after its true neighbour.
        replaced: Part of the hidden tokens that are shown as random tokens; with mask_tokens.
        kept: Part of the hidden tokens that are shown as they are; with mask_tokens.
        shuffle_documents: Whether the documents of a packed row come in random order, and `full` is the right one:
            BART's permutation of sentences.
        sentinels: Number of different sentinels, the most spans of a row. Where ends of documents cut spans into more,
            those behind the last sentinel stay visible.
        max_targets: The most tokens that the decoder writes; with in_place, that a row has, at whose places it writes.
        decoder_depth: Transformer layers of the decoder.
        decoder_heads: Attention heads of the decoder.
        decoder_dropout: Rate of dropout in the decoder, in training.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or reads no text, its tokenizer lacks a token, or an argument is out of its
            range or means nothing beside another.
    """

    encoder: TextEncoder

    def __init__(
        self,
        encoder: TextEncoder,
        masking: Masking | None = None,
        inputs: Shown = "sentinels",
        targets: Written = "sentinels",
        replaced: float = 0.0,
        kept: float = 0.0,
        shuffle_documents: bool = False,
        sentinels: int = 100,
        max_targets: int = 512,
        decoder_depth: int = 4,
        decoder_heads: int = 4,
        decoder_dropout: float = 0.1,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if encoder.modality != "text" or encoder.causal or not encoder.maskable:
            raise InputError(
                "Denoising reads texts from both sides and needs a bidirectional text encoder, which "
                f"{type(encoder).__name__} is not: take BertEncoder or ModernBertEncoder."
            )
        require_kind("Denoising", "masking", masking, Masking)
        if isinstance(masking, WordMasking):
            raise InputError(
                f"masking is {type(masking).__name__}, and Denoising knows of no words: take SegmentedSpans or "
                "RandomPlaces."
            )
        require_at_least("sentinels", sentinels, 1)
        require_at_least("max_targets", max_targets, 1)
        if not (replaced >= 0 and kept >= 0 and replaced + kept <= 1):
            raise InputError(f"replaced is {replaced} and kept {kept}; give parts of a whole, 1 together at most.")
        if replaced + kept > 0 and inputs != "mask_tokens":
            raise InputError(f"replaced and kept are about single tokens: leave them at 0, as inputs is {inputs}.")
        if encoder.token_embedding.embedding_dim != encoder.dim:
            raise InputError(
                f"Denoising's decoder reads the token embeddings of {type(encoder).__name__}, which are narrower than "
                "its vectors: take BertEncoder or ModernBertEncoder."
            )
        self.noise = TextNoise(
            encoder.vocabulary,
            SegmentedSpans() if masking is None else masking,
            inputs,
            targets,
            sentinels,
            replaced,
            kept,
            shuffle_documents,
        )
        self.decoder = TokenDecoder(encoder.dim, decoder_depth, decoder_heads, max_targets, decoder_dropout)
        # Of every sentinel, and last of what stands before all that is written.
        self.sentinel_vectors = nn.Parameter(0.02 * torch.randn(sentinels + 1, encoder.dim))
        self.bias = nn.Parameter(torch.zeros(self.noise.size + (sentinels if targets == "sentinels" else 0)))
        initialize_head(self.decoder)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, as perplexity, and the part of the hidden tokens that is written right."""
        noised, table = self.make_noise(batch), self.table()
        vectors = self.decoder(
            F.embedding(noised.read(), table), self.encode_noised(noised).sequence, noised.mask, noised.positions
        )
        (loss, nats), likeliest, _ = token_loss(
            vectors, table[: len(self.bias)], self.bias, noised.targets, noised.valid
        )
        accuracy = global_mean(likeliest == noised.targets, noised.hidden).value
        return {"loss": loss, "accuracy": accuracy, "perplexity": nats.exp()}

    def make_noise(self, batch: Batch) -> Noised:
        """What the encoder reads and the decoder writes of a batch."""
        return self.noise(batch.inputs, batch.mask, self.keys(batch))

    def check_texts(self, length: int, packed: bool) -> None:
        """Rows that are too long for the encoder, the decoder or the sentinels, and single documents to be shuffled."""
        self.noise.check(length, packed)
        if (most := self.noise.most_targets(length)) > self.decoder.max_length:
            raise InputError(
                f"Of rows of {length} tokens up to {most} are written, but max_targets is {self.decoder.max_length}: "
                "raise model.max_targets, or lower data.length."
            )
        if (read := self.noise.most_inputs(length)) > self.encoder.max_length:
            raise InputError(
                f"Of rows of {length} tokens and empty spans up to {read} are read, but the encoder's max_length is "
                f"{self.encoder.max_length}: raise it, or lower data.length."
            )

    def table(self) -> Tensor:
        """``(V + S + 1, D)``, vectors of tokens, of sentinels, and of what begins all that is written.

        As many of them as `bias` has can be written: the tokens, and the sentinels where they are targets.
        """
        return torch.cat([self.encoder.token_embedding.weight, self.sentinel_vectors])

    def encode_noised(self, noised: Noised) -> Encoded:
        """The encoder's vectors of what it is shown."""
        is_sentinel = noised.inputs >= self.noise.size
        embedded = self.encoder.embed(noised.inputs.masked_fill(is_sentinel, self.noise.pad), noised.mask)
        number = (noised.inputs - self.noise.size).clamp_min(0)
        vectors = torch.where(
            is_sentinel[..., None], self.sentinel_vectors[number].to(embedded.vectors.dtype), embedded.vectors
        )
        return self.encoder.contextualize(embedded._replace(vectors=vectors))

    def write(self, noised: Noised) -> Tensor:
        """What the model writes by itself, ``(B, L)`` int64, the likeliest token each time."""
        table, in_place = self.table(), noised.positions is not None
        return write(
            self.decoder,
            self.encode_noised(noised).sequence,
            noised.mask,
            noised.before,
            lambda ids: F.embedding(ids, table),
            lambda vectors: F.linear(vectors, table[: len(self.bias)], self.bias),
            None if in_place else self.noise.end,
            noised.positions,
        )

    @torch.no_grad()
    def texts(self, batch: Batch) -> Texts:
        """What the encoder is shown, and what the model writes: into its gaps where it is known which is whose."""
        noised = self.make_noise(batch)
        written = self.write(noised)
        shown = noised.inputs.masked_fill(~noised.mask, self.noise.pad)
        mask = self.noise.mask_token if self.noise.shown in ("mask_tokens", "mask_spans") else None
        if noised.positions is not None and self.noise.shown not in ("mask_tokens", "permute"):
            # What is shown stands elsewhere than in the text: what is written comes after it, and no token ends it.
            written = written.masked_fill(~noised.valid, self.noise.pad)
            return filled_in(shown, written, self.noise.size, -1, self.noise.pad, mask)
        if noised.positions is not None:
            own = torch.zeros_like(noised.mask).scatter(1, noised.positions, noised.hidden)
            return Texts(torch.zeros_like(shown).scatter(1, noised.positions, written).where(own, shown), own)
        return filled_in(shown, written, self.noise.size, self.noise.end, self.noise.pad, mask)

    def chance_loss(self, batch_size: int) -> float:
        """The log of the number of tokens, and of sentinels where they are written, all being equally likely."""
        return math.log(len(self.bias))
