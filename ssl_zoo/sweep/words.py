"""How a sweep speaks of time and of results."""

from pathlib import Path

from ssl_zoo.compare.ranking import default_ranking, describe
from ssl_zoo.compare.results import as_probes
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.runs.results import ALL


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def outcome(directory: Path) -> str:
    """What a finished run came to, in a few words."""
    try:
        result = read_result(directory)
    except (OSError, ValueError):  # there are none, or nobody can read them
        return "trained, not probed"
    own = as_probes(result)[result.own_row]
    if not own:
        return f"{result.budget.steps:,} steps in {clock(result.budget.seconds)}, on data without labels"
    probe, _, labels = default_ranking(result.main_task, list(result.tasks), [own]).partition(":")
    labels = labels or ALL
    accuracy = f"{describe(probe, labels)} {100 * own[probe][labels]:.1f} %"
    return f"{result.budget.steps:,} steps in {clock(result.budget.seconds)}, {accuracy}"
