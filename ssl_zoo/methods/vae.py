"""The variational autoencoder: a code that a decoder can rebuild the input from, and no larger than that needs."""

from typing import Literal

import torch
from torch import Tensor, nn

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.decoders.base import Decoder
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives import elbo, pixels
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, collapsed_posterior
from ssl_zoo.parts.latent_space import interpolate, manifold, posterior
from ssl_zoo.randomness import fold_in, normal
from ssl_zoo.views.base import require_at_least, require_probability

# What an example's keys are folded with, so that its draws are independent of each other.
LATENT, DEQUANTIZATION, IMPORTANCE = 1, 2, 3
# Images decoded at once in the importance-weighted bound.
CHUNK = 2048
REBUILT_ROWS = ["inputs", "reconstructions"]
# Pictures: examples that are rebuilt, and rows; images in an interpolation, both ends included.
REBUILT, SAMPLES, INTERPOLATIONS, MANIFOLD, STEPS = 12, 8, 8, 15, 10


class VAE(Method):
    """Auto-encoding variational Bayes (Kingma and Welling, 2013, arXiv:1312.6114).

    With q(z | x) a diagonal Gaussian whose mean and log variance are linear in the encoder's pooled vector, equation 3:

        loss = -E_q[log p(x | z)] + beta * KL(q(z | x) || N(0, I))        one draw of z, the KL in closed form

    Every term is a sum over pixels or latent dimensions, in nats per example. `elbo` is at beta 1 without warm-up and
    free bits, whatever the loss is. Watch `kl` next to `reconstruction`, and `health/active_units`: when the KL falls
    to zero, the decoder has learnt to do without the code (posterior collapse), and the representation is
    useless. On speech the image is a spectrogram: see `SpectrogramDecoder`.

    `bits_per_dim` under the Gaussian bounds the lossless code length of 8-bit images, which get uniform noise of one
    grey level (arXiv:1511.01844), and compares with published figures. Float images, spectrograms among them, have no
    grey levels: theirs is a density's and can be negative. Under the Bernoulli it is exact for black and white images;
    on grey values it is a cross entropy, good for comparing such models with each other and with nothing else.

    Of texts a `BagOfWordsDecoder` gives the words, without their order: the neural variational document model (Miao, Yu
    and Blunsom, 2015, arXiv:1511.06038). `perplexity` is among how many equally likely tokens it wavers, as the paper
    has it: exp of the mean over texts of -elbo per token.

    Probes see the pooled vector, as with every other method; `posterior` gives the code itself.

    Args:
        encoder: The network to pretrain.
        decoder: Makes images or words from latent vectors; its `latent_dim` is the size of the code.
        likelihood: What is assumed of a pixel, given its code: `bernoulli` reads the decoder's output as logits,
            `gaussian` as the mean of each pixel; of words, `multinomial`. None takes the decoder's usual one, which is
            `gaussian` for images.
        observation_std: Standard deviation of the Gaussian likelihood, in units of grey from 0 to 1. None learns it:
            the one that fits the reconstructions best, as in sigma-VAE (Rybkin et al., 2020, arXiv:2006.13202, section
            3.2), averaged over about the last ten steps.
        beta: Weight of the KL (Higgins et al., 2017); 1 is the bound itself.
        kl_warmup: Part of the run over which beta rises from zero.
        free_bits: Nats a latent dimension may spend before the KL presses on it (arXiv:1606.04934).
        gradient: How the encoder learns from the reconstruction. `score_function` needs no differentiable decoder, but
            its gradient is far noisier.
        importance_samples: Number of draws per example for the importance-weighted bound on test data
            (arXiv:1509.00519); 0 leaves it out.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: an argument is out of its range, the decoder gives nothing of such a likelihood, or
            `observation_std` is given for another than the Gaussian.
    """

    decoder: Decoder
    observation_variance: Tensor
    pictured = 1024  # their posterior means span the plane of the manifold

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        likelihood: Literal["bernoulli", "gaussian", "multinomial"] | None = None,
        observation_std: float | None = None,
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        free_bits: float = 0.0,
        gradient: Literal["reparameterization", "score_function"] = "reparameterization",
        importance_samples: int = 64,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        require_probability("kl_warmup", kl_warmup)
        for name, value in {"beta": beta, "free_bits": free_bits, "importance_samples": importance_samples}.items():
            require_at_least(name, value, 0)
        likelihood = likelihood or decoder.likelihoods[0]  # type: ignore[assignment]  # a decoder names them by str, and all are of this type
        if likelihood not in decoder.likelihoods:
            raise InputError(
                f"likelihood is {likelihood}, but what {type(decoder).__name__} gives is "
                f"{' or '.join(decoder.likelihoods)}: set likelihood to that, or take another decoder."
            )
        if observation_std is not None and likelihood != "gaussian":
            raise InputError(
                f"The likelihood {likelihood} has no observation_std: leave it out, or take the gaussian likelihood."
            )
        if observation_std is not None and observation_std <= 0:
            raise InputError(f"observation_std is {observation_std}; give a number above 0.")
        self.decoder = decoder
        self.posterior_head = nn.Linear(encoder.dim, 2 * decoder.latent_dim)
        self.likelihood, self.gradient, self.importance_samples = likelihood, gradient, importance_samples
        self.beta, self.kl_warmup, self.free_bits = beta, kl_warmup, free_bits
        self.learns_std = likelihood == "gaussian" and observation_std is None
        self.register_buffer("observation_variance", torch.tensor((observation_std or 0.3) ** 2))

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, and the bound with its two terms."""
        keys = self.keys(batch)
        targets = self.targets(batch.inputs, keys)
        # The encoder sees no dequantisation noise: encode() has none either.
        mean, log_variance = self.posterior(batch)
        latents = mean + (0.5 * log_variance).exp() * normal(fold_in(keys, LATENT), self.decoder.latent_dim)
        if self.gradient == "score_function":
            latents = latents.detach()
        decoded = self.decoder(latents)
        log_likelihood = self.log_likelihood(targets, decoded)
        objective = log_likelihood
        if self.gradient == "score_function":
            density = elbo.posterior_log_density(latents, mean, log_variance)
            objective = elbo.score_function_surrogate(log_likelihood, density)
        divergences = elbo.kl_to_standard_normal(mean, log_variance)
        weight = self.beta * min(1.0, self.progress / self.kl_warmup if self.kl_warmup else 1.0)
        loss = weight * elbo.free_bits(divergences, self.free_bits) - objective.mean()

        reconstruction, kl = log_likelihood.detach().mean(), divergences.detach().sum(1).mean()
        bound = reconstruction - kl
        terms = {"loss": loss, "elbo": bound, "reconstruction": reconstruction, "kl": kl}
        terms |= self.code_length(log_likelihood.detach() - divergences.detach().sum(1), batch.inputs, targets)
        if self.learns_std:
            terms["observation_std"] = self.observation_variance.sqrt()
            if self.training:
                pixels.fit_variance(self.observation_variance, targets, decoded)
        return terms

    def posterior(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x), each ``(B, L)`` float32."""
        return self.posterior_of(self.encoder(batch.inputs, batch.mask).pooled)

    def posterior_of(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior, given the encoder's pooled vectors ``(B, D)``."""
        return posterior(self.posterior_head, pooled)

    def targets(self, inputs: Tensor, keys: Tensor) -> Tensor:
        """The images ``(B, C, H, W)`` whose likelihood counts; 8-bit ones are dequantised for the Gaussian."""
        images = self.decoder.observe(inputs)
        return pixels.pixel_targets(images, fold_in(keys, DEQUANTIZATION), self.likelihood)

    def log_likelihood(self, targets: Tensor, decoded: Tensor) -> Tensor:
        """The log-likelihood log p(x | z) ``(B,)`` of images ``(B, C, H, W)``, given what the decoder makes of z.

        Raises:
            InputError: the decoder makes images of another shape.
        """
        if targets.shape != decoded.shape:
            made, wanted = (" x ".join(map(str, images.shape[1:])) for images in (decoded, targets))
            raise InputError(
                f"{type(self.decoder).__name__} makes images of {made} but the data has {wanted} (channels x height x "
                "width): set the decoder's sizes to match, or take SpectrogramDecoder for speech."
            )
        if self.likelihood == "multinomial":
            return elbo.multinomial_log_likelihood(targets, decoded)
        return pixels.pixel_log_likelihood(targets, decoded, self.likelihood, self.observation_variance)

    def code_length(self, bounds: Tensor, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Bounds in nats per example ``(B,)`` as bits per pixel and channel, or as perplexity; see the class."""
        if self.likelihood == "multinomial":
            return {"perplexity": (-bounds / targets.sum(1).clamp_min(1)).mean().exp()}
        levels = pixels.grey_levels(inputs, self.likelihood)
        return {"bits_per_dim": elbo.bits_per_dim(bounds.mean(), targets[0].numel(), levels)}

    def decode(self, latents: Tensor) -> Tensor:
        """The mean images of p(x | z), ``(B, C, H, W)`` float32 in [0, 1], of latent vectors ``(B, L)``."""
        return pixels.mean_images(self.decoder(latents), self.likelihood)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The losses on test data, and the importance-weighted bound."""
        batch = batch._replace(labels=None)
        terms = self.losses_in_precision(batch)
        if self.importance_samples:
            bounds = self.importance_bound(batch, self.importance_samples)
            terms["importance_bound"] = bounds.mean()
            lengths = self.code_length(bounds, batch.inputs, self.targets(batch.inputs, self.keys(batch)))
            terms |= {f"importance_{name}": value for name, value in lengths.items()}
        self._log(terms, metrics.TEST, batch)

    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Reconstructions, samples, interpolations and the manifold.

        Whatever is random comes from a generator of its own: two runs show the same points of the latent space. Words
        in no order are no picture.
        """
        if self.likelihood == "multinomial":
            return {}
        parts = [batch._replace(inputs=inputs, mask=None) for inputs in batch.inputs.split(256)]
        means = torch.cat([self.posterior(part)[0] for part in parts])
        drawn = torch.randn(SAMPLES**2, self.decoder.latent_dim, generator=torch.Generator().manual_seed(0))
        shown = pixels.as_unit_floats(self.decoder.observe(batch.inputs[:REBUILT]))
        pairs = min(INTERPOLATIONS, len(means) // 2)
        between = interpolate(means[:pairs], means[pairs : 2 * pairs], STEPS)
        return {
            # Of the posterior's mean, without its noise.
            "reconstructions": (torch.cat([shown, self.decode(means[: len(shown)])]), len(shown), REBUILT_ROWS),
            "samples": (self.decode(drawn.to(means.device)), SAMPLES),
            "interpolations": (self.decode(between.flatten(0, 1)), STEPS),
            "manifold": (self.decode(manifold(means, MANIFOLD)), MANIFOLD),
        }

    def health(self, vectors: Tensor) -> dict[str, Tensor]:
        """How many latent dimensions distinguish examples."""
        return {"active_units": elbo.active_units(self.posterior_of(vectors)[0])}

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A collapsed posterior, too."""
        advice = "lower beta, warm it up over a larger part of the run (kl_warmup), or give every dimension free_bits"
        return [*super().alarms(batch_size), collapsed_posterior(self.decoder.latent_dim, advice)]

    @torch.no_grad()
    def importance_bound(self, batch: Batch, samples: int) -> Tensor:
        """The importance-weighted bound on log p(x) ``(B,)`` in nats, from so many draws of z per example."""
        keys, size = self.keys(batch), self.decoder.latent_dim
        mean, log_variance = self.posterior(batch)
        targets = self.targets(batch.inputs, keys)
        weights = []
        for draws in torch.arange(samples, device=keys.device).split(max(1, CHUNK // len(keys))):
            repeated = [each.repeat(len(draws), *(1 for _ in each.shape[1:])) for each in (mean, log_variance, targets)]
            own_keys = fold_in(keys.repeat(len(draws)), IMPORTANCE + draws.repeat_interleave(len(keys)))
            latents = repeated[0] + (0.5 * repeated[1]).exp() * normal(own_keys, size)
            joint = self.log_likelihood(repeated[2], self.decoder(latents)) + elbo.prior_log_density(latents)
            weights.append((joint - elbo.posterior_log_density(latents, *repeated[:2])).view(len(draws), -1))
        return elbo.importance_bound(torch.cat(weights))
