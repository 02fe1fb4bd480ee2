"""How far an accuracy can be trusted that was taken on so many test examples."""

import math


def wilson(share: float, examples: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy over examples (Wilson, 1927).

    Args:
        share: accuracy in [0, 1].
        examples: test examples that it was taken on.

    Returns:
        Both ends, in [0, 1].
    """
    from scipy.stats import binomtest

    found = binomtest(round(share * examples), examples).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def distinguishable(first: float, second: float, examples: int) -> bool:
    """Whether the 95 % interval of the difference of two accuracies leaves out zero (Newcombe, 1998, method 10).

    It takes the test parts for two. Two encoders are tested on the same examples, which mostly narrows the interval:
    what differs here differs, and what does not might on closer inspection, example by example.

    Args:
        first: accuracy in [0, 1].
        second: another one.
        examples: test examples that each was taken on.
    """
    low, high = difference(max(first, second), min(first, second), examples, examples)
    return low > 0 or high < 0


def difference(first: float, second: float, examples: int, others: int) -> tuple[float, float]:
    """The 95 % interval of `first - second`, each taken on so many test examples; arguments as above."""
    (low, high), (other_low, other_high) = wilson(first, examples), wilson(second, others)
    apart = first - second
    return apart - math.hypot(first - low, other_high - second), apart + math.hypot(high - first, second - other_low)


def too_few(name: str, own: dict[str, float], others: dict[str, dict[str, float]], examples: int) -> str:
    """A sentence on where a test part is too small to distinguish something from what it is to beat.

    Args:
        name: what is to be distinguished.
        own: accuracies in [0, 1] by the names of columns.
        others: accuracies of what stands beside, by name and by column.
        examples: test examples that each accuracy was taken on; 0 where nobody says.

    Returns:
        The sentence without its full stop; empty where all can be distinguished.
    """
    if examples == 0:  # nobody says how many
        return ""
    unclear = {
        other: [
            column for column in own if column in shares and not distinguishable(own[column], shares[column], examples)
        ]
        for other, shares in others.items()
    }
    unclear = {other: columns for other, columns in unclear.items() if columns}
    if not unclear:
        return ""
    shown = next(column for column in reversed(own) if any(column in columns for columns in unclear.values()))
    low, high = wilson(own[shown], examples)
    places = [f"{other} (column{'s' * (len(columns) > 1)} {', '.join(columns)})" for other, columns in unclear.items()]
    return (
        f"Too few test examples to decide: {100 * own[shown]:.1f} % of {examples:,} may be anything from "
        f"{100 * low:.1f} to {100 * high:.1f} % (95 % interval over examples), so that {name} cannot be distinguished "
        f"from {' and '.join(places)}"
    )
