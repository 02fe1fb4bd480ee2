"""`ssl-zoo compare`: finished runs ranked, as tables, as pictures and as one page."""

from pathlib import Path

from rich.console import Console

from ssl_zoo.compare.figures import draw_figures
from ssl_zoo.compare.leaderboard import Leaderboard, make_leaderboard
from ssl_zoo.compare.markdown import write_markdown
from ssl_zoo.compare.report import write_report
from ssl_zoo.compare.runs import Remark, RunRecord, find_runs, read_run
from ssl_zoo.compare.tasks import group
from ssl_zoo.compare.terminal import print_leaderboard, print_remarks
from ssl_zoo.errors import InputError


def compare(runs: list[Path], out: Path = Path("compare")) -> None:
    """Ranks finished runs by what their frozen encoders are worth, next to the floors, the ceiling and the costs.

    Runs on the same data are ranked when they share its split and the version of the evaluation; seeds of one
    experiment become a mean with its 95 % interval. What cannot be ranked is listed with the reason. Prints tables, and
    writes report.html, a page that needs no other file and no network, its pictures as figures/*.png and its tables as
    Markdown, tables.md. The same runs give the same files.

    Args:
        runs: run directories, or folders to search for some.
        out: folder to write to.
    """
    found: list[RunRecord] = []
    remarks: list[Remark] = []
    for directory in find_runs(runs):
        record, said = read_run(directory)
        remarks += said
        if record is not None:
            found.append(record)
    tasks, said = group(found)
    remarks += said
    boards: list[Leaderboard] = []
    for task in tasks:
        board, said = make_leaderboard(task)
        boards.append(board)
        remarks += said
    if not boards:
        print_remarks(remarks)
        raise InputError("compare: none of these runs can be ranked; `ssl-zoo probe --run RUN` judges a trained one.")
    figures = draw_figures(boards, out / "figures")
    remarks += figures.remarks
    write_report(boards, figures.pictures, remarks, out / "report.html")
    write_markdown(boards, out / "tables.md")
    for board in boards:
        print_leaderboard(board)
    print_remarks(remarks)
    written = f"Report: {out / 'report.html'}   Tables: {out / 'tables.md'}   Pictures: {out / 'figures'}"
    Console(soft_wrap=True).print(f"\n{written}", highlight=False)
