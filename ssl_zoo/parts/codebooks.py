"""Continuous vectors to codes that can be learnt: wav2vec 2.0's product quantizer with Gumbel noise."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ssl_zoo.batch import Batch
from ssl_zoo.distributed import all_gather
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import uniform


@runtime_checkable
class Coding(Protocol):
    """What gives every place of a batch a code: a method whose codes are looked at while it trains."""

    def codes(self, batch: Batch) -> Tensor:
        """``(B, N)`` int64, or of several groups ``(B, N, G)``.

        Args:
            batch: a batch on its device.
        """


class Quantized(NamedTuple):
    """What a quantizer makes of vectors.

    Attributes:
        vectors: ``(B, K, code_dim)`` float32, the codes' entries of all groups side by side.
        codes: ``(B, K, G)`` int64, the likeliest entry of every group, noise left out.
        probabilities: ``(B, K, G, V)`` float32, of the entries, noise left out.
    """

    vectors: Tensor
    codes: Tensor
    probabilities: Tensor


class GumbelQuantizer(nn.Module):
    """Product quantization by Gumbel softmax (arXiv:2006.11477, section 2; Jang et al., 2016, arXiv:1611.01144).

    A linear layer gives every vector logits l for the V entries of each of G codebooks. In training an entry is drawn,
    the largest of l + n with Gumbel noise n, and passed on as it is, while the gradient is that of

        softmax((l + n) / temperature)

    (straight-through). In evaluation the entry with the largest l is taken. Weights start as in the paper's code: those
    of the logits from N(0, 1), biases at 0, entries uniform in [0, 1).

    Args:
        dim: size C of the vectors.
        groups: number of codebooks, G.
        entries: number of entries of each codebook, V.
        code_dim: size of what comes out, a multiple of G.

    Raises:
        InputError: `code_dim` cannot be divided among the groups, or there are too few groups or entries.
    """

    def __init__(self, dim: int, groups: int = 2, entries: int = 320, code_dim: int = 256) -> None:
        super().__init__()
        if groups < 1 or code_dim < groups or code_dim % groups:
            raise InputError(f"code_dim {code_dim} is not a multiple of groups {groups}; choose numbers that divide.")
        if entries < 2:
            raise InputError(f"entries is {entries}; a codebook needs at least 2.")
        self.groups, self.entries = groups, entries
        self.logits = nn.Linear(dim, groups * entries)
        self.codebooks = nn.Parameter(torch.rand(groups, entries, code_dim // groups))
        nn.init.normal_(self.logits.weight)
        nn.init.zeros_(self.logits.bias)

    def no_weight_decay(self) -> list[str]:
        """The codes, which are values and no weights."""
        return ["codebooks"]

    def forward(self, vectors: Tensor, keys: Tensor | None, temperature: float) -> Quantized:
        """Quantizes.

        Args:
            vectors: ``(B, K, C)``.
            keys: ``(B,)`` int64, whose noise an example gets; unused in evaluation. None draws no noise.
            temperature: temperature of the softmax that gradients see, above 0.
        """
        # The draws compare numbers that may be close, and codes are to be the same in every precision.
        with torch.autocast(vectors.device.type, enabled=False):
            logits = self.logits(vectors.float()).unflatten(2, (self.groups, self.entries))
            if self.training:
                noisy = logits if keys is None else logits + gumbel(keys, *logits.shape[1:])
                soft = torch.softmax(noisy / temperature, dim=3)
                hard = torch.zeros_like(soft).scatter_(3, noisy.argmax(3, keepdim=True), 1.0)
                # In this order the value is exactly `hard`, so that equal codes have equal vectors.
                choice = hard + (soft - soft.detach())
            else:
                choice = torch.zeros_like(logits).scatter_(3, logits.argmax(3, keepdim=True), 1.0)
            chosen = torch.einsum("bkgv,gvd->bkgd", choice, self.codebooks).flatten(2)
        return Quantized(chosen, logits.argmax(3), torch.softmax(logits, dim=3))


def decayed_temperature(ends: tuple[float, float], decay: float, progress: float) -> float:
    """The temperature of a Gumbel softmax that decays exponentially, as in the published code of wav2vec 2.0.

    Args:
        ends: temperature at the start, and from the end of the decay on.
        decay: part of the run over which it decays; with 0 it is the last one throughout.
        progress: part of the run that is over, in [0, 1].
    """
    first, last = ends
    return first * (last / first) ** (min(1.0, progress / decay) if decay > 0 else 1.0)


def gumbel(keys: Tensor, *shape: int) -> Tensor:
    """Standard Gumbel noise ``(B, *shape)`` float32 of the examples' keys ``(B,)``."""
    draws = uniform(keys, *shape).clamp_min(2.0**-25)  # 0 is drawn now and then, and its logarithm is not finite
    return -torch.log(-torch.log(draws))


class CodeUse(NamedTuple):
    """How evenly codes are used in the global batch.

    Attributes:
        diversity_loss: scalar with gradient in [0, 1), 0 when all entries are equally probable on average; the same on
            every rank, and the mean of its gradients over ranks is the global batch's.
        perplexity: scalar without gradient in [G, G * V]: among how many equally frequent entries the codes waver,
            summed over the groups. G means that all vectors have the same code.
    """

    diversity_loss: Tensor
    perplexity: Tensor


def code_use(quantized: Quantized, valid: Tensor) -> CodeUse:
    """The diversity penalty (arXiv:2006.11477, equation 4, as the paper's code has it) and the codes' perplexity.

    With p_g the probabilities of group g's entries, averaged over the frames of the global batch, and H their entropy:

        (G V - sum over g of exp H(p_g)) / (G V)

    Args:
        quantized: codes as `GumbelQuantizer` gives them.
        valid: ``(B, K)`` bool, which frames count.
    """
    probabilities = quantized.probabilities
    groups, entries = probabilities.shape[2:]
    weights = valid.float()
    mean = (probabilities * weights[..., None, None]).sum((0, 1))
    place = quantized.codes + torch.arange(groups, device=valid.device) * entries
    times = weights[..., None].expand_as(place).flatten()
    frequency = torch.zeros_like(mean).flatten().scatter_add_(0, place.flatten(), times).view_as(mean)
    parts = torch.cat([mean.flatten(), frequency.flatten(), weights.sum()[None]])
    total = all_gather(parts[None]).sum(0)
    mean, frequency = (total[:-1] / total[-1].clamp_min(1.0)).view(2, groups, entries)
    size = groups * entries
    return CodeUse((size - _perplexity(mean)) / size, _perplexity(frequency).detach())


def code_perplexity(codes: Tensor, valid: Tensor, entries: int) -> Tensor:
    """Among how many equally frequent codes those of the global batch waver: scalar in [1, V], without gradient.

    Args:
        codes: int64 of any shape, in [0, V).
        valid: bool of the same shape, which of them count.
        entries: number of codes that there are, V.
    """
    counts = torch.zeros(entries, device=codes.device)
    counts.scatter_add_(0, codes.flatten(), valid.flatten().float())
    counts = all_gather(counts[None]).sum(0)
    return _perplexity((counts / counts.sum().clamp_min(1.0))[None])


def _perplexity(distributions: Tensor) -> Tensor:
    """Sum over the rows ``(G, V)`` of the exponentials of their entropies."""
    entropies = -(distributions * torch.log(distributions + 1e-7)).sum(1)  # the gradient at 0 is to be finite
    return torch.exp(entropies).sum()
