"""Which figures of a run are put aside when it is trained further."""

from pathlib import Path

from ssl_zoo.evaluation.pictures import PICTURES
from ssl_zoo.runs.fine_tuned import FineTuned, Pretraining, TaskData, TuningBudget, write_fine_tuned
from ssl_zoo.runs.in_context_file import InContext, write_in_context
from ssl_zoo.runs.outdated import evaluated_steps, put_results_aside
from ssl_zoo.runs.result_file import write_result
from tests.made_results import made


def fine_tuned(task: str, steps: int) -> FineTuned:
    return FineTuned(
        2, task, "examples", TaskData("Texts", "1"), TuningBudget(3, 4, 0.1), {}, [], [],
        pretraining=Pretraining(steps=steps),
    )  # fmt: skip


def prompted(steps: int) -> InContext:
    return InContext("a", "Texts", "{text}{label}", [], 7, 1, 0.6, {}, [], steps)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_figures_of_other_weights_are_put_aside_and_of_these_stay(tmp_path: Path) -> None:
    write_result(tmp_path, made())  # of 5 steps
    write_fine_tuned(tmp_path, fine_tuned("tags", 5))
    write_fine_tuned(tmp_path, fine_tuned("pairs", 9))
    write_in_context(tmp_path, prompted(5))
    before = names(tmp_path)
    put_results_aside(tmp_path, 5)
    assert evaluated_steps(tmp_path) == 5
    aside = "after-9-steps-finetune-pairs.json"
    assert names(tmp_path) == sorted([aside, *(name for name in before if name != "finetune-pairs.json")])
    put_results_aside(tmp_path, 6)
    five = [f"after-5-steps-{name}" for name in ("results.json", "in_context.json", "finetune-tags.json")]
    assert names(tmp_path) == sorted([aside, *five]) and evaluated_steps(tmp_path) is None


def test_with_figures_go_the_features_and_pictures_of_their_evaluation_and_no_others(tmp_path: Path) -> None:
    write_result(tmp_path, made())  # of 5 steps
    (tmp_path / "figures").mkdir()
    evaluated = ["features.npz", "neighbours.md", "figures/neighbours.png"]
    evaluated += [f"figures/{name}.png" for name in PICTURES]
    others = ["samples.txt", "figures/views.png"]
    for name in (*evaluated, *others):
        (tmp_path / name).write_text(name)
    put_results_aside(tmp_path, 5)
    assert all((tmp_path / name).read_text() == name for name in (*evaluated, *others))
    put_results_aside(tmp_path, 6)
    assert not [name for name in evaluated if (tmp_path / name).exists()]
    assert all((tmp_path / name).read_text() == name for name in others)
    for name in evaluated:
        path = tmp_path / name
        assert path.with_name(f"after-5-steps-{path.name}").read_text() == name


def test_figures_that_do_not_say_whose_they_are_stay(tmp_path: Path) -> None:
    write_fine_tuned(tmp_path, fine_tuned("tags", 0))
    write_in_context(tmp_path, prompted(0))
    (tmp_path / "results.json").write_text("{")
    before = names(tmp_path)
    put_results_aside(tmp_path, 6)
    assert names(tmp_path) == before
