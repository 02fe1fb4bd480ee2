"""The command, on run directories written by hand: what it prints, draws and writes."""

import base64
import hashlib
import json
import re
from html import unescape
from itertools import product
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from rich.cells import cell_len

from ssl_zoo.cli import main, run
from ssl_zoo.compare.compare import compare
from ssl_zoo.compare.naming import file_names
from ssl_zoo.compare.plotting import COLOURS, baseline_style, save
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.figures import CEILING as CEILING_COLOUR
from tests.terminal import on_terminal

PICTURES = ["accuracy-against-compute", "cka", "feature-maps", "label-efficiency", "loss-curves"]


@pytest.fixture
def runs(write_run) -> Path:
    """Three methods on one data set, one of them with two seeds, and one run without results."""
    write_run("simclr/0", "SimCLR", finetuning={"10": 0.6, "all": 0.8})
    write_run("simclr/1", "SimCLR", seed=1, linear={"1": 0.55, "5": 0.72, "all": 0.91})
    write_run("vae/0", "VAE", linear={"1": 0.4, "5": 0.6, "all": 0.8}, rotation=0.5, budget={"flops": 1e12})
    broken = write_run("byol/0", "BYOL")
    (broken / "results.json").write_text("{")
    return broken.parents[1]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_runs_give_the_same_files_in_whatever_order_they_are_named(runs, tmp_path):
    compare([runs], tmp_path / "one")
    compare([runs], tmp_path / "one")
    compare([runs / "vae", runs / "byol" / "0", runs], tmp_path / "two")
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert list(one) == [
        *(f"figures/digits-{name}.png" for name in PICTURES),
        "figures/overview.png",
        "report.html",
        "tables.md",
    ]
    assert one == two


def test_the_dotted_line_of_the_loss_curves_is_in_the_legend(runs, tmp_path, monkeypatch):
    legends = []

    def look(figure, path):
        save(figure, path)
        for axes in figure.axes if path.name.endswith("loss-curves.png") else []:
            lines = {line.get_label(): line.get_linestyle() for line in axes.lines}
            legends.append([(text.get_text(), lines[text.get_text()]) for text in axes.get_legend().get_texts()])

    monkeypatch.setattr("ssl_zoo.compare.figures.save", look)
    compare([runs], tmp_path / "out")
    assert legends == [[("chance", ":")]] * 2


def test_the_terminal_shows_every_row_in_full_and_what_is_left_out(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    compare([runs], tmp_path / "out")
    printed = capsys.readouterr().out
    for shown in ("SimCLR", "VAE", "untrained encoder (baseline)", "supervised (ceiling)", "90.5 ±", "3 T", "50 s",
                  "tuned classes", "Cost and health", "1 T", "2 GB", "700 k"):  # fmt: skip
        assert shown in printed, shown
    assert "byol/0: results.json cannot be used" in printed and "…" not in printed
    assert printed.index("SimCLR") < printed.index("VAE") and str(tmp_path / "out" / "report.html") in printed


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_s_tables_are_as_wide_as_it_and_the_files_have_all_columns(
    write_run, tmp_path, monkeypatch, width
):
    linear = {"1": 0.5, "5": 0.7, "10": 0.8, "all": 0.9}
    for seed, name in product(range(2), ("simclr", "a_long_name_of_an_experiment_with_many_settings")):
        write_run(f"{name}/2026010{seed}-170501-abcd", name.upper(), seed=seed, balanced=0.6, linear=linear,
                  model={"temperature": len(name)}, finetuning={"1": 0.2, "10": 0.6, "all": 0.8},
                  baselines={"untrained encoder": linear, "raw inputs": linear})  # fmt: skip
    command = ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--rank_by", "knn:5"]
    lines = on_terminal(width, lambda: main(command), monkeypatch)
    tables = lines[: next(place for place, line in enumerate(lines) if line.startswith("Report:"))]
    assert max(map(cell_len, tables)) <= width
    heads = re.findall("(?s)┏.*?┡", "\n".join(lines))
    first = [" ".join(words) for words in zip(*[line.split("┃") for line in heads[0].splitlines()[1:-1]], strict=True)]
    shown = [" ".join(words.split()) for words in first if words.strip()]
    assert {"#", "experiment", "kNN 5", "linear all"} <= set(shown)
    said = " ".join(" ".join(lines).split())
    assert "No room for" in said and "the report and tables.md have all columns" in said
    page = (tmp_path / "out" / "report.html").read_text()
    columns = (tmp_path / "out" / "tables.md").read_text().split("### Accuracy\n\n")[1].splitlines()[0]
    for column in ("method", "date", "settings", "run", "balanced kNN all", *shown):
        assert f" {column} |" in columns and f">{column}</button>" in page, column


@pytest.mark.parametrize(("rank_by", "head"), [("health:rank", "rank"), ("peak_memory", "memory")])
def test_what_is_ranked_by_has_room_in_any_terminal(write_run, tmp_path, monkeypatch, rank_by, head):
    write_run("an_experiment_with_a_long_name/1")
    command = ["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--rank_by", rank_by]
    lines = on_terminal(60, lambda: main(command), monkeypatch)
    costs = next(line for line in lines if "Cost and health" in line)
    heads = next(line for line in lines[lines.index(costs) :] if "experiment" in line)
    assert f" {head} ┃" in heads and " parameters ┃" not in heads


def test_a_row_links_to_its_run_from_the_report(write_run, tmp_path):
    directory = write_run("a/20260131-170501-abcd [x] & y", "A")
    compare([tmp_path / "runs"], tmp_path / "out" / "deep")
    page = (tmp_path / "out" / "deep" / "report.html").read_text()
    (link,) = re.findall(r'href="([^"#]+)"', page)
    assert (tmp_path / "out" / "deep" / unquote(unescape(link))).resolve() == directory


def test_the_report_and_the_tables_say_where_the_test_part_is_too_small(write_run, tmp_path):
    for name, share in (("a", 0.9), ("b", 0.89)):
        write_run(f"{name}/1", name, linear={"all": share})
    compare([tmp_path / "runs"], tmp_path / "out")
    for name in ("report.html", "tables.md"):
        said = (tmp_path / "out" / name).read_text()
        assert "Too few test examples to decide: with 359 of them" in said and "b cannot be distinguished" in said


def test_pictures_have_something_on_them(runs, tmp_path):
    compare([runs], tmp_path)
    for name in PICTURES:
        with Image.open(tmp_path / "figures" / f"digits-{name}.png") as picture:
            assert min(picture.size) > 250
            seen = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=2**24)}
        wanted = {tuple(bytes.fromhex(colour[1:])) for colour in COLOURS[:2]}  # of the two methods
        assert name in ("cka", "feature-maps") or wanted <= seen, name
        assert len(seen) > 20
    with Image.open(tmp_path / "figures" / "overview.png") as picture:
        seen = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=2**24)}
    assert {
        tuple(bytes.fromhex(colour[1:])) for colour in (COLOURS[0], baseline_style(1).colour, CEILING_COLOUR)
    } <= seen


def test_the_report_holds_everything_and_reaches_for_nothing(runs, tmp_path):
    compare([runs], tmp_path)
    page = (tmp_path / "report.html").read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    drawn = [path.read_bytes() for path in (tmp_path / "figures").iterdir()]
    assert sorted(base64.b64decode(one) for one in pictures) == sorted(drawn)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link|<iframe", re.sub(r"base64,[^\"]+", "", page))
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src &#x27;none&#x27;" in page and f"sha256-{seal}" in page
    for shown in ("byol/0", "results.json cannot be used", "How these numbers were made", "protocol 3", "abcd",
                 "the same encoder before any training", "3 runs"):  # fmt: skip
        assert shown in page, shown


def test_the_report_begins_with_label_efficiency(write_run, tmp_path):
    write_run("a/1", "A", rotation=1)
    write_run("b/1", "B")
    write_run("c/1", "C", source="Other")
    compare([tmp_path / "runs"], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    titles = re.findall("<h3>(.*?)</h3>", page)
    assert titles[:3] == ["Label efficiency on Digits", "Label efficiency on Other", "At a glance"]
    assert page.index("Label efficiency on Digits") < page.index("<table>")


def test_what_is_ranked_by_is_chosen_and_said(runs, tmp_path, capsys):
    run(["compare", str(runs), "--out", str(tmp_path / "out"), "--rank_by", "flops"])
    printed = capsys.readouterr().out
    assert printed.index("VAE") < printed.index("SimCLR") and "Ranked by FLOPs of the training." in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert "3 runs, ranked by FLOPs of the training." in page


def test_data_on_which_it_is_unknown_is_ranked_by_its_default(write_run, tmp_path):
    write_run("a/1", "A")
    write_run("b/1", "B", source="Speech", modality="audio", tasks={"phones": {"B": 0.6}})
    compare([tmp_path / "runs"], tmp_path / "out", rank_by="phones")
    tables = (tmp_path / "out" / "tables.md").read_text()
    assert "Ranked by the linear probe with all labels." in tables and "Ranked by the linear probe of phones." in tables


def test_a_column_that_no_run_has_is_refused_with_those_that_there_are(runs, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["compare", str(runs), "--out", str(tmp_path / "out"), "--rank_by", "linear:7"])
    said = capsys.readouterr().err
    assert (
        stopped.value.code == 2 and "rank_by is 'linear:7', which is known of no run: choose one of linear:1," in said
    )
    for name in ("knn:all", "tuned:classes:10", "health:rank", "seconds", "loss"):
        assert name in said
    assert not (tmp_path / "out").exists()


def test_what_an_evaluation_has_remarked_is_said_beside_the_ranking(write_run, tmp_path, capsys):
    directory = write_run("a/1", "A")
    record = json.loads((directory / "results.json").read_text())
    record["remarks"] = ["The features of A are the same for all examples."]
    (directory / "results.json").write_text(json.dumps(record))
    compare([tmp_path / "runs"], tmp_path / "out")
    said = "a/1: The features of A are the same for all examples."
    assert said in capsys.readouterr().out
    assert "The features of A are the same" in (tmp_path / "out" / "report.html").read_text()


def test_names_are_text_whatever_they_hold(write_run, tmp_path):
    evil = '<img src=x onerror="alert(1)">&amp;[bold]'
    write_run("a/1", evil, source=f"{evil}$x^2$")
    write_run("b/1", "B", source=f"{evil}$x^2$", rotation=1)
    compare([tmp_path / "runs"], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;amp;[bold]" in page


def test_tables_are_markdown_that_holds_every_row(write_run, tmp_path):
    write_run("a/1", "A|B_*", linear={"1": 0.4, "all": 0.81}, ceiling=None)
    write_run("b/1", "VAE", source="Other", tasks={"phones": {"VAE": 0.61}}, ceiling=None)
    compare([tmp_path / "runs"], tmp_path / "out")
    text = (tmp_path / "out" / "tables.md").read_text()
    first, second = text.split("## Digits\n")[1].split("## Other\n")
    lines = first.split("### Accuracy\n\n")[1].split("\n\n")[0].splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines]
    assert cells[0][:7] == ["#", "experiment", "linear all", "method", "seeds", "linear 1", "linear 5"]
    assert lines[1].count("---:") == 8 and len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert cells[2][:5] == ["1", "a", "81.0", "A\\|B\\_\\*", "1"]
    assert cells[2][5:] == ["40.0", "", "40.0", "", "81.0", "ResNet", "image", "a/1"]
    assert "untrained encoder (baseline)" in lines[3] and len(lines) == 4
    assert "### Cost and health" in first and "61.0" in second


def test_the_overview_has_a_bar_for_every_row_of_every_data_set(write_run, tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    bars: list[tuple[float, str]] = []
    barh = Axes.barh
    monkeypatch.setattr(Axes, "barh", lambda self, *args, **kwargs: bars.append(args) or barh(self, *args, **kwargs))
    write_run("a/1", linear={"all": 0.9}, ceiling=0.97)
    write_run("b/1", "VAE", source="Other", tasks={"phones": {"VAE": 0.61, "untrained encoder": 0.5}})
    compare([tmp_path / "runs"], tmp_path / "out")
    assert [(place, round(score, 6)) for place, score in bars] == [(0, 97), (1, 90), (2, 70), (0, 61), (1, 50)]


def test_runs_without_pictures_or_costs_are_still_compared(write_run, tmp_path, capsys):
    for name in ("a", "b"):
        directory = write_run(f"{name}/1", name.upper(), linear={"all": 0.5}, baselines={"raw inputs": {"all": 0.4}},
                              budget={"steps": 0, "samples": 0, "seconds": 0.0, "flops": None})  # fmt: skip
        (directory / "features.npz").unlink()
        (directory / "metrics.csv").unlink()
    compare([tmp_path / "runs"], tmp_path / "out")
    assert list(files(tmp_path / "out")) == ["figures/overview.png", "report.html", "tables.md"]
    assert "features.npz is missing" in capsys.readouterr().out


def test_when_nothing_can_be_ranked_the_reasons_are_printed_first(write_run, tmp_path, capsys):
    (write_run() / "results.json").unlink()
    with pytest.raises(InputError, match="none of these runs can be ranked"):
        compare([tmp_path / "runs"], tmp_path / "out")
    assert "simclr/0: results.json is missing" in capsys.readouterr().out and not (tmp_path / "out").exists()
    (tmp_path / "runs" / "simclr" / "0" / "after-2-steps-results.json").touch()
    with pytest.raises(InputError, match="none of these runs can be ranked"):
        compare([tmp_path / "runs"], tmp_path / "out")
    assert "it was trained further since, and" in " ".join(capsys.readouterr().out.split())


def test_the_command_takes_runs_and_folders(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["compare", str(runs / "simclr"), str(runs / "vae" / "0")])
    assert "Not ranked" not in capsys.readouterr().out and (tmp_path / "compare" / "report.html").is_file()
    for arguments, sentence in (
        (["nowhere"], "there is no folder nowhere"),
        ([], "compare needs RUNS"),
        ([str(runs), "--oot", "x"], "no option '--oot'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["compare", *arguments])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and sentence in error and len(error.splitlines()) == 1


def test_different_names_make_different_files():
    made = file_names(["A b/c", "a-b-c", "?", "a-b-c-2", "A B C"])
    assert made == ["a-b-c", "a-b-c-2", "data", "a-b-c-2-2", "a-b-c-3"]


def test_what_a_run_lacks_is_said_as_of_a_ranked_run_only_where_it_is_ranked(write_run, tmp_path, capsys):
    write_run("a/1", "A")
    for name, protocol in (("b/1", 3), ("c/1", 2)):
        (write_run(name, "B", protocol=protocol) / "features.npz").write_bytes(b"PK\x03\x04")
    compare([tmp_path / "runs"], tmp_path / "out")
    unranked, ranked = capsys.readouterr().out.split("Not ranked:")[1].split("Ranked, but:")
    assert "c/1: features.npz cannot be used" in unranked and "c/1: The run is not ranked" in unranked
    assert "b/1: features.npz cannot be used" in ranked and "c/1" not in ranked
