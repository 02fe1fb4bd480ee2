"""What a run's encoder reached before it was fine-tuned: its linear probe, which `ssl-zoo probe` has kept."""

from ssl_zoo.finetuning.tasks import Task
from ssl_zoo.probes.accuracy import Score
from ssl_zoo.runs.result_file import read_result
from ssl_zoo.runs.results import ALL, BEFORE, LINEAR, Result, Rows
from ssl_zoo.runs.run import Run
from ssl_zoo.tasks.labels import CLASSES

BALANCED = "balanced accuracy"


def before_fine_tuning(run: Run, name: str, task: Task, numbers: list[str]) -> tuple[Rows, list[str]]:
    """The row of the frozen encoder, and sentences about it; nothing where its probes were not of the same task.

    Args:
        run: the run.
        name: name of the task.
        task: what is fine-tuned on.
        numbers: numbers of examples that are tried.
    """
    try:
        result = read_result(run.directory)
    except (OSError, ValueError):  # not evaluated, or nobody can read it: there is no such row
        return {}, []
    if (result.data.source, result.data.split) != (task.data, task.split):
        return {}, []
    found = _probed(result, name, numbers)
    figures = {"accuracy": {number: score._replace(balanced=None) for number, score in found.items()}}
    balanced = {number: score.balanced for number, score in found.items() if score.balanced is not None}
    if balanced:
        figures[BALANCED] = balanced
    tested = result.data.test if name == CLASSES else result.task_sizes.get(name, {}).get("test", 0)
    remark = (
        f"The row `{BEFORE}` is the linear probe of the frozen encoder, which was evaluated on {tested:,} test labels."
    )
    return ({BEFORE: figures}, [remark]) if found else ({}, [])


def _probed(result: Result, name: str, numbers: list[str]) -> dict[str, Score]:
    """Scores of the linear probe by number of examples."""
    if name == CLASSES:
        linear = result.rows.get(result.own_row, {}).get(LINEAR, {})
        return {number: linear[number] for number in numbers if number in linear}
    found = result.tasks.get(name, {}).get(result.own_row)
    if found is None:
        return {}
    balanced = None if found.balanced is None else Score(found.balanced, 0.0, [found.balanced])
    return {ALL: Score(found.accuracy, 0.0, [found.accuracy], balanced)}
