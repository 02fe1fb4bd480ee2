"""VQ-VAE-2: codes on two grids, a coarse one for what an image is as a whole and a fine one for the rest."""

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.decoders.code_maps import MapDecoder, ResidualBlock
from ssl_zoo.decoders.code_prior import Grid
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.methods.vqvae import VQVAE, Quantized, as_map
from ssl_zoo.objectives import pixels
from ssl_zoo.optim import Optimizer


class VQVAE2(VQVAE):
    """VQ-VAE-2 (Razavi, van den Oord and Vinyals, 2019, arXiv:1906.00446, section 3.1 and algorithm 1).

    The encoder's map h is halved along both sides and quantized, q_top; the fine codes are of h beside what a decoder
    makes of q_top, so that they need not say again what the coarse ones do; and the image is decoded from both:

        q_top = quantize(down(h)),    q = quantize(h, up(q_top)),    loss = `VQVAE`'s with d(q, up'(q_top))

    The prior predicts the coarse codes first, then the fine ones given all of the coarse ones (section 3.2), in one
    transformer where the paper has two networks.

    `train/codes_in_use` is the mean of both codebooks, and `train/code_perplexity` the smaller of both.

    Args:
        encoder: The network to pretrain, of patches of images. Nothing trains a class token: let it pool the mean.
        entries: Number of entries of each codebook, V.
        code_dim: Size of an entry.
        commitment: Weight of the distance of vectors from their entries.
        decay: How much of an entry's running mean is kept at a step, in [0, 1).
        patience: Steps after which an entry that nothing chooses begins anew, as a vector of the batch.
        likelihood: What is assumed of a pixel, given its code, as in `VAE`: `gaussian`, whose deviation is fitted, or
            `bernoulli`.
        decoder_dim: Channels of the decoders at the places' resolution; every doubling halves them.
        decoder_depth: Residual blocks of each decoder.
        prior_dim: Size of the prior's vectors, a multiple of 4 and of `prior_heads`.
        prior_depth: Transformer layers of the prior.
        prior_heads: Attention heads of the prior.
        temperature: Divides the prior's logits before new images are drawn; 0 takes the likeliest code each time.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder's places are no patches of images, or an argument is out of its range.
    """

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
        super().__init__(
            encoder,
            entries,
            code_dim,
            commitment,
            decay,
            patience,
            likelihood,
            decoder_dim,
            decoder_depth,
            prior_dim,
            prior_depth,
            prior_heads,
            temperature,
            optimizer,
        )
        self.down = nn.Sequential(
            nn.Conv2d(encoder.dim, encoder.dim, 4, stride=2, padding=1),
            *(ResidualBlock(encoder.dim) for _ in range(decoder_depth)),
            nn.ReLU(),
        )
        self.up = MapDecoder(code_dim, code_dim, 2, decoder_dim, decoder_depth)
        self.coarse = nn.ConvTranspose2d(code_dim, code_dim, 4, stride=2, padding=1)

    def quantized_dims(self, code_dim: int) -> list[int]:
        """Sizes of the vectors that become codes of this size, of the coarse grid and of the fine one."""
        return [self.encoder.dim, self.encoder.dim + code_dim]

    def quantize(self, batch: Batch, keys: Tensor | None = None) -> Quantized:
        """Codes of a batch's images on both grids; arguments as in `VQVAE`."""
        fine = self.grid(batch.inputs)
        found = as_map(self.encoder(batch.inputs, batch.mask).sequence, fine)
        rows, columns = fine
        # One more row or column where there is an odd number of them.
        halved = self.down(nn.functional.pad(found, (0, columns % 2, 0, rows % 2)))
        coarse = (halved.shape[2], halved.shape[3])
        top = self.quantizers[0](as_places(halved), keys)
        above = self.up(as_map(top.vectors, coarse))[:, :, :rows, :columns]
        bottom = self.quantizers[1](as_places(torch.cat([found, above.float()], dim=1)), keys)
        penalty = top.penalty.mean() + bottom.penalty.mean()
        vectors = self._beside(as_map(top.vectors, coarse), as_map(bottom.vectors, fine))
        return Quantized(vectors, [top.codes, bottom.codes], [coarse, fine], penalty)

    def map_of(self, codes: list[Tensor], grids: list[Grid]) -> Tensor:
        """What the decoder gets of codes of both grids; as in `VQVAE`."""
        return self._beside(*(as_map(self.codebook(number)[codes[number]], grids[number]) for number in range(2)))

    def _beside(self, top: Tensor, bottom: Tensor) -> Tensor:
        """Entries of the fine grid, and those of the coarse one at its resolution."""
        rows, columns = bottom.shape[2:]
        return torch.cat([bottom, self.coarse(top)[:, :, :rows, :columns].float()], dim=1)


def as_places(maps: Tensor) -> Tensor:
    """A map ``(B, C, H, W)`` as vectors of its places ``(B, H * W, C)``, row by row."""
    return maps.flatten(2).transpose(1, 2)
