"""What makes runs comparable: as many examples for all, or as much time for all."""

import re
from typing import Any, NamedTuple

from ssl_zoo.errors import InputError

UNITS = {"s": 1, "min": 60, "h": 3600}
# A run whose length the sweep decides is validated and logged at fixed parts of it, however long it is.
VALIDATIONS, LOGS = 5, 40


class Terms(NamedTuple):
    """How long every run trains.

    Attributes:
        seconds: seconds of training, on this machine; None where time is no limit.
        samples: examples seen; None where they are no limit. Both None: every experiment's own `max_steps`.
    """

    seconds: float | None
    samples: int | None


def read_terms(budget: str | None, samples: int | None) -> Terms:
    """The terms that a command line asks for.

    Args:
        budget: a time such as `90s`, `10min` or `1.5h`.
        samples: a number of examples.

    Raises:
        InputError: both are given, or one makes no sense.
    """
    if budget is not None and samples is not None:
        raise InputError("sweep: runs are equal in --budget or in --samples, not in both: leave one out.")
    if samples is not None and samples < 1:
        raise InputError(f"sweep: --samples is {samples}: it must be at least 1.")
    return Terms(None if budget is None else _seconds(budget), samples)


def _seconds(budget: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", budget)
    if found is None or float(found[1]) == 0:
        raise InputError(f"sweep: --budget is {budget!r}: give a time such as 90s, 10min or 1.5h.")
    return float(found[1]) * UNITS[found[2]]


def samples_per_step(settings: dict[str, Any]) -> int:
    """Examples per optimizer step, over all processes.

    Args:
        settings: settings of a run, as in its config.yaml.
    """
    return settings["data"]["init_args"]["batch_size"] * settings["trainer"]["accumulate_grad_batches"]


def steps_for(terms: Terms, settings: dict[str, Any], steps_per_second: float | None) -> int | None:
    """Optimizer steps of a run, at least one; None leaves the experiment's own number.

    Args:
        terms: terms of the sweep.
        settings: settings of the run.
        steps_per_second: measured; needed only where time is the limit.
    """
    if terms.samples is not None:
        return max(1, round(terms.samples / samples_per_step(settings)))
    if terms.seconds is not None:
        assert steps_per_second is not None, "a budget of time takes a measurement"
        return max(1, int(terms.seconds * steps_per_second))
    return None


def length_options(steps: int, settings: dict[str, Any]) -> list[str]:
    """Options of `ssl-zoo fit` that make a run end, and its schedules with it, after so many optimizer steps.

    No time limit is set: one that strikes would cut the learning rate's way down short.
    """
    trainer = settings["trainer"]
    options = [
        f"--trainer.max_steps={steps}",
        "--trainer.check_val_every_n_epoch=null",
        f"--trainer.val_check_interval={max(1, steps // VALIDATIONS) * trainer['accumulate_grad_batches']}",
        f"--trainer.log_every_n_steps={max(1, steps // LOGS)}",
    ]
    if trainer.get("max_epochs") is not None:
        options.append("--trainer.max_epochs=-1")
    if trainer.get("max_time") is not None:
        options.append("--trainer.max_time=null")
    return options
