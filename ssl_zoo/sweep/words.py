"""How a sweep speaks of time and of results."""

from pathlib import Path

from ssl_zoo.compare.leaderboard import ALL, LINEAR, own_row, ranked_by
from ssl_zoo.compare.results import read_result


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def outcome(directory: Path) -> str:
    """What a finished run came to, in a few words."""
    try:
        result = read_result(directory / "results.json")
    except (OSError, ValueError):
        return "trained, not probed"
    own = result.rows[own_row(result)]
    main = ranked_by(result.tasks, own)
    told = "linear probe" if main == LINEAR else main
    return f"{result.steps:,} steps in {clock(result.seconds)}, {told} {100 * own[main][ALL]:.1f} %"
