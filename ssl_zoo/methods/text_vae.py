"""A variational autoencoder of sentences: a code of what a text says, from which it is written word by word."""

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.word_dropout import dropped_words
from ssl_zoo.decoders.sentences import SentenceDecoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives import elbo
from ssl_zoo.objectives.language_modeling import global_mean
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_posterior
from ssl_zoo.parts.latent_space import interpolate, posterior
from ssl_zoo.parts.texts import Texts
from ssl_zoo.randomness import fold_in, normal
from ssl_zoo.targets.tokens import next_tokens
from ssl_zoo.views.base import require_at_least, require_probability
from ssl_zoo.vocabulary import Vocabulary

# What an example's keys are folded with, so that its draws are independent of each other.
LATENT, DROPPED = 1, 2
# Texts between two, both ends included.
STEPS = 6


class TextVAE(Method):
    """Generating sentences from a continuous space (Bowman et al., 2015, arXiv:1511.06349).

    With q(z | x) a diagonal Gaussian whose mean and log variance are linear in the encoder's pooled vector, and x~ the
    text in which a part of the words is left out,

        loss = -sum over t of log p(x_t | x~_1, ..., x~_(t-1), z) + weight * KL(q(z | x) || N(0, I))

    in nats per text, with one draw of z. An LSTM that sees all words before the next one predicts it well enough
    without a code, and the KL falls to zero: posterior collapse, the trouble that the paper is about (section 3.1). So
    the weight rises from 0 to 1, and words are left out of what the decoder reads, which has to know them from the
    code.

    Watch `kl` and `health/active_units`: with a KL of less than 0.1 the code says nothing. `elbo` is the bound itself,
    at weight 1; in training its texts lack words, in validation they are whole. `perplexity` is exp of -elbo per token.
    The loss in validation is -elbo, without `free_bits`: a bound on the negative log-likelihood, by which moments of a
    run compare whatever the weight is in training.

    When training ends, texts are written from codes between those of two (section 4.3): where the code means something
    they pass from one's sense or form to the other's, in sentences all the way.

    Args:
        encoder: The network to pretrain, of texts.
        latent_dim: Size of the code.
        decoder_dim: Size of the decoder's state.
        word_dropout: Part of the words, in [0, 1], that the decoder does not read in training.
        kl_warmup: Part of the run over which the weight of the KL rises from 0 to 1.
        free_bits: Nats a latent dimension may spend before the KL presses on it (arXiv:1606.04934).
        max_new_tokens: The most tokens of a text that is written.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads no texts, its tokenizer has no token that begins a text, an argument is out of its
            range, or texts lie in packed rows.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int = 32,
        decoder_dim: int = 256,
        word_dropout: float = 0.25,
        kl_warmup: float = 0.5,
        free_bits: float = 0.0,
        max_new_tokens: int = 40,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        vocabulary: Vocabulary | None = getattr(encoder, "vocabulary", None)
        if vocabulary is None:
            raise InputError(
                f"TextVAE writes texts, which {type(encoder).__name__} does not read: take VAE, or an encoder of texts "
                "such as BertEncoder."
            )
        if vocabulary["begin"] is None:
            raise InputError(
                "TextVAE writes a text from a token that begins it: take a tokenizer whose documents begin with a "
                "token of their own, like wordpiece."
            )
        for name, value in {"word_dropout": word_dropout, "kl_warmup": kl_warmup}.items():
            require_probability(name, value)
        sizes = {"latent_dim": latent_dim, "decoder_dim": decoder_dim, "max_new_tokens": max_new_tokens}
        for name, size in sizes.items():
            require_at_least(name, size, 1)
        require_at_least("free_bits", free_bits, 0)
        self.latent_dim, self.word_dropout, self.max_new_tokens = latent_dim, word_dropout, max_new_tokens
        self.kl_warmup, self.free_bits, self.vocabulary_size = kl_warmup, free_bits, vocabulary["size"]
        self.posterior_head = nn.Linear(encoder.dim, 2 * latent_dim)
        self.decoder = SentenceDecoder(vocabulary, latent_dim, decoder_dim, encoder.dim)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the bound with its two terms."""
        keys = self.keys(batch)
        following, valid = next_tokens(batch.inputs, batch.mask)
        mean, log_variance = self.posterior(batch)
        latents = mean + (0.5 * log_variance).exp() * normal(fold_in(keys, LATENT), self.latent_dim)
        vectors, _ = self.decoder(latents, batch.inputs[:, :-1], self.left_out(following, keys))
        nats = token_loss(vectors, self.decoder.tokens.weight, self.decoder.bias, following, valid).mean
        tokens = global_mean(valid.sum(1), torch.ones_like(keys)).value  # of a text
        divergences = elbo.kl_to_standard_normal(mean, log_variance)
        pressure = divergences.sum(1).mean()
        if self.training:
            weight = min(1.0, self.progress / self.kl_warmup if self.kl_warmup else 1.0)
            pressure = weight * elbo.free_bits(divergences, self.free_bits)
        loss = nats.share * tokens + pressure

        reconstruction, kl = -nats.value * tokens, divergences.detach().sum(1).mean()
        bound = reconstruction - kl
        terms = {"loss": loss, "elbo": bound, "reconstruction": reconstruction, "kl": kl}
        return {**terms, "perplexity": (-bound / tokens.clamp_min(1)).exp()}

    def left_out(self, following: Tensor, keys: Tensor) -> Tensor:
        """``(B, T)`` bool, which of the tokens that are read are hidden; what begins a text never is."""
        if not self.training:
            return torch.zeros_like(following, dtype=torch.bool)
        return dropped_words(fold_in(keys, DROPPED), following.shape[1], self.word_dropout)

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), each ``(B, L)`` float32."""
        if batch.mask is not None and batch.mask.dtype != torch.bool:
            raise InputError("TextVAE makes a code of one text, not of packed rows: set data.packing to false.")
        return self.posterior_of(self.encoder(batch.inputs, batch.mask).pooled)

    def posterior_of(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior, given the encoder's pooled vectors ``(B, D)``."""
        return posterior(self.posterior_head, pooled)

    def texts(self, batch: Batch) -> Texts | None:
        """Pairs of texts as they are, and between them what is written from their codes and from those in between."""
        pairs, length = len(batch.inputs) // 2, max(self.max_new_tokens, batch.inputs.shape[1])
        if not pairs:
            return None
        means = self.posterior(batch)[0]
        between = interpolate(means[:pairs], means[pairs : 2 * pairs], STEPS)
        written = self.decoder.write(between.flatten(0, 1), self.max_new_tokens)
        given = batch.inputs if batch.mask is None else batch.inputs.masked_fill(~batch.mask, self.decoder.pad)
        rows = torch.full((pairs, STEPS + 2, length), self.decoder.pad, device=given.device)
        rows[:, 0, : given.shape[1]], rows[:, -1, : given.shape[1]] = given[:pairs], given[pairs : 2 * pairs]
        rows[:, 1:-1, : self.max_new_tokens] = written.unflatten(0, (pairs, STEPS))
        own = torch.ones_like(rows, dtype=torch.bool)
        own[:, 0] = own[:, -1] = False
        return Texts(rows.flatten(0, 1), own.flatten(0, 1))

    def health(self, vectors: Tensor) -> dict[str, Tensor]:
        """How many latent dimensions distinguish texts."""
        return {"active_units": elbo.active_units(self.posterior_of(vectors)[0])}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A collapsed posterior, too."""
        advice = (
            "raise word_dropout, let the KL's weight rise over a larger part of the run (kl_warmup), or give every "
            "dimension free_bits"
        )
        return [*super().alarms(batch_size), collapsed_posterior(self.latent_dim, advice)]
