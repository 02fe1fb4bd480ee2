"""Switch Transformer's experts in BERT: of several feed-forward parts every token has the one that a router chooses."""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.distributed import all_gather, world_size
from ssl_zoo.encoders.auxiliary import Auxiliary
from ssl_zoo.encoders.text import BertEncoder
from ssl_zoo.encoders.text_base import Layer, check_sizes
from ssl_zoo.errors import InputError
from ssl_zoo.vocabulary import Vocabulary


class SwitchBertEncoder(BertEncoder):
    """BERT with the experts of Switch Transformer (Fedus, Zoph and Shazeer, 2021, arXiv:2101.03961, section 2).

    In every `every`-th layer N experts stand for the feed-forward part. With p(x) = softmax(W x) of a token's vector x
    and i the expert with the highest p_i, the token gets

        y = p_i(x) E_i(x)

    so that with more experts the weights grow and the cost of a token hardly does. Every token reaches its expert,
    however many others do: the paper's capacity would make what a text gets depend on its neighbours in the batch. To
    any method's loss training adds, for each of these layers, over the real tokens of the global batch,

        balance * N * sum over i of f_i P_i

    with f_i the part of the tokens that expert i gets and P_i the mean of p_i, which is smallest where all get equally
    many (eq. 4). The router computes in float32.

    Watch `train/busiest_expert`, the part of the tokens that the busiest expert of any layer gets, 1 / N at best, and
    `train/idle_experts`, the most experts of a layer that get none.

    Args:
        vocabulary: vocabulary of the tokenizer; comes from the data.
        dim: size of the token vectors.
        depth: number of transformer layers.
        heads: number of attention heads; must divide `dim`.
        max_length: the most tokens a row may have.
        experts: number of experts N.
        every: how many layers there are for one with experts, which comes last of them; 2 in the paper.
        balance: weight of the balance loss; 0.01 in the paper.
        jitter: in training the router's inputs are multiplied by random numbers from 1 - jitter to 1 + jitter.
        dropout: rate of dropout on tokens and attention, in training.
        pooling: what becomes the vector of a text: `mean` over real tokens, or `cls`, the first one, which means
            something once a sentence task or fine-tuning has trained it.

    Raises:
        InputError: a size is below 1 or does not fit the others, no layer has experts, or `balance` or `jitter` is out
            of its range.
    """

    in_library = False

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        depth: int = 4,
        heads: int = 4,
        max_length: int = 512,
        experts: int = 8,
        every: int = 2,
        balance: float = 0.01,
        jitter: float = 0.01,
        dropout: float = 0.1,
        pooling: Literal["mean", "cls"] = "mean",
    ) -> None:
        check_sizes("SwitchBertEncoder", experts=experts, every=every)
        if not (balance >= 0 and 0 <= jitter < 1):
            raise InputError(
                f"SwitchBertEncoder: balance is {balance} and jitter {jitter}; give a weight of at least 0 and a part "
                "of 1, less than that."
            )
        super().__init__(vocabulary, dim, depth, heads, max_length, dropout, pooling)
        if every > depth:
            raise InputError(
                f"SwitchBertEncoder: every is {every}, so that none of {depth} layers has experts: lower it, or take "
                "BertEncoder."
            )
        for layer in self.model.encoder.layer[every - 1 :: every]:
            layer.intermediate = Experts(dim, experts, balance, jitter, self.model.config.initializer_range)
            layer.output.dense = nn.Identity()  # what experts give has the layer's width already

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """As in `Rebuildable`."""
        return {**super().tiny(), "experts": 2}

    def layers_and_inputs(
        self, vectors: Tensor, mask: Tensor | None, places: Tensor | None
    ) -> list[tuple[Layer, dict[str, Any]]]:
        """Those with experts are informed of what is padding, which gets none and does not count."""
        real, found = None if mask is None else mask > 0, list[tuple[Layer, dict[str, Any]]]()
        layer: Any
        for layer, inputs in super().layers_and_inputs(vectors, mask, places):
            has_experts = isinstance(layer.intermediate, Experts)
            found.append((partial(_layer, layer), {**inputs, "real": real}) if has_experts else (layer, inputs))
        return found


def _layer(layer: Any, vectors: Tensor, attention_mask: Tensor | None, real: Tensor | None) -> Tensor:
    """What transformers' `BertLayer` computes, whose feed-forward part takes no mask."""
    attended = layer.attention(vectors, attention_mask)[0]
    return layer.output(layer.intermediate(attended, real), attended)


class Experts(Auxiliary):
    """Feed-forward parts of which a router chooses one for every token; the arguments are those of the encoder.

    Args:
        dim: size of the token vectors; within an expert four times that.
        experts: number of experts N.
        balance: weight of the balance loss.
        jitter: how far the router's inputs are scaled at random, in training.
        spread: standard deviation of the weights at first.
    """

    def __init__(self, dim: int, experts: int, balance: float, jitter: float, spread: float) -> None:
        super().__init__()
        self.balance, self.jitter = balance, jitter
        self.router = nn.Linear(dim, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)) for _ in range(experts)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=spread)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self._kept: list[tuple[Tensor, Tensor]] = []

    def forward(self, vectors: Tensor, real: Tensor | None = None) -> Tensor:
        """What every token's expert gives, times its probability; zeros for padding.

        Args:
            vectors: ``(B, T, dim)``.
            real: ``(B, T)`` bool, False for padding; None where there is none.

        Returns:
            The same shape.
        """
        counted = torch.ones_like(vectors[..., 0], dtype=torch.bool) if real is None else real
        probabilities = self.probabilities(vectors)
        gate, choice = probabilities.max(dim=-1)
        if torch.is_grad_enabled() and self.training:
            chosen = F.one_hot(choice, len(self.experts)) * counted[..., None]
            self._kept.append((chosen.sum((0, 1)), (probabilities * counted[..., None]).sum((0, 1))))
        given = self._all(vectors, choice) if torch.compiler.is_exporting() else self._own(vectors, choice, counted)
        return given * (gate * counted)[..., None]

    def probabilities(self, tokens: Tensor) -> Tensor:
        """Of every expert for every token ``(..., dim)``, ``(..., N)`` float32."""
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.float()
            if self.training and self.jitter:
                tokens = tokens * torch.empty_like(tokens).uniform_(1 - self.jitter, 1 + self.jitter)
            return self.router(tokens).softmax(dim=-1)

    def _own(self, vectors: Tensor, choice: Tensor, counted: Tensor) -> Tensor:
        """Every token through its expert, sorted by expert; how many each has is asked of the device."""
        number, tokens = len(self.experts), vectors.flatten(0, -2)
        choice = choice.masked_fill(~counted, number).flatten()  # padding comes last, and is left out
        order = choice.argsort(stable=True)
        sizes = choice.bincount(minlength=number + 1).tolist()
        *parts, padding = tokens[order].split(sizes)
        # One that gets no token takes part all the same: other processes wait for its gradient.
        given = [expert(part) for expert, part in zip(self.experts, parts, strict=True)]
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        return torch.cat([*given, torch.zeros_like(padding, dtype=given[0].dtype)])[back].view(vectors.shape)

    def _all(self, vectors: Tensor, choice: Tensor) -> Tensor:
        """The same by way of all experts, in shapes that are known beforehand, for programs that are exported."""
        given = torch.stack([expert(vectors) for expert in self.experts], dim=-2)
        # The exporter takes the sizes of what torch.take_along_dim is given for fixed.
        return given.gather(-2, choice[..., None, None].expand_as(vectors[..., None, :])).squeeze(-2)

    def forget(self) -> None:
        """As in `Auxiliary`."""
        self._kept = []

    def __getstate__(self) -> dict[str, Any]:
        """A copy has made no pass yet; what the passes of this one left can be neither copied nor sent."""
        return {**self.__dict__, "_kept": []}

    def collect(self) -> dict[str, Tensor] | None:
        """The balance loss of all passes together, and how evenly tokens are spread."""
        if not self._kept:
            return None
        numbers, masses = (torch.stack(each).sum(0) for each in zip(*self._kept, strict=True))
        everywhere = all_gather(numbers[None]).sum(0).float()
        total = everywhere.sum().clamp_min(1)
        shares = everywhere / total
        loss = self.balance * len(self.experts) * (shares * masses).sum() * world_size() / total
        return {"loss": loss, "busiest_expert": shares.max(), "idle_experts": (everywhere == 0).sum().float()}
