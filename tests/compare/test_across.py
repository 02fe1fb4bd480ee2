"""Methods over modalities: gains over the untrained encoder, from results that never were."""

from pathlib import Path

import pytest

from ssl_zoo.cli import main
from ssl_zoo.compare.across import across
from ssl_zoo.compare.grid import Grid
from ssl_zoo.compare.groups import group_runs
from ssl_zoo.compare.leaderboard import make_leaderboard
from ssl_zoo.compare.results import as_probes
from ssl_zoo.compare.runs import RunRecord
from ssl_zoo.runs.results import Parts, TaskScore
from tests.made_results import made, score
from tests.terminal import on_terminal

SOURCES = {"image": "Digits", "audio": "Voices", "text": "Words"}


def run(method: str, modality: str, own: float, untrained: float, seed: int = 0, **settings) -> RunRecord:
    """A run whose main task is phones where it is of speech, and the classes otherwise."""
    experiment = settings.pop("experiment", f"{method}_{modality}".lower())
    rows = {method: {"linear": {"10": score(own)}}, "untrained encoder": {"linear": {"10": score(untrained)}}}
    tasks = {}
    if modality == "audio":
        tasks = {"phones": {method: TaskScore(own, None, []), "untrained encoder": TaskScore(untrained, None, [])}}
        rows = {method: {"linear": {"10": score(0.9)}}, "untrained encoder": {"linear": {"10": score(0.9)}}}
    result = made(
        method=method,
        modality=modality,
        experiment=experiment,
        seed=seed,
        data=settings.pop("data", Parts(SOURCES[modality], "", modality, 3, 2, 1)),
        rows=rows,
        tasks=tasks,
        main_task="phones" if tasks else "classes",
        layers={},
        **settings,
    )
    of = {"model": experiment}
    name = f"{experiment}/{seed}"
    return RunRecord(name, Path("/runs", experiment, str(seed)), result, seed, of, {}, None, {}, as_probes(result))


def table(runs: list[RunRecord]) -> Grid | None:
    groups, _ = group_runs(runs)
    return across([make_leaderboard(group)[0] for group in groups])


def test_methods_stand_in_rows_and_what_they_add_to_their_encoders_in_columns_of_modalities():
    grid = table(
        [
            run("SimCLR", "text", 0.40, 0.25),
            run("MAE", "audio", 0.70, 0.65),
            run("SimCLR", "image", 0.80, 0.60),
            run("MAE", "image", 0.85, 0.60),
            run("BERT", "text", 0.20, 0.30),
        ]
    )
    assert [column.name for column in grid.columns] == ["method", "image", "speech", "text"]
    assert [[cell.text for cell in row.cells] for row in grid.rows] == [
        ["SimCLR", "+20.0", "", "+15.0"],  # of two modalities, with the higher mean
        ["MAE", "+25.0", "+5.0", ""],
        ["BERT", "", "", "-10.0"],
    ]
    for said in (
        "speech on Voices by the linear probe of phones",
        "image on Digits by the linear probe with 10 labels",
    ):
        assert said in grid.note


def test_a_gain_is_taken_run_by_run_and_its_interval_is_over_seeds():
    # Untrained encoders that differ from seed to seed take their share of the spread with them.
    own, untrained = (0.80, 0.70, 0.75), (0.60, 0.50, 0.56)
    runs = [run("SimCLR", "image", *pair, seed=seed) for seed, pair in enumerate(zip(own, untrained, strict=True))]
    grid = table([*runs, run("SimCLR", "text", 0.4, 0.2)])
    # 20, 20 and 19 points: a standard deviation of 0.577, and Student's t of 4.303 over the root of 3.
    assert [cell.text for cell in grid.rows[0].cells] == ["SimCLR", "+19.7 ± 1.4", "+20.0"]
    assert grid.rows[0].cells[1].value == pytest.approx(0.59 / 3)


def test_of_several_experiments_the_one_that_is_ranked_highest_counts_and_every_data_set_has_a_column():
    other = Parts("Clothes", "", "clothes", 3, 2, 1)
    grid = table(
        [
            run("VAE", "image", 0.70, 0.30, experiment="small"),
            run("VAE", "image", 0.90, 0.60, experiment="large"),
            run("VAE", "image", 0.50, 0.45, experiment="clothes", data=other),
            run("VAE", "audio", 0.50, 0.40),
        ]
    )
    assert [column.name for column in grid.columns] == ["method", "image: Clothes", "image: Digits", "speech"]
    assert [cell.text for cell in grid.rows[0].cells] == ["VAE", "+5.0", "+30.0", "+10.0"]


def test_without_a_second_modality_or_an_untrained_encoder_there_is_no_table():
    assert table([run("VAE", "image", 0.7, 0.3), run("MAE", "image", 0.8, 0.3)]) is None
    alone = run("BERT", "text", 0.5, 0.3)
    rows = {row: found for row, found in alone.rows.items() if row != "untrained encoder"}
    assert table([run("VAE", "image", 0.7, 0.3), alone._replace(rows=rows)]) is None


def test_the_command_shows_it_in_the_terminal_in_the_report_and_in_markdown(write_run, tmp_path, monkeypatch):
    write_run("a/0", "SimCLR")
    write_run("b/0", "SimCLR", modality="text", source="Words", split="w", encoder="BertEncoder")
    write_run("c/0", "<b>BERT</b>", modality="text", source="Words", split="w", encoder="BertEncoder")
    command = ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    printed = "\n".join(on_terminal(100, lambda: main(command), monkeypatch))
    assert "Across modalities" in printed and printed.count("+20.0") == 3
    markdown = (tmp_path / "out" / "tables.md").read_text()
    assert markdown.startswith("## Across modalities\n\n| method | image | text |\n|---|---:|---:|\n")
    assert "| SimCLR | +20.0 | +20.0 |" in markdown and r"| \<b\>BERT\</b\> |  | +20.0 |" in markdown
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<a href="#across">Across modalities</a>' in page and "&lt;b&gt;BERT" in page
    (section,) = page.split('<section id="across">')[1:]
    assert section.split("</section>")[0].count("+20.0") == 3
