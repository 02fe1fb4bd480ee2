import json

import pytest
import yaml
from scipy.stats import binomtest, ttest_1samp

from ssl_zoo.compare.grids import make_grids
from ssl_zoo.compare.groups import group_runs
from ssl_zoo.compare.leaderboard import make_leaderboard
from ssl_zoo.compare.runs import read_run
from ssl_zoo.compare.units import duration, quantity
from ssl_zoo.sweep.words import outcome


def boards(*directories, rank_by=None):
    """Every group's leaderboard by the name of its data, and all remarks as (run, sentence)."""
    read = [read_run(directory) for directory in directories]
    groups, remarks = group_runs([run for run, _ in read])
    made = [make_leaderboard(group, rank_by) for group in groups]
    said = [remark[:2] for remark in [*remarks, *(one for _, more in made for one in more)]]
    return {board.group.source: board for board, _ in made}, said


def cells(board, title, row):
    """The texts of a row of a grid by column, chosen by the beginning of its label, which is in small letters here."""
    (grid,) = [grid for grid in make_grids(board) if grid.title == title]
    found = [dict(zip([column.name for column in grid.columns], [cell.text for cell in one.cells], strict=True))
             for one in grid.rows]  # fmt: skip
    return next(one for one in found if one["experiment"].startswith(row.lower()))


def test_methods_are_ranked_by_the_linear_probe_and_ties_by_the_knn(write_run):
    made, _ = boards(
        write_run("a/1", "A", linear={"all": 0.8}, knn={"all": 0.7}),
        write_run("b/1", "B", linear={"all": 0.9}, knn={"all": 0.1}),
        write_run("c/1", "C", linear={"all": 0.8}, knn={"all": 0.75}),
    )
    assert [(entry.rank, entry.method) for entry in made["Digits"].methods] == [(1, "B"), (2, "C"), (3, "A")]
    assert (
        outcome(made["Digits"].methods[0].runs[0].directory) == "100 steps in 0:50, linear probe with all labels 90.0 %"
    )


def ranked(board):
    return [(entry.rank, entry.method) for entry in board.methods]


def test_ten_labels_per_class_decide_where_every_run_was_probed_with_them(write_run):
    few, many = {"1": 0.4, "10": 0.7, "all": 0.8}, {"1": 0.5, "10": 0.6, "all": 0.9}
    both = [write_run("a/1", "A", linear=few), write_run("b/1", "B", linear=many)]
    made, _ = boards(*both)
    assert made["Digits"].ranking.name == "linear:10" and ranked(made["Digits"]) == [(1, "A"), (2, "B")]
    assert outcome(both[0]) == "100 steps in 0:50, linear probe with 10 labels per class 70.0 %"
    assert made["Digits"].entries[0].kind == "ceiling"  # which is known with all labels alone, and hides nothing
    made, _ = boards(*both, write_run("c/1", "C", linear={"1": 0.5, "all": 0.85}))
    assert made["Digits"].ranking.name == "linear:all"
    assert ranked(made["Digits"]) == [(1, "B"), (2, "C"), (3, "A")]


@pytest.mark.parametrize(
    ("rank_by", "expected"),
    [
        ("linear:1", "ABC"), ("knn:all", "CAB"), ("balanced:linear:all", "BCA"), ("tuned:classes:10", "CBA"),
        ("health:rank", "BAC"), ("health:alignment", "CAB"), ("seconds", "CBA"), ("loss", "BAC"), ("parameters", "CAB"),
    ],
)  # fmt: skip
def test_any_column_can_be_ranked_by_and_less_comes_first_where_less_is_better(write_run, rank_by, expected):
    directories = []
    for name, one, knn, balanced, tuned, health, alignment, seconds, loss, parameters in (
        ("A", 0.6, 0.5, 0.2, 0.1, 20.0, 0.5, 30.0, 3.0, 20), ("B", 0.5, 0.4, 0.4, 0.2, 30.0, 0.6, 20.0, 2.0, 30),
        ("C", 0.4, 0.6, 0.3, 0.3, 10.0, 0.4, 10.0, 4.0, 10),
    ):  # fmt: skip
        directory = write_run(f"{name}/1", name, linear={"1": one, "all": 0.9}, knn={"1": 0.1, "all": knn},
                              balanced=balanced, finetuning={"10": tuned}, budget={"seconds": seconds},
                              parameters=parameters)  # fmt: skip
        record = json.loads((directory / "results.json").read_text())
        record["health"] = {"health/rank": health, "health/alignment": alignment}
        (directory / "results.json").write_text(json.dumps(record))
        (directory / "metrics.csv").write_text(f"step,train/loss,val/loss\n0,9,\n9,1,{loss}\n")
        directories.append(directory)
    made, _ = boards(*directories, rank_by=rank_by)
    board = made["Digits"]
    assert board.ranking.name == rank_by and ranked(board) == list(enumerate(expected, 1))
    assert board.ranking.words in make_grids(board)[0].note
    # Pictures show an accuracy whatever is ranked by.
    assert board.headline.name == (rank_by if board.ranking.is_accuracy else "linear:all")


def test_what_is_unknown_has_no_rank_and_comes_last(write_run):
    made, _ = boards(write_run("a/1", "A", finetuning={"10": 0.1}), write_run("b/1", "B"), rank_by="tuned:classes:10")
    assert ranked(made["Digits"]) == [(1, "A"), (None, "B")]
    assert cells(made["Digits"], "Accuracy", "B")["#"] == "" and cells(made["Digits"], "Accuracy", "B")["seeds"] == "1"


def test_balanced_accuracy_has_columns_where_classes_differ_in_size(write_run):
    tasks = {"phones": {"A": 0.6, "untrained encoder": 0.5}}
    made, _ = boards(write_run("a/1", "A", balanced=0.3, tasks=tasks))
    row = cells(made["Digits"], "Accuracy", "A")
    assert row["linear all"] == "90.0" and row["balanced linear all"] == "30.0" and row["balanced kNN 1"] == "30.0"
    assert "balanced phones" not in row
    made, _ = boards(write_run("b/1", "B"))
    assert not [name for name in cells(made["Digits"], "Accuracy", "B") if "balanced" in name]


def test_baselines_and_ceiling_stand_among_the_methods_without_a_rank(write_run):
    high = {"all": 0.85}
    made, _ = boards(
        write_run("a/1", "A", linear={"all": 0.78}, baselines={"untrained encoder": {"all": 0.7}, "raw inputs": high}),
        write_run("b/1", "B", linear={"all": 0.9}, ceiling=0.95, baselines={"raw inputs": {"all": 0.75}}),
    )
    found = [(entry.label, entry.kind, entry.rank) for entry in made["Digits"].entries]
    assert found == [
        ("supervised", "ceiling", None),
        ("b", "method", 1),
        ("raw inputs", "baseline", None),
        ("a", "method", 2),
        ("untrained encoder", "baseline", None),
    ]
    raw = made["Digits"].entries[2]
    assert raw.score() == pytest.approx((0.85 + 0.75) / 2) and raw.accuracy["linear"]["all"].interval is None
    assert made["Digits"].entries[0].score() == pytest.approx((0.97 + 0.95) / 2)


@pytest.mark.parametrize("classes", [True, False])
def test_speech_is_ranked_by_phones_where_they_are_known(write_run, classes):
    baselines = {"untrained encoder": 0.6, "log-mel frame": 0.65}
    made, said = boards(
        write_run("a/1", "A", classes=classes, modality="audio", linear={"all": 0.99},
                  tasks={"word": {"A": 0.3}, "phones": {"A": 0.7, **baselines}}),
        write_run("b/1", "B", classes=classes, modality="audio", linear={"all": 0.8},
                  tasks={"word": {"B": 0.2}, "phones": {"B": 0.75, **baselines}}),
    )  # fmt: skip
    board = made["Digits"]
    assert said == [] and board.ranking.name == "phones" and board.probes == ["word", "phones"]
    assert [entry.label for entry in board.entries][:4] == ["b", "a", "log-mel frame", "untrained encoder"]
    row = cells(board, "Accuracy", "B")
    assert (row["#"], row["word"], row["phones"], row.get("linear all")) == (
        "1", "20.0", "75.0", "80.0" if classes else None
    )  # fmt: skip
    assert cells(board, "Accuracy", "log-mel frame")["phones"] == "65.0"
    assert outcome(board.methods[0].runs[0].directory) == "100 steps in 0:50, linear probe of phones 75.0 %"
    assert "rank by the linear probe of phones" in make_grids(board)[0].columns[0].meaning


def test_seeds_are_merged_into_a_mean_with_its_interval(write_run):
    values = [0.80, 0.84, 0.85]
    made, said = boards(
        *(write_run(f"a/{seed}", "A", seed=seed, linear={"all": value}, budget={"seconds": 10.0 * seed})
          for seed, value in enumerate(values)),
        write_run("b/1", "B"),
    )  # fmt: skip
    assert said == []
    entry = next(entry for entry in made["Digits"].methods if entry.method == "A")
    wanted = ttest_1samp(values, 0).confidence_interval(0.95)
    half = (wanted.high - wanted.low) / 2
    assert len(entry.runs) == 3 and entry.costs["seconds"].mean == 10
    assert entry.accuracy["linear"]["all"].interval == pytest.approx(half)
    row = cells(made["Digits"], "Accuracy", "A")
    assert cells(made["Digits"], "Accuracy", "untrained encoder")["seeds"] == ""
    assert row["seeds"] == "3" and row["linear all"] == f"83.0 ± {100 * half:.1f}"
    assert cells(made["Digits"], "Accuracy", "B")["linear all"] == "90.0"


def test_another_setting_makes_another_row_that_says_so(write_run):
    made, _ = boards(
        write_run("a/1", "A", model={"temperature": 0.1}),
        write_run("a/2", "A", model={"temperature": 0.2}, seed=1),
    )
    assert [entry.label for entry in made["Digits"].methods] == ["a (temperature 0.1)", "a (temperature 0.2)"]


def test_two_optimizers_explain_what_two_learning_rates_would_leave_open(write_run):
    chosen = {"lars": 2.0, "adamw": 0.001}
    settings = [{"optimizer": {"name": name, "learning_rate": rate}} for name, rate in chosen.items()]
    made, _ = boards(*[write_run(f"a/{number}", "A", model=model) for number, model in enumerate(settings)])
    assert {entry.label for entry in made["Digits"].methods} == {"a (optimizer lars)", "a (optimizer adamw)"}


def test_the_same_run_twice_counts_once(write_run):
    made, said = boards(write_run("a/1", "A", linear={"all": 0.5}), write_run("a/2", "A", linear={"all": 0.6}))
    (entry,) = made["Digits"].methods
    assert len(entry.runs) == 1 and entry.score() == 0.6
    assert said == [("a/1", "The run is not counted: a/2 repeats it with the same seed.")]


def test_runs_pretrained_on_different_folders_and_evaluated_on_one_are_no_repetition(write_run):
    runs = [write_run(f"a/{number}", "A", linear={"all": 0.5 + 0.1 * number}) for number in range(2)]
    for run, root in zip(runs, ("/data/first", "/data/second"), strict=True):
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["data"].setdefault("init_args", {})["source"] = {"class_path": "X", "init_args": {"root": root}}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        results = json.loads((run / "results.json").read_text())
        results["remarks"] = [f"Pretrained on 9 examples of {root}, and evaluated on Digits."]
        (run / "results.json").write_text(json.dumps(results))
    made, said = boards(*runs)
    assert len(made["Digits"].methods) == 2 and not any("repeats it" in sentence for _, sentence in said)


def test_every_encoder_has_its_own_untrained_baseline(write_run):
    baseline = {"untrained encoder": {"all": 0.4}, "raw inputs": {"all": 0.3}}
    runs = [write_run(f"a/{name}", "A", encoder=name, baselines=baseline) for name in ("ViT", "ResNet")]
    labels = {entry.label for entry in boards(*runs)[0]["Digits"].entries}
    assert labels >= {"a · ViT", "a · ResNet", "raw inputs", "untrained encoder · ViT", "untrained encoder · ResNet"}
    runs.append(write_run("c/1", "B", encoder="ViT", baselines=baseline, parameters=9))
    labels = {entry.label for entry in boards(*runs)[0]["Digits"].entries}
    assert labels >= {f"untrained encoder · ViT of {count} parameters" for count in ("9", "700,000")}
    assert labels >= {"untrained encoder · ResNet", "c"}  # which no other row of c has to be distinguished from


def test_rows_are_named_by_their_experiments_with_method_date_and_run(write_run):
    made, _ = boards(
        write_run("own/20260131-170501-abcd", "SimCLR"),
        write_run("other/20260201-080000-abcd", "SimCLR"),  # the same settings: another measurement of the same
        write_run("own/20260202-090000-abcd", "BYOL"),
        write_run("lars/20260203-090000-abcd", "BYOL", model={"optimizer": {"name": "lars"}}),
    )
    names = {entry.label for entry in made["Digits"].methods}
    assert names == {"other", "own", "lars"}  # of two runs with the same settings and seed the later counts
    row = cells(made["Digits"], "Accuracy", "own")
    assert (row["method"], row["date"], row["run"]) == ("BYOL", "2026-02-02 09:00", "own/20260202-090000-abcd")
    baseline = cells(made["Digits"], "Accuracy", "untrained encoder")
    assert (baseline["method"], baseline["date"], baseline["run"]) == ("", "", "")


def test_two_methods_in_one_experiment_are_distinguished(write_run):
    made, _ = boards(write_run("own/1", "SimCLR"), write_run("own/2", "BYOL"), write_run("c/1", "BYOL", model={"a": 1}))
    assert {entry.label for entry in made["Digits"].methods} == {"own · SimCLR", "own · BYOL", "c"}


def test_every_row_says_how_its_settings_differ_from_what_is_usual(write_run):
    settings = {"a": {"depth": 2}, "b": {"depth": 2}, "c": {"depth": 3}, "d": {"depth": 2, "width": 7}}
    settings["e"] = {"depth": 2, "views": {"class_path": "own.Strong", "init_args": {"depth": 9}}}
    settings["f"] = {"depth": 2, "views": {"class_path": "own.Weak", "init_args": {"depth": 9}}}
    made, _ = boards(*[write_run(f"{name}/1", name.upper(), model=model) for name, model in settings.items()])
    found = {entry.label: entry.differences for entry in made["Digits"].methods}
    # A depth that most have is not repeated, nor is a width that one alone has; of two there is no usual one.
    assert found == {"a": [], "b": [], "c": ["depth 3"], "d": [], "e": ["views Strong"], "f": ["views Weak"]}
    assert cells(made["Digits"], "Accuracy", "C")["settings"] == "depth 3"


def test_settings_that_are_called_alike_say_what_they_are_settings_of(write_run):
    models = [
        {"encoder": {"init_args": {"depth": deep}}, "decoder": {"init_args": {"depth": 9 - deep}}} for deep in (1, 2)
    ]
    made, _ = boards(*[write_run(f"{name}/1", name, model=model) for name, model in zip("ab", models, strict=True)])
    found = {entry.label: entry.differences for entry in made["Digits"].methods}
    assert found == {"a": ["decoder.depth 8", "encoder.depth 1"], "b": ["decoder.depth 7", "encoder.depth 2"]}


@pytest.mark.parametrize(("examples", "said"), [(70, True), (7000, False)])
def test_a_test_part_that_is_too_small_to_decide_is_named(write_run, examples, said):
    parts, baselines = {"test": examples}, {"raw inputs": {"all": 0.5}}
    runs = [
        write_run(f"{name}/1", name, linear={"all": share}, parts=parts, baselines=baselines)
        for name, share in (("a", 0.8), ("b", 0.75))
    ]
    warning = make_grids(boards(*runs)[0]["Digits"])[0].warning
    if not said:
        assert warning == ""
        return
    wanted = binomtest(56, 70).proportion_ci(0.95, method="wilson")
    assert f"80.0 % of a may be anything from {100 * wanted.low:.1f} to {100 * wanted.high:.1f} %" in warning
    assert "and b cannot be distinguished from it" in warning and "raw inputs" not in warning


def test_an_interval_needs_to_know_how_many_places_were_tested(write_run):
    runs = [
        write_run(f"{name}/1", name, modality="audio", tasks={"phones": {name: share}})
        for name, share in (("a", 0.70), ("b", 0.69))
    ]
    assert make_grids(boards(*runs)[0]["Digits"])[0].warning == ""
    for run in runs:
        record = json.loads((run / "results.json").read_text())
        record["task_sizes"] = {"phones": {"classes": 40, "train": 900, "validation": 90, "test": 90}}
        (run / "results.json").write_text(json.dumps(record))
    assert "with 90 of them" in make_grids(boards(*runs)[0]["Digits"])[0].warning


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"split": "ef", "parts": {"train": 1000}}, "it trains on 1,000 examples instead of 1,294"),
        ({"split": "ef", "parts": {"test": 9, "validation": 5}},
         "it validates on 5 examples instead of 144 and it tests on 9 examples instead of 359"),
        ({"split": "ef"}, "its parts are as large but hold other examples (split ef, not abcd)"),
        ({"protocol": 2}, "its evaluation follows protocol 2 instead of 3 (`ssl-zoo probe --run` evaluates it again)"),
    ],
)  # fmt: skip
def test_runs_with_another_split_or_protocol_are_not_ranked(write_run, odd, sentence):
    made, said = boards(write_run("a/1", "A"), write_run("b/1", "B"), write_run("odd/1", "C", linear={"all": 1}, **odd))
    assert {entry.method for entry in made["Digits"].methods} == {"A", "B"}
    assert said == [("odd/1", f"The run is not ranked on Digits: {sentence}.")]


def test_of_two_protocols_the_newer_counts_however_many_runs_the_older_has(write_run):
    made, said = boards(write_run("a/1", "A"), write_run("b/1", "B", protocol=2), write_run("c/1", "C", protocol=2))
    assert [entry.method for entry in made["Digits"].methods] == ["A"]
    assert [name for name, _ in said] == ["b/1", "c/1"] and "follows protocol 2 instead of 3" in said[0][1]


def test_every_data_set_is_a_task_of_its_own(write_run):
    made, said = boards(write_run("a/1"), write_run("b/1", "BERT", source="WordNet", split="xy", modality="text"))
    assert list(made) == ["Digits", "WordNet"] and said == []


def test_two_sets_of_data_that_are_called_alike_are_two_tasks(write_run):
    runs = [write_run(f"a/{seed}", "A", seed=seed, data="abcdef01", linear={"all": 0.5}) for seed in (0, 1)]
    runs.append(write_run("a/2", "A", seed=2, data="bcdef012", linear={"all": 0.9}))
    made, said = boards(*runs)
    assert list(made) == ["Digits (abcdef)", "Digits (bcdef0)"] and said == []
    assert [entry.score() for board in made.values() for entry in board.methods] == [0.5, 0.9]
    made, said = boards(*runs, write_run("a/3", "A", seed=3, split="ef"))  # of an older version
    assert list(made) == ["Digits (abcdef)", "Digits (bcdef0)"]
    assert [name for name, _ in said] == ["a/3"] and "hold other examples" in said[0][1]


def test_fine_tuning_stands_beside_the_encoder_from_scratch(write_run):
    made, said = boards(
        write_run("a/1", "A", finetuning={"10": 0.6, "all": 0.82}),
        write_run("b/1", "B", finetuning={"10": 0.5, "all": 0.7}),
        write_run("c/1", "C", finetuning={"10": 0.9, "all": 0.9}, finetuning_steps=900),
    )
    assert cells(made["Digits"], "Accuracy", "A")["tuned classes"] == "82.0"
    assert cells(made["Digits"], "Accuracy", "C")["tuned classes"] == ""
    row = cells(made["Digits"], "Fine-tuning on classes", "A")
    assert (row["start"], row["accuracy 10"], row["accuracy all"]) == ("pretrained", "60.0", "82.0")
    grid = make_grids(made["Digits"])[-1]
    assert [row.cells[4].text for row in grid.rows] == ["60.0", "40.0", "50.0", "40.0"]
    assert said == [("c/1", "Its fine-tuning on classes is left out: 900 steps instead of 300 steps.")]


def test_costs_and_health_are_shown_in_units(write_run):
    made, _ = boards(write_run("a/1", "A", budget={"seconds": 600.0, "flops": 3.21e15}))
    row = cells(made["Digits"], "Cost and health", "A")
    assert (row["time"], row["samples"], row["FLOPs"], row["memory"], row["parameters"]) == (
        "10.0 min", "6.4 k", "3.21 P", "2 GB", "700 k")  # fmt: skip
    assert (row["rank"], row["std"]) == ("30.5", "0.8")


def test_a_published_encoder_has_no_cost_here(write_run):
    public = {"method": "public", "budget": {"steps": 0, "samples": 0, "seconds": 0.0}}
    made, _ = boards(write_run("a/1", "A"), write_run("public/x", encoder="timm:x", **public))
    row = cells(made["Digits"], "Cost and health", "public")
    assert row["time"] == row["samples"] == row["FLOPs"] == "" and row["parameters"] == "700 k"


def test_quantities_have_three_digits_and_a_prefix():
    values = (0.0, 999.4, 999.9, 1234, 123456, 2e18)
    assert [quantity(value) for value in values] == ["0 ", "999 ", "1 k", "1.23 k", "123 k", "2 E"]


def test_durations_are_said_as_people_do():
    assert [duration(seconds) for seconds in (46.2, 277, 36000)] == ["46 s", "4.6 min", "10.0 h"]


def add(directory, **entries):
    """Writes further entries into a run's results."""
    record = json.loads((directory / "results.json").read_text())
    (directory / "results.json").write_text(json.dumps(record | entries))
    return directory


def test_the_last_layer_stands_beside_the_one_that_validation_data_chose(write_run):
    layers = {"validation": [0.2, 0.9, 0.4], "test": [0.3, 0.7, 0.8], "chosen": 1}
    baseline = {"validation": [0.2, 0.3, 0.1], "test": [0.25, 0.5, 0.75], "chosen": 1}
    made, said = boards(
        add(write_run("a/1", "A"), layers={"A": layers, "untrained encoder": baseline}),
        write_run("b/1", "B"),  # of a version that did not probe them
        rank_by="layer:chosen",
    )
    board = made["Digits"]
    row = cells(board, "Layer by layer", "A")
    assert said == [] and (row["last layer"], row["chosen layer"]) == ("80.0", "70.0")
    assert cells(board, "Layer by layer", "untrained")["chosen layer"] == "50.0"
    assert board.ranking.words == "the linear probe of the layer that validation data chooses"
    assert [entry.rank for entry in board.methods] == [1, None]
    assert "last layer" not in cells(board, "Accuracy", "A")


def test_a_layer_that_there_is_not_is_no_result(write_run):
    layers = {"A": {"validation": [0.2], "test": [0.3], "chosen": 1}}
    (run, remarks) = read_run(add(write_run("a/1", "A"), layers=layers))
    assert run is None and "1 is none of its 1 layers" in remarks[0].sentence


def test_data_says_which_task_decides(write_run):
    tasks = {"state": {"A": {"accuracy": 0.7, "layers": [1.0]}}, "phones": {"A": {"accuracy": 0.6, "layers": [1.0]}}}
    runs = [add(write_run("a/1", "A"), tasks=tasks, main_task="state")]
    made, _ = boards(*runs)
    assert made["Digits"].ranking.name == "state"
    made, _ = boards(add(runs[0], main_task="classes"))
    assert made["Digits"].ranking.name == "linear:all"
