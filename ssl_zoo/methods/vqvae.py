"""VQ-VAE: an autoencoder whose code is discrete, and a model of the codes that new images are drawn from."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.code_maps import MapDecoder
from ssl_zoo.decoders.code_prior import CodePrior, Grid
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives import elbo, pixels
from ssl_zoo.objectives.language_modeling import token_nats
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, few_codes
from ssl_zoo.parts.averaged_quantizer import AveragedQuantizer
from ssl_zoo.parts.codebooks import code_perplexity, gumbel
from ssl_zoo.parts.pretext import require_images
from ssl_zoo.randomness import fold_in
from ssl_zoo.views.base import require_at_least

# What an example's keys are folded with, so that its draws are independent of each other.
DEQUANTIZATION, RESTARTS, DRAWING = 1, 2, 3
SAMPLES = 8  # rows and columns of new images


class Quantized(NamedTuple):
    """An image as codes.

    Attributes:
        map: ``(B, C, H, W)`` float32, what the decoder gets, with the encoder's gradient.
        codes: ``(B, H_g * W_g)`` int64 of every grid.
        grids: rows and columns of every grid.
        penalty: scalar, the mean squared distance of vectors from their entries, with the encoder's gradient.
    """

    map: Tensor
    codes: list[Tensor]
    grids: list[Grid]
    penalty: Tensor


class VQVAE(Method):
    """Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017, arXiv:1711.00937).

    With z_p the encoder's vectors at the places of an image, projected, e_k(p) the nearest of V entries, q their map,
    d the decoder and sg stopping the gradient, which passes from q to z as it is (equation 3):

        loss = -log p(x | d(q)) / numbers of x + commitment * mean of (z - sg(e))^2 - mean over places of log p(k)

    Entries are running means of the vectors that choose them (appendix A.1) and have no gradient. p(k) is a transformer
    that predicts every code from those before it, where the paper trains a PixelCNN afterwards: codes pass no gradient
    on, so that it learns along with the rest and changes nothing in it.

    `bits_per_dim` bounds the code length of an image, its codes under this prior included, as a VAE's does: the
    posterior is a single code, so that the bound is log p(x | d(q)) + log p(k), and compares with a `VAE` of the same
    likelihood. `prior_bits` is the part of it that codes take, in bits per code.

    Watch `train/codes_in_use`, the part of the entries that have been chosen lately, and `train/code_perplexity`, among
    how many equally frequent ones the codes of a batch waver. figures/reconstructions.png shows images and what is left
    of them in codes; figures/samples.png, new ones.

    Args:
        encoder: The network to pretrain, of patches of images. Nothing trains a class token: let it pool the mean.
        entries: Number of entries of the codebook, V.
        code_dim: Size of an entry.
        commitment: Weight of the distance of vectors from their entries.
        decay: How much of an entry's running mean is kept at a step, in [0, 1).
        patience: Steps after which an entry that nothing chooses begins anew, as a vector of the batch.
        likelihood: What is assumed of a pixel, given its code, as in `VAE`: `gaussian`, whose deviation is fitted, or
            `bernoulli`.
        decoder_dim: Channels of the decoder at the places' resolution; every doubling halves them.
        decoder_depth: Residual blocks of the decoder.
        prior_dim: Size of the prior's vectors, a multiple of 4 and of `prior_heads`.
        prior_depth: Transformer layers of the prior.
        prior_heads: Attention heads of the prior.
        temperature: Divides the prior's logits before new images are drawn; 0 takes the likeliest code each time.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder's places are no patches of images, or an argument is out of its range.
    """

    observation_variance: Tensor

    def __init__(
        self,
        encoder: Encoder,
        entries: int = 512,
        code_dim: int = 64,
        commitment: float = 0.25,
        decay: float = 0.99,
        patience: int = 50,
        likelihood: pixels.Likelihood = "gaussian",
        decoder_dim: int = 128,
        decoder_depth: int = 2,
        prior_dim: int = 128,
        prior_depth: int = 4,
        prior_heads: int = 4,
        temperature: float = 1.0,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        name = type(self).__name__
        require_images(encoder, name, "has a code for every patch of an image", "ViT")
        if not encoder.in_plane:
            raise InputError(
                f"{name} has a code for every patch of an image, and {type(encoder).__name__} has no patches: take ViT."
            )
        require_at_least("commitment", commitment, 0)
        require_at_least("temperature", temperature, 0)
        self.commitment, self.likelihood, self.temperature = commitment, likelihood, temperature
        parts = [AveragedQuantizer(size, entries, code_dim, decay, patience) for size in self.quantized_dims(code_dim)]
        self.quantizers = nn.ModuleList(parts)
        self.map_decoder = MapDecoder(
            code_dim * len(self.quantizers), encoder.channels, encoder.stride, decoder_dim, decoder_depth
        )
        self.prior = CodePrior((entries,) * len(self.quantizers), prior_dim, prior_depth, prior_heads)
        self.register_buffer("observation_variance", torch.tensor(0.3**2))

    def quantized_dims(self, code_dim: int) -> list[int]:
        """Sizes of the vectors that become codes of this size, of every grid."""
        return [self.encoder.dim]

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss, its three terms, the bound in bits, and how codes are used."""
        keys = self.keys(batch)
        coded = self.quantize(batch, fold_in(keys, RESTARTS))
        decoded = self.map_decoder(coded.map)
        targets = pixels.pixel_targets(batch.inputs, fold_in(keys, DEQUANTIZATION), self.likelihood)
        targets = targets[:, :, : decoded.shape[2], : decoded.shape[3]]  # whole patches
        likelihood = pixels.pixel_log_likelihood(targets, decoded, self.likelihood, self.observation_variance)
        nats = self.code_nats(coded)
        numbers = targets[0].numel()
        loss = nats.mean() - likelihood.mean() / numbers + self.commitment * coded.penalty
        bound = likelihood.detach() - nats.detach().sum(1)
        if self.training and self.likelihood == "gaussian":
            pixels.fit_variance(self.observation_variance, targets, decoded)
        levels = pixels.grey_levels(batch.inputs, self.likelihood)
        return {
            "loss": loss,
            "reconstruction": likelihood.detach().mean(),
            "code_distance": coded.penalty.detach(),
            "bits_per_dim": elbo.bits_per_dim(bound.mean(), numbers, levels),
            "prior_bits": elbo.bits_per_dim(-nats.detach().mean(), 1),
            **self.code_use(coded.codes),
        }

    def quantize(self, batch: Batch, keys: Tensor | None = None) -> Quantized:
        """Codes of a batch's images.

        Args:
            batch: a batch on the method's device.
            keys: ``(B,)`` int64, by which entries begin anew, in training; None leaves the codebooks as they are.
        """
        grid = self.grid(batch.inputs)
        coded = self.quantizers[0](self.encoder(batch.inputs, batch.mask).sequence, keys)
        return Quantized(as_map(coded.vectors, grid), [coded.codes], [grid], coded.penalty.mean())

    def map_of(self, codes: list[Tensor], grids: list[Grid]) -> Tensor:
        """What the decoder gets of codes ``(B, N_g)`` of every grid, ``(B, C, H, W)`` float32."""
        return as_map(self.codebook(0)[codes[0]], grids[0])

    def codebook(self, number: int) -> Tensor:
        """``(V, code_dim)`` float32, the entries of a grid."""
        return self.get_buffer(f"quantizers.{number}.codebook")

    def grid(self, inputs: Tensor) -> Grid:
        """Rows and columns of the encoder's places."""
        grid = self.encoder.grid(inputs)
        assert grid is not None, "its places lie in a plane"
        return grid

    def code_nats(self, coded: Quantized) -> Tensor:
        """What the prior says that each code costs, ``(B, N)`` float32 in nats, of all grids in turn."""
        logits = self.prior(coded.codes, coded.grids)
        return torch.cat([token_nats(each, codes) for each, codes in zip(logits, coded.codes, strict=True)], dim=1)

    def code_use(self, codes: list[Tensor]) -> dict[str, Tensor]:
        """How many codes are in use, and how evenly; of several grids the mean part and the least perplexity."""
        everywhere = [torch.ones_like(each, dtype=torch.bool) for each in codes]
        sizes = [len(self.codebook(number)) for number in range(len(codes))]
        perplexities = [code_perplexity(*each) for each in zip(codes, everywhere, sizes, strict=True)]
        in_use = [cast(AveragedQuantizer, part).in_use for part in self.quantizers]
        return {"code_perplexity": torch.stack(perplexities).min(), "codes_in_use": torch.stack(in_use).mean()}

    @torch.no_grad()
    def draw(self, grids: list[Grid], keys: Tensor) -> Tensor:
        """New images ``(B, C, H, W)`` float32 in [0, 1], a code at a time.

        Args:
            grids: rows and columns of every grid.
            keys: ``(B,)`` int64, one per image, which alone decides what is drawn.
        """
        codes = [torch.zeros(len(keys), 0, dtype=torch.int64, device=keys.device) for _ in grids]
        for number, (rows, columns) in enumerate(grids):
            for place in range(rows * columns):
                # What stands at a place is not seen by what predicts it.
                begun = [*codes[:number], nn.functional.pad(codes[number], (0, 1))]
                logits = self.prior(begun, grids)[number][:, -1].float()
                if self.temperature > 0:  # the highest of logits plus Gumbel noise is a draw from their softmax
                    noise = gumbel(fold_in(fold_in(keys, number), place), logits.shape[1])
                    logits = logits / self.temperature + noise
                codes[number] = torch.cat([codes[number], logits.argmax(1, keepdim=True)], dim=1)
        return self.decode(codes, grids)

    def decode(self, codes: list[Tensor], grids: list[Grid]) -> Tensor:
        """The mean images ``(B, C, H, W)`` float32 in [0, 1] of codes."""
        return pixels.mean_images(self.map_decoder(self.map_of(codes, grids)), self.likelihood)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, tuple[Tensor, int] | tuple[Tensor, int, list[str]]]:
        """Reconstructions, and new images."""
        coded = self.quantize(batch)
        rebuilt = self.decode(coded.codes, coded.grids)
        shown = pixels.as_unit_floats(batch.inputs)[:, :, : rebuilt.shape[2], : rebuilt.shape[3]]
        keys = fold_in(self.noise_seed.expand(SAMPLES**2), torch.arange(SAMPLES**2, device=rebuilt.device))
        return {
            "reconstructions": (torch.cat([shown, rebuilt]), len(shown), ["inputs", "reconstructions"]),
            "samples": (self.draw(coded.grids, fold_in(keys, DRAWING)), SAMPLES),
        }

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Few codes in use, too."""
        advice = "Lower the learning rate, or patience, after which codes that nothing chooses begin anew."
        return [*super().alarms(batch_size), few_codes(advice)]


def as_map(vectors: Tensor, grid: Grid) -> Tensor:
    """Vectors ``(B, N, C)`` of places, row by row, as a map ``(B, C, H, W)``."""
    return vectors.transpose(1, 2).unflatten(2, grid)
