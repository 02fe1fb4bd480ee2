"""ELECTRA: a small network fills in blanks, and a larger one finds the words that it got wrong."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.corruption.hidden import Hidden, all_real
from ssl_zoo.corruption.places import RandomPlaces
from ssl_zoo.corruption.tokens import TokenCorruption
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.encoders.weights import CONTINUING
from ssl_zoo.errors import InputError
from ssl_zoo.methods.base import Method
from ssl_zoo.mixed_precision import heads_in_mixed_precision
from ssl_zoo.objectives.language_modeling import global_mean, initialize_head
from ssl_zoo.objectives.token_loss import token_loss
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.alarms import Alarm, loss_at_chance
from ssl_zoo.randomness import fold_in, uniform
from ssl_zoo.views.base import require_at_least

# Of the tokens drawn, the share that the mask token hides from the generator; the others stay, none is random.
HIDDEN = 0.85
# What an example's keys are folded with, so that its draws are independent of each other.
MASKING, SAMPLES = 1, 2
# Part of the replaced tokens; a discriminator that finds fewer says of every token that it is real.
NONE_FOUND = 0.01


class ELECTRA(Method):
    """Pre-training text encoders as discriminators (Clark et al., 2020, arXiv:2003.10555).

    A generator, a narrower encoder of the same kind, is trained as in BERT: it predicts the tokens in M, which are
    hidden from it. At each of them a token is drawn from its softmax. The encoder, the discriminator, sees the text x~
    with these tokens and says of every real token in it whether it was replaced (section 2):

        loss = -mean over i in M of log p_G(x_i)
               + weight * mean over all i of BCE(sigmoid(w . gelu(W h(x~)_i + c) + b), x~_i != x_i)

    Both means are over the global batch. A drawn token that is the true one counts as real. No gradient passes through
    the draws: the generator is no adversary. Both networks read the encoder's embeddings of tokens and positions, which
    the generator projects down, and its output layer is the table of tokens.

    Watch `train/recall`, the part of the replaced tokens that the discriminator finds, beside `train/precision`, the
    part of the tokens it calls replaced that are so. Its accuracy says nothing: nine tenths of all tokens are real.
    `train/generator_accuracy` is the part of hidden tokens that the generator predicts right: the higher it is, the
    harder what it replaces is to find.

    Args:
        encoder: The network to pretrain, which is the discriminator; bidirectional.
        generator_width: Width of the generator as a part of the encoder's; the paper takes a quarter for its smallest
            and largest models and a third for the middle one.
        mask_ratio: Part of the text that the generator predicts; the paper takes 0.15, and 0.25 for its largest model.
        weight: Weight of the discriminator's loss.
        optimizer: Settings of the optimizer and of the learning rate over the run.

    Raises:
        InputError: the encoder is causal, reads no text or cannot be had narrower, its tokenizer has no mask token, or
            an argument is out of its range.
    """

    encoder: TextEncoder

    def __init__(
        self,
        encoder: TextEncoder,
        generator_width: float = 0.25,
        mask_ratio: float = 0.15,
        weight: float = 50.0,
        optimizer: Optimizer = Optimizer(),
    ) -> None:
        super().__init__(encoder, optimizer)
        if encoder.modality != "text" or encoder.causal:
            raise InputError(
                "ELECTRA finds replaced words from both sides and needs a bidirectional text encoder, which "
                f"{type(encoder).__name__} is not: take BertEncoder or ModernBertEncoder."
            )
        require_at_least("weight", weight, 0)
        self.mask_ratio, self.weight = mask_ratio, weight
        self.corruption = TokenCorruption(encoder.vocabulary, RandomPlaces(mask_ratio), HIDDEN, replaced=0.0)
        self.generator = narrower(encoder, generator_width)
        self.to_generator = nn.Linear(encoder.dim, self.generator.dim)
        self.generator_head = nn.Sequential(
            nn.Linear(self.generator.dim, encoder.dim), nn.GELU(), nn.LayerNorm(encoder.dim, eps=1e-12)
        )
        self.generator_bias = nn.Parameter(torch.zeros(encoder.vocabulary["size"]))
        self.discriminator_head = nn.Sequential(
            nn.Linear(encoder.dim, encoder.dim), nn.GELU(), nn.Linear(encoder.dim, 1)
        )
        for part in (self.to_generator, self.generator_head, self.discriminator_head):
            initialize_head(part)

    @heads_in_mixed_precision
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Both losses, and how well each network does what it is there for."""
        inputs, mask, keys = batch.inputs, batch.mask, self.keys(batch)
        corrupted, hidden = self.corruption(inputs, mask, fold_in(keys, MASKING))
        truth, table = hidden.at(inputs), self.encoder.token_embedding.weight
        draws = uniform(fold_in(keys, SAMPLES), truth.shape[1])
        guesses = self.generator_vectors(corrupted, mask, hidden)
        generation, likeliest, drawn = token_loss(guesses, table, self.generator_bias, truth, hidden.valid, draws)

        assert drawn is not None
        shown = inputs.scatter(1, hidden.positions, torch.where(hidden.valid, drawn, truth))
        replaced = shown != inputs
        logits = self.replaced_logits(shown, mask).float()
        errors = F.binary_cross_entropy_with_logits(logits, replaced.float(), reduction="none")
        real, called = all_real(inputs[..., None], mask), logits.detach() > 0
        detection = global_mean(errors, real)
        return {
            "loss": generation.share + self.weight * detection.share,
            "generator_loss": generation.value,
            "discriminator_loss": detection.value,
            "generator_accuracy": global_mean(likeliest == truth, hidden.valid).value,
            "replaced": global_mean(replaced, real).value,
            "recall": global_mean(called, replaced).value,
            "precision": global_mean(replaced, called & real).value,
        }

    def generator_vectors(self, corrupted: Tensor, mask: Tensor | None, hidden: Hidden) -> Tensor:
        """What the generator makes of hidden tokens, ``(B, K, D)``, for the encoder's table of tokens to read."""
        embedded = self.encoder.embed(corrupted, mask)
        placed = self.to_generator(self.encoder.place(embedded, None))
        return self.generator_head(hidden.at(self.generator.through_layers(placed, mask).sequence))

    def replaced_logits(self, shown: Tensor, mask: Tensor | None) -> Tensor:
        """The discriminator's logits ``(B, T)`` of each token of a text having been replaced; above 0 is yes."""
        return self.discriminator_head(self.encoder(shown, mask).sequence)[..., 0]

    def chance_loss(self, batch_size: int) -> float:
        """That of a generator to which all tokens are equally likely, and of a discriminator that knows how often."""
        part = self.mask_ratio
        entropy = 0.0 if part == 1 else -part * math.log(part) - (1 - part) * math.log1p(-part)
        return math.log(self.encoder.vocabulary["size"]) + self.weight * entropy

    def alarms(self, batch_size: int) -> list[Alarm]:
        """A generator at chance, and a discriminator that finds nothing, too."""
        found, part = "train/recall", "train/replaced"
        sentence = (
            f"The discriminator calls every token real: it finds {{{found}:.3f}} of the replaced ones, which are "
            f"{{{part}:.3f}} of all. Look at the learning rate, at weight, and at whether generator_width is too large."
        )
        chance = math.log(self.encoder.vocabulary["size"])
        return [
            *super().alarms(batch_size),
            loss_at_chance(chance, "train/generator_loss"),
            Alarm(found, sentence, below=NONE_FOUND),
        ]


def narrower(encoder: TextEncoder, part: float) -> TextEncoder:
    """A new encoder of the same kind and depth whose heads are fewer and no wider; its embeddings are the wider one's.

    Args:
        encoder: the wider one.
        part: width as a part of its.

    Raises:
        InputError: `part` is out of its range, or the encoder has no arguments to be made narrower by.
    """
    if not 0 < part <= 1:
        raise InputError(f"generator_width is {part}; give a number above 0 and at most 1.")
    arguments, config = encoder.settings["init_args"], encoder.model.config
    missing = {"dim", "depth", "heads"} - arguments.keys()
    if missing:
        raise InputError(
            f"ELECTRA makes its generator of {type(encoder).__name__} by dim, depth and heads, but its constructor has "
            f"no {' and no '.join(sorted(missing))}: take BertEncoder or ModernBertEncoder."
        )
    if encoder.token_embedding.embedding_dim != encoder.dim:
        raise InputError(
            f"ELECTRA's networks read embeddings as wide as the encoder's layers, which those of "
            f"{type(encoder).__name__} are not: take BertEncoder or ModernBertEncoder."
        )
    heads = max(1, int(part * config.num_attention_heads))
    dim = max(1, round(part * encoder.dim / (2 * heads))) * 2 * heads  # rotations turn pairs
    sizes = {"dim": dim, "heads": heads, "depth": config.num_hidden_layers, "max_length": encoder.max_length}
    drawn = dict.fromkeys(name for name in CONTINUING if name in arguments)
    small = type(encoder)(**{**arguments, **sizes, **drawn})
    small.model.embeddings = encoder.model.embeddings
    return small
