"""word2vec: vectors of words are learnt by distinguishing their neighbours from words drawn at random."""

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo import metrics
from ssl_zoo.batch import Batch
from ssl_zoo.encoders.base import Encoded, Encoder
from ssl_zoo.errors import InputError
from ssl_zoo.lightning_inside import trainer_of
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import mean_of_total
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm
from ssl_zoo.parts.refit import Count, Refit
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.vocabulary import Vocabulary

# What an example's keys are folded with, so that its draws are independent of each other.
KEEPING, REACH, NOISE = 1, 2, 3
PAIRS = f"{metrics.TRAIN}/pairs"
FEW_PAIRS = 0.5  # of a row; with fewer the loss is of next to nothing
EXAMPLES = 2**17  # rows or documents that are counted; more of them hardly change what is frequent


class Word2Vec(Method):
    """Skip-gram with negative sampling, or CBOW (Mikolov et al., 2013, arXiv:1301.3781 and arXiv:1310.4546).

    v are the encoder's local vectors of tokens and u a second table. With P the pairs in the global batch of a token i
    and a token j at most r_i places from it in the same document, and K tokens n per pair, drawn by count(n)^0.75,

        loss = -1/|P| * sum over (i, j) in P of [ log s(u_j . v_i) + sum over n != j of log s(-u_n . v_i) ]

    with s(x) = 1 / (1 + exp(-x)) and r_i uniform in 1..window at every step. CBOW puts the mean over the window of v in
    place of v_i, and i itself in place of j, with the gradient of that mean, which the released code does not divide
    (Irsoy et al., 2020, arXiv:2012.15332). Frequent tokens are left out before windows are laid, anew at every step:
    one that makes up the part f of all tokens stays with probability (sqrt(f/t) + 1) t/f, which is the authors'
    released code; the paper has sqrt(t/f). Tokens that begin and end documents are in no pair.

    A pair that occurs twice counts twice. The released code takes a step of SGD after every pair. Added up over a batch
    of thousands, the steps of frequent tokens overshoot. Adagrad (Duchi et al., 2011) divides each number's step by how
    far it has been pulled before: it suits tokens as different in frequency as words are, leaves alone those that a
    batch has not, and needs no other learning rate for another batch size.

    A drawn token that equals j is left out, as in the released code. The tokens of a row share their draws: each of
    `shared_negatives` of them counts K / shared_negatives for every pair of the row, which has the same expectation,
    and turns all scores of a row into one matrix product.

    Watch `train/loss`, which begins at (1 + K) log 2. It falls fast while u learns how frequent tokens are, and slowly
    while vectors learn what tokens mean.

    Args:
        encoder: The network to pretrain, of texts; `BagOfTokens` is the paper's table. Of others only what `embed`
            gives is trained, which is where they begin from.
        objective: What is predicted: `skip-gram` a neighbour from a token, `cbow` a token from the mean of its
            neighbours.
        window: The furthest neighbour, in tokens.
        negatives: Number K of tokens drawn per pair; 5 to 20 on little text, 2 to 5 on much.
        subsampling: Threshold t, a part of all tokens above which a token is frequent; 0 leaves none out.
        noise_power: Exponent of the counts in the distribution of the drawn tokens.
        shared_negatives: Number of tokens drawn for a row.
        add_outputs: Whether features are made of v + u in place of v, as GloVe's are (Pennington et al., 2014, section
            4.2; Levy et al., 2015, doi:10.1162/tacl_a_00134, section 3.3): two tokens are then alike also where one is
            found near the other. Training and the encoder's own table stay as they are.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder reads no text, or a number is out of its range.
    """

    vocabulary: Vocabulary
    keep: Tensor
    noise: Tensor

    def __init__(
        self,
        encoder: Encoder,
        objective: Literal["skip-gram", "cbow"] = "skip-gram",
        window: int = 5,
        negatives: int = 5,
        subsampling: float = 1e-3,
        noise_power: float = 0.75,
        shared_negatives: int = 32,
        add_outputs: bool = False,
        optimizer: Optimizer = Optimizer("adagrad", 0.2, weight_decay=0.0, warmup=0.0, schedule="linear"),
    ) -> None:
        super().__init__(encoder, optimizer)
        if encoder.modality != "text":
            raise InputError(
                f"Word2Vec learns the vectors of words, and {type(encoder).__name__} reads none: take BagOfTokens."
            )
        _check(objective, window, negatives, subsampling, shared_negatives)
        self.objective, self.window, self.negatives = objective, window, negatives
        self.subsampling, self.noise_power, self.shared_negatives = subsampling, noise_power, shared_negatives
        self.add_outputs = add_outputs
        self.vocabulary = cast(Any, encoder).vocabulary  # which every encoder of texts has
        self.outputs = nn.Parameter(torch.zeros(self.vocabulary["size"], encoder.dim))
        usual = torch.ones(self.vocabulary["size"], dtype=torch.int64)
        usual[self.vocabulary["special"]] = 0
        self.register_buffer("keep", kept_share(usual, 0.0))
        self.register_buffer("noise", cumulative_noise(usual, noise_power))
        self.counted = Count()

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss per pair, and how many pairs a row has; with CBOW, tokens that are predicted."""
        if self.training and trainer_of(self) is not None and not self.counted.value:
            raise InputError(
                "Word2Vec has not counted how often tokens occur: add ssl_zoo.callbacks.refits.Refits() to the "
                "Trainer's callbacks."
            )
        keys = self.keys(batch)
        tokens, reach, documents = self._without_frequent(batch, keys)
        near = neighbours(reach, documents).float()
        vectors = self.encoder.embed(tokens, documents).vectors.float()
        drawn = torch.searchsorted(self.noise, uniform(fold_in(keys, NOISE), self.shared_negatives), right=True)
        with torch.autocast(tokens.device.type, enabled=False):  # there is no network whose errors would drown these
            if self.objective == "cbow":
                around = near.sum(2, keepdim=True)
                vectors = torch.bmm(near / around.clamp_min(1), vectors)
                near = torch.diag_embed((around[..., 0] > 0).float())
            count = torch.bmm(near, (tokens[:, :, None] != drawn[:, None]).float()) * (self.negatives / drawn.shape[1])
            scores = torch.bmm(vectors, F.embedding(torch.cat([tokens, drawn], 1), self.outputs).transpose(1, 2))
        of_neighbours, of_drawn = scores.split([tokens.shape[1], drawn.shape[1]], 2)
        total = (F.softplus(-of_neighbours) * near).sum() + (F.softplus(of_drawn) * count).sum()
        return {"loss": mean_of_total(total, near.sum()).share, "pairs": near.sum() / len(tokens)}

    def encode(self, batch: Batch, layers: bool = False) -> Encoded:
        """As of every method; with `add_outputs` of the sums of both vectors of a token."""
        if not self.add_outputs:
            return super().encode(batch, layers)
        embedded = self.encoder.embed(batch.inputs, batch.mask)
        vectors = embedded.vectors + F.embedding(batch.inputs, self.outputs)
        return self.encoder.contextualize(embedded._replace(vectors=vectors), layers=layers)

    def _without_frequent(self, batch: Batch, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens that stay, how far their windows reach, and their documents' numbers: ``(B, N)`` int64 each.

        What has been left out, and padding, stands last in its row, in document 0.
        """
        tokens, length = batch.inputs, batch.inputs.shape[1]
        stays = uniform(fold_in(keys, KEEPING), length) < self.keep[tokens]
        documents = stays.long() if batch.mask is None else batch.mask * stays
        reach = 1 + (self.window * uniform(fold_in(keys, REACH), length)).long()
        order = (documents == 0).byte().argsort(dim=1, stable=True)
        if tokens.device.type == "cpu":  # elsewhere the length of the fullest row would have to be waited for
            order = order[:, : max(1, int((documents > 0).sum(1).max()))]
        return tokens.gather(1, order), reach.gather(1, order), documents.gather(1, order)

    def refits(self) -> list[Refit]:
        """How often tokens occur, once, before the first step."""
        once = Refit(0.0, "how often every token occurs", self._collect, self._count, self._use, EXAMPLES)
        return [] if self.counted.value else [once]

    def _collect(self, batch: Batch) -> tuple[Tensor, Tensor]:
        real = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask > 0
        return batch.inputs[..., None], real

    def _count(self, tokens: Tensor) -> Tensor:
        counts = tokens[:, 0].long().bincount(minlength=self.vocabulary["size"])
        counts[self.vocabulary["special"]] = 0
        return counts

    def _use(self, counts: Tensor) -> None:
        self.keep.copy_(kept_share(counts, self.subsampling))
        self.noise.copy_(cumulative_noise(counts, self.noise_power))
        self.counted.value = 1

    def alarms(self, batch_size: int) -> list[Alarm]:
        """Rows that have no pairs, too, whose loss is zero."""
        sentence = (
            f"There is nothing to learn from: a row of tokens has {{{PAIRS}:.2f}} pairs. Look at subsampling, which "
            "may leave out nearly all tokens, and at the texts, which may be of a single token."
        )
        return [*super().alarms(batch_size), Alarm(PAIRS, sentence, below=FEW_PAIRS)]

    def chance_loss(self, batch_size: int) -> float:
        """Where it begins: u is zero, and all scores with it."""
        return (1 + self.negatives) * math.log(2)


def kept_share(counts: Tensor, threshold: float) -> Tensor:
    """How likely a token is to stay, ``(V,)`` float32: (sqrt(f/t) + 1) t/f of its part f of all, and 1 at most.

    Args:
        counts: ``(V,)`` int64, how often every token occurs; one that occurs nowhere never stays.
        threshold: t, or 0, with which all stay.
    """
    parts = counts.double() / counts.sum().clamp_min(1)
    share = torch.where(counts > 0, ((parts / threshold).sqrt() + 1) * threshold / parts if threshold else 1.0, 0.0)
    return share.clamp_max(1).float()


def cumulative_noise(counts: Tensor, power: float) -> Tensor:
    """``(V,)`` float32 that rises to 1: a number from [0, 1) draws the first token above it, w by count(w)^power.

    Args:
        counts: ``(V,)`` int64, one of them above 0 at least; a token that occurs nowhere is never drawn.
        power: exponent.
    """
    weights = torch.where(counts > 0, counts.double() ** power, 0.0).cumsum(0)
    return (weights / weights[-1]).float()


def neighbours(reach: Tensor, documents: Tensor) -> Tensor:
    """``(B, N, N)`` bool, whether the second token is within the first one's window, in the same document.

    Args:
        reach: ``(B, N)`` int64, how many places a token's window reaches to either side.
        documents: ``(B, N)`` int64, the number of a token's document in its row, 0 where there is no token.
    """
    places = torch.arange(reach.shape[1], device=reach.device)
    distance = (places[:, None] - places).abs()
    within = (distance > 0) & (distance <= reach[:, :, None])
    return within & (documents[:, :, None] == documents[:, None]) & (documents[:, :, None] > 0)


def _check(objective: str, window: int, negatives: int, subsampling: float, shared_negatives: int) -> None:
    if objective not in ("skip-gram", "cbow"):
        raise InputError(f"Word2Vec: objective is {objective}: choose skip-gram or cbow.")
    for name, number in {"window": window, "negatives": negatives, "shared_negatives": shared_negatives}.items():
        if number < 1:
            raise InputError(f"Word2Vec: {name} is {number}; it must be at least 1.")
    if not 0 <= subsampling <= 1:
        raise InputError(f"Word2Vec: subsampling is {subsampling}; it must be a part of all tokens, from 0 to 1.")
