"""Alarms: what the numbers that a method logs say when it learns nothing, in a sentence for whoever trains it."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from ssl_zoo import metrics
from ssl_zoo.encoders.auxiliary import Auxiliary

# A constant representation has scaled std 0, an even spread 1.
COLLAPSED_STD = 0.01
# Projections collapse first, and the representation may outlive them for a while: whatever it is then, it learns
# nothing any more.
COLLAPSED_PROJECTION_STD = 0.05
# Of projections, 1 is a line, on which all dimensions say the same.
A_LINE = 1.2
# Codes that all but say nothing of a place: 1 is the same one everywhere.
FEW_CODES = 1.5
# Share of the chance loss above which nothing has been learnt; InfoNCE at a high temperature never falls far below it.
AT_CHANCE = 0.995
# Part of the targets' variance or deviation that anything but a constant prediction explains.
EXPLAINED = 0.02
# Nats that a teacher's choice among outputs says about an example; to split examples in two halves takes 0.7.
SILENT = 0.01
# Part of the tokens that the busiest expert of a layer gets.
ONE_EXPERT = 0.9
# Share of the latent dimensions that must be active, and never fewer than one.
FEW_ACTIVE = 0.05


class Alarm(NamedTuple):
    """A sentence for when a logged number lies where it does in a run that learns nothing.

    Attributes:
        metric: name of the number, as it is logged. `train/loss` is its mean since the last validation.
        sentence: what it means and what to do; `{train/loss:.3f}` in it stands for that number, of any logged name.
        above: number above which it sounds; None for no such bound.
        below: number below which it sounds; None for no such bound.
    """

    metric: str
    sentence: str
    above: float | None = None
    below: float | None = None

    def sounds(self, known: Mapping[str, float]) -> bool:
        """Whether one of these numbers, by name, lies beyond a bound; it does not where the method has not logged it.

        Args:
            known: numbers that are logged, by name.
        """
        value = known.get(self.metric)
        if value is None:
            return False
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)


def collapsed_representation() -> Alarm:
    """All examples get the same vector."""
    return Alarm(
        metrics.HEALTH_STD,
        f"The representation has collapsed: all examples get nearly the same vector ({metrics.HEALTH_STD} is "
        f"{{{metrics.HEALTH_STD}:.4f}}, 1 is an even spread). Look at the learning rate and at what keeps this method "
        "from the constant solution.",
        below=COLLAPSED_STD,
    )


PREDICTOR = "Look at the predictor, the stop-gradient, the momentum and the learning rate."


def collapsed_projections(advice: str = PREDICTOR) -> Alarm:
    """What the loss compares is the same of all examples: of methods without negatives, which log their spread.

    Args:
        advice: a sentence on what to do.
    """
    return Alarm(
        metrics.PROJECTION_STD,
        f"The projections have collapsed: all examples get nearly the same one ({metrics.PROJECTION_STD} is "
        f"{{{metrics.PROJECTION_STD}:.4f}}, 1 is an even spread), so the loss teaches nothing. {advice}",
        below=COLLAPSED_PROJECTION_STD,
    )


def projections_on_a_line(advice: str) -> Alarm:
    """All dimensions of what the loss compares say the same: of methods that are to keep them apart.

    Args:
        advice: a sentence on what to do.
    """
    name = metrics.PROJECTION_RANK
    sentence = (
        f"The projections lie on a line: all of their dimensions say the same ({name} is {{{name}:.2f}}, 1 is a line). "
    )
    return Alarm(name, sentence + advice, below=A_LINE)


def silent_teacher(most: float, at_places: bool = False) -> Alarm:
    """A teacher gives all examples the same probabilities of its outputs: all of them alike, or one output alone.

    Args:
        most: entropy of outputs that are all equally likely, in nats.
        at_places: whether this is about the outputs at hidden places, and not about those of whole examples.
    """
    chosen, spread = metrics.INFORMATION, metrics.TEACHER_ENTROPY
    what, temperature = "all examples", "teacher_temperature"
    if at_places:
        chosen, spread = metrics.PATCH_INFORMATION, metrics.PATCH_ENTROPY
        what, temperature = "all hidden places", "patch_temperature"
    return Alarm(
        chosen,
        f"The outputs have collapsed: the teacher gives {what} nearly the same ({chosen} is {{{chosen}:.4f}} "
        f"nats), so the loss teaches nothing. The entropy of its outputs is {{{spread}:.2f}}: near {most:.2f}, where "
        f"all are equally likely, lower {temperature}; near 0, where one takes all, lower centre_momentum; in "
        "either case look at the learning rate.",
        below=SILENT,
    )


def constant_places(metric: str, what: str, advice: str, below: float) -> Alarm:
    """What a method of places predicts, or predicts it from, is the same at all of them.

    Args:
        metric: name of its standard deviation from place to place.
        what: what is the same, in the plural.
        advice: a sentence on what to do.
        below: standard deviation below which it has collapsed.
    """
    return Alarm(
        metric,
        f"The {what} have collapsed: they are nearly the same at all places ({metric} is {{{metric}:.4f}}), so the "
        f"loss teaches nothing. {advice}",
        below=below,
    )


def few_codes(advice: str, what: str = "places") -> Alarm:
    """Nearly all places have the same code, and it is no feat to predict it.

    Args:
        advice: what to do about it, as a sentence.
        what: what has codes, in the plural.
    """
    return Alarm(
        metrics.CODE_PERPLEXITY,
        f"Nearly all {what} have the same code: no more than {{{metrics.CODE_PERPLEXITY}:.1f}} equally frequent ones "
        f"are in use, so there is little to predict. {advice}",
        below=FEW_CODES,
    )


def collapsed_posterior(latent_dim: int, advice: str) -> Alarm:
    """Too few latent dimensions say anything about an example.

    Args:
        latent_dim: number of latent dimensions.
        advice: what to do about it, as the rest of the sentence.
    """
    name = metrics.HEALTH_ACTIVE_UNITS
    sentence = f"The posterior has collapsed: {{{name}:.0f}} of {latent_dim} latent dimensions distinguish examples; "
    return Alarm(name, f"{sentence}{advice}.", below=max(1, FEW_ACTIVE * latent_dim))


def one_expert(method: nn.Module) -> list[Alarm]:
    """Nearly all tokens have the same expert; nothing of a method whose encoder has no experts."""
    if not any(isinstance(part, Auxiliary) for part in method.modules()):
        return []
    name = metrics.BUSIEST_EXPERT
    sentence = (
        f"One expert gets nearly all tokens ({name} is {{{name}:.2f}}), so that the others learn nothing. Raise the "
        "encoder's balance, or its jitter, or lower the learning rate."
    )
    return [Alarm(name, sentence, above=ONE_EXPERT)]


def loss_at_chance(chance: float, metric: str = f"{metrics.TRAIN}/loss") -> Alarm:
    """The loss sits where an encoder that ignores its input would be.

    Args:
        chance: loss of such an encoder.
        metric: name of the loss, or of the term of it, that this is about.
    """
    return Alarm(
        metric,
        f"The training loss sits at chance: {{{metric}:.3f}}, where an encoder that ignores its input has "
        f"{chance:.3f}. Look at the learning rate, the temperature and the strength of the views.",
        above=AT_CHANCE * chance,
    )


def nothing_explained() -> Alarm:
    """What is predicted is no better than the same prediction for everything: of methods that predict numbers."""
    return Alarm(
        metrics.EXPLAINED,
        f"Nothing has been learnt: the predictions are hardly better than the mean of what is to be predicted "
        f"({metrics.EXPLAINED} is {{{metrics.EXPLAINED}:.3f}}). Look at the learning rate, at how much is hidden or "
        "how far ahead is predicted, and at the inputs, which may be all alike.",
        below=EXPLAINED,
    )
