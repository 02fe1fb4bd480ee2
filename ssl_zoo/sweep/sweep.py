"""`ssl-zoo sweep`: several experiments, several seeds, equal terms, one comparison."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from ssl_zoo.compare.compare import compare
from ssl_zoo.errors import InputError
from ssl_zoo.signals import Stopped, requests
from ssl_zoo.sweep.calibrate import measure_speed
from ssl_zoo.sweep.commands import PROGRAM, PlannedRun, arguments, as_typed, finished, newest_directory
from ssl_zoo.sweep.plan import Experiment, ReadSettings, plan
from ssl_zoo.sweep.process import last_line, run_logged
from ssl_zoo.sweep.state import Status, SweepState, read_state, write_state
from ssl_zoo.sweep.terms import Terms, read_terms, steps_for
from ssl_zoo.sweep.words import clock, outcome
from ssl_zoo.whereabouts import whereabouts
from ssl_zoo.writable import check_writable


def sweep(
    experiments: list[Path],
    read: ReadSettings,
    overrides: list[str],
    seeds: int = 3,
    budget: str | None = None,
    samples: int | None = None,
    out: Path = Path("runs/sweep"),
    list_only: bool = False,
    variants: Path | None = None,
) -> None:
    """Trains experiments on equal terms, each with several seeds and one after the other, and compares them.

    Every run is a process of its own. What is done is not done again; what was interrupted goes on from its last
    checkpoint; a run that fails is named, and the others go on. What follows `--` is given to every run.

    Args:
        experiments: YAML files, or folders that hold some.
        read: gives the settings that options of `ssl-zoo fit` come to.
        overrides: options of `ssl-zoo fit` for every run.
        seeds: number of seeds to train each experiment with: 0, 1, 2 and so on.
        budget: seconds of training for each run, as 90s, 10min or 1.5h. The speed of an experiment is measured first,
            by a few steps that do not count, and its schedules end when the time is up, as far as that speed holds;
            validation and probes come on top.
        samples: examples that each run sees in training, instead of a time.
        out: folder for the runs, for sweep.json, and for the comparison.
        list_only: print the commands that remain to be run, one a line, and run none (for a batch system).
        variants: YAML file with names, and below each of them settings with their values: every experiment is trained
            once for each name, with these settings.

    Raises:
        InputError: a file, an option or the folder cannot be used.
        SystemExit: a run has failed (code 1), or the sweep was stopped by Ctrl-C (code 130) or SIGTERM (code 143).
    """
    if seeds < 1:
        raise InputError(f"sweep: --seeds is {seeds}: it must be at least 1.")
    terms = read_terms(budget, samples)
    check_writable(out, "--out")
    planned = plan(experiments, overrides, terms, out, read, variants)
    out.mkdir(parents=True, exist_ok=True)
    first = requests.take()
    try:
        with FileLock(out / "sweep.lock", timeout=0):
            work = _Work(terms, out, Console(soft_wrap=True, stderr=list_only))
            if list_only:
                _list(work, planned, seeds)
            else:
                _run_all(work, planned, seeds)
    except Timeout as error:
        raise InputError(f"sweep: another sweep is at work in {out}: wait for it or choose another --out.") from error
    except Stopped as stopped:  # its sentence and its code
        sys.stderr.write(f"Stopped by {stopped.name}: the same command goes on from here.\n")
        sys.exit(stopped.code)
    finally:
        if first:
            requests.give_back()


class _Work:
    """What the steps of a sweep share: its terms, its folder, its memory and where it writes."""

    def __init__(self, terms: Terms, out: Path, console: Console) -> None:
        self.terms, self.out, self.console = terms, out, console
        self.state: SweepState = read_state(out)

    def steps(self, experiment: Experiment) -> int | None:
        """The length of an experiment's runs; measures its speed if it has to be known and is not."""
        speeds, name = self.state["steps_per_second"], experiment.folder.name
        if self.terms.seconds is not None and name not in speeds:
            log = experiment.folder / "calibration.log"
            with _Watch(self.console, f"{experiment.name}: measuring its speed", log) as watch:
                fit = [*PROGRAM, "fit", *experiment.options]
                speeds[name] = measure_speed(fit, experiment.settings, log, watch)
            write_state(self.out, self.state)
        return steps_for(self.terms, experiment.settings, speeds.get(name))

    def record(self, run: PlannedRun, status: Status, directory: str | None, command: list[str]) -> None:
        """Writes down what has become of a run."""
        log = str(run.folder / "log.txt")
        self.state["runs"][run.key] = {
            "status": status, "directory": directory, "log": log, "command": as_typed(command)
        }  # fmt: skip
        write_state(self.out, self.state)


def _list(work: _Work, experiments: list[Experiment], seeds: int) -> None:
    for experiment in experiments:
        steps = work.steps(experiment)
        for run in (PlannedRun(experiment, seed, steps) for seed in range(seeds)):
            if finished(run, work.state) is None:
                print(as_typed(arguments(run)))


def _run_all(work: _Work, experiments: list[Experiment], seeds: int) -> None:
    done: list[Path] = []
    failures = 0
    # Seed by seed, so that an interrupted sweep has as many experiments to compare as possible.
    for number, (seed, experiment) in enumerate((s, e) for s in range(seeds) for e in experiments):
        position = f"{number + 1}/{seeds * len(experiments)}"
        try:
            directory = _bring_to_end(work, PlannedRun(experiment, seed, work.steps(experiment)), position)
        except InputError as error:  # one failure is printed and the others run
            work.console.print(f"[red]failed[/] {position} {experiment.name}, seed {seed}: {escape(str(error))}.")
            directory = None
        if directory is None:
            failures += 1
        else:
            done.append(directory)
    if done:
        compare(done, work.out / "comparison")
    if failures:
        work.console.print(f"{failures} of {seeds * len(experiments)} runs failed; the same command tries them again.")
        sys.exit(1)


def _bring_to_end(work: _Work, run: PlannedRun, position: str) -> Path | None:
    """Runs what is left of a run and says how it went; returns its directory if it is done."""
    directory = finished(run, work.state)
    if directory is not None:
        work.console.print(f"[green]done[/]   {position} {run.title}: {outcome(directory)}, before")
        return directory
    command, log = arguments(run), run.folder / "log.txt"
    work.record(run, "running", newest_directory(run), command)
    start = time.monotonic()
    try:
        with _Watch(work.console, f"{position} {run.title}", log) as watch:
            code = run_logged([*PROGRAM, *command], log, watch)
    except Stopped:
        work.record(run, "interrupted", newest_directory(run), command)
        raise
    newest = newest_directory(run)
    if code != 0 or newest is None:
        work.record(run, "failed", newest, command)
        said = escape(last_line(log))
        work.console.print(f"[red]failed[/] {position} {run.title}: {said}; see {log}")
        return None
    work.record(run, "done", newest, command)
    taken = clock(time.monotonic() - start)
    work.console.print(f"[green]done[/]   {position} {run.title}: {outcome(Path(newest))}, {taken} in all")
    return Path(newest)


class _Watch:
    """A line on the terminal that says what is going on; elsewhere one twice a minute."""

    def __init__(self, console: Console, title: str, log: Path) -> None:
        self.title, self.log, self.start = title, log, time.monotonic()
        self.console, self.status = console, console.status(escape(title))

    def __enter__(self) -> Callable[[], None]:
        self.status.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def show(self) -> None:
        """Shows the time passed and the latest line of the log."""
        passed = clock(time.monotonic() - self.start)
        line = escape(f"{self.title}  {passed}  {last_line(self.log)[:80]}")
        if self.console.is_terminal:
            whereabouts.said()
            self.status.update(line)
        elif whereabouts.is_due():
            whereabouts.said()
            self.console.print(line)
