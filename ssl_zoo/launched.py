"""Which process of several this is, as launchers number them before anything is imported."""

import os

_NUMBERS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")  # Lightning gives the last one alone


def is_one_of_several() -> bool:
    """Whether a launcher has started this process."""
    return any(name in os.environ for name in _NUMBERS)


def number() -> str:
    """This process's number among all of the run; 0 where nobody has numbered it."""
    return next((os.environ[name] for name in _NUMBERS if name in os.environ), "0")


def is_first() -> bool:
    """Whether this process is the one that speaks; one that nobody has numbered is."""
    return number() == "0"


def outlived_by_first() -> bool:
    """Whether Lightning has started this process from the first one, which ends after it unless it is killed."""
    return "LOCAL_RANK" in os.environ and "RANK" not in os.environ and "SLURM_PROCID" not in os.environ
