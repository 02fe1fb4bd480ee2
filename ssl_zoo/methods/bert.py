"""BERT: tokens are hidden and predicted from what stands around them."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.masking import Masking
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.sentence_pairs import SentencePairs
from ssl_zoo.corruption.tokens import TokenCorruption
from ssl_zoo.corruption.words import RandomWords
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, initialize_head, token_nats
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.randomness import fold_in

# What an example's keys are folded with, so that its draws are independent of each other.
MASKING, PAIRS = 1, 2


class BERT(Method):
    """Pre-training of deep bidirectional transformers (Devlin et al., 2018, arXiv:1810.04805).

    With M the positions to predict in the global batch, x~ the text in which most of them are hidden, and h the
    encoder's vectors of it:

        loss = -1/|M| * sum over i in M of log softmax(E g(h_i) + b)[x_i]

    E are the encoder's own token embeddings and g is a layer with GELU and norm, as wide as those. It is computed at
    the positions in M only. A sentence task adds the mean of -log p(pair is spoilt or not), predicted from the first
    token's vector.

    Watch `train/accuracy`, the part of hidden tokens predicted right, and `train/perplexity`, among how many equally
    likely tokens the model still wavers. At first it learns how frequent tokens are, which says little; after that
    accuracy climbs with the context that the encoder uses. The perplexity of an epoch is the mean of its batches'.

    Args:
        encoder: The network to pretrain; bidirectional.
        mask_ratio: Part of the text to predict; None takes the paper's 0.15, larger models bear 0.4 (arXiv:2202.08005).
        whole_words: Hide all pieces of a word together, which keeps the rest of a word from giving it away.
        masking: What is predicted, in place of `mask_ratio` and `whole_words`, such as `RandomNGrams`, ALBERT's, or
            `RandomWordSpans`, SpanBERT's; None takes single tokens, or words.
        sentence_task: A second task: `nsp` predicts whether one piece of text follows another (the paper's), `sop` in
            which order two pieces stand (ALBERT's); `none` is RoBERTa's choice. It needs documents, not packed rows.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal or reads no text, its tokenizer lacks a token that the task needs,
            `mask_ratio` is out of its range or given beside a masking, or packed rows come with a sentence task.
    """

    encoder: TextEncoder

    def __init__(
        self,
        encoder: TextEncoder,
        mask_ratio: float | None = None,
        whole_words: bool = False,
        masking: Masking | None = None,
        sentence_task: Literal["none", "nsp", "sop"] = "none",
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if not isinstance(encoder, TextEncoder) or encoder.causal:
            raise InputError(
                "BERT predicts hidden words from both sides and needs a bidirectional text encoder, which "
                f"{type(encoder).__name__} is not: take BertEncoder or ModernBertEncoder."
            )
        if masking is None:
            masking = (RandomWords if whole_words else RandomPlaces)(0.15 if mask_ratio is None else mask_ratio)
        elif whole_words or mask_ratio is not None:
            raise InputError(
                "BERT: mask_ratio and whole_words say what is predicted where there is no masking, which has a "
                "mask_ratio of its own: set model.mask_ratio to null and model.whole_words to false, or leave out "
                "masking."
            )
        self.corruption = TokenCorruption(encoder.vocabulary, masking)
        width = encoder.token_embedding.embedding_dim
        self.head = nn.Sequential(nn.Linear(encoder.dim, width), nn.GELU(), nn.LayerNorm(width, eps=1e-12))
        self.head_bias = nn.Parameter(torch.zeros(encoder.vocabulary["size"]))
        initialize_head(self.head)
        self.pairs: SentencePairs | None = None
        if sentence_task != "none":
            self.pairs = SentencePairs(encoder.vocabulary, sentence_task, encoder.max_length)
            self.pair_head = nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.Tanh(), nn.Linear(encoder.dim, 2))
            initialize_head(self.pair_head)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, accuracy and perplexity of the hidden tokens, and the sentence task's loss and accuracy."""
        inputs, mask, keys = batch.inputs, batch.mask, self.keys(batch)
        if self.pairs is not None:
            if mask is not None and mask.dtype != torch.bool:
                raise InputError("A sentence task cuts single documents, not packed rows: set data.packing to false.")
            inputs, mask, order, cut = self.pairs(inputs, mask, fold_in(keys, PAIRS))
        corrupted, hidden = self.corruption(inputs, mask, fold_in(keys, MASKING))
        sequence = self.encoder(corrupted, mask).sequence
        vectors, targets, table = self.head(hidden.at(sequence)), hidden.at(inputs), self.encoder.token_embedding.weight
        (loss, nats), likeliest, _ = token_loss(vectors, table, self.head_bias, targets, hidden.valid)
        terms = {"accuracy": _accuracy(likeliest, targets, hidden.valid), "perplexity": nats.exp()}
        if self.pairs is not None:
            logits = self.pair_head(sequence[:, 0])
            pair_loss, terms["pair_loss"] = global_mean(token_nats(logits, order), cut)
            terms["pair_accuracy"] = _accuracy(logits.detach().argmax(-1), order, cut)
            loss = loss + pair_loss
        return {"loss": loss, **terms}

    def check_texts(self, length: int, packed: bool) -> None:
        """Texts that are too long, with the token between two segments where there are some."""
        super().check_texts(length, packed)
        if self.pairs is not None and length + 1 > self.encoder.max_length:
            raise InputError(
                f"Texts have up to {length} tokens, data.length, a sentence task adds one, and max_length is "
                f"{self.encoder.max_length}: lower data.length, or raise the encoder's max_length."
            )

    def token_logits(self, vectors: Tensor) -> Tensor:
        """What the tokens at some positions could be: ``(B, K, V)`` logits of the encoder's vectors ``(B, K, D)``."""
        return F.linear(self.head(vectors), self.encoder.token_embedding.weight, self.head_bias)

    def chance_loss(self, batch_size: int) -> float:
        """The log of the vocabulary's size, every token being equally likely; a sentence task adds a coin's toss."""
        return math.log(self.encoder.vocabulary["size"]) + (math.log(2) if self.pairs is not None else 0.0)


def _accuracy(predicted: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    return global_mean(predicted == targets, valid).value
