"""`ssl-zoo compare`: finished runs ranked, as tables, as pictures and as one page."""

from pathlib import Path

from rich.console import Console

from ssl_zoo.compare.across import across
from ssl_zoo.compare.figures import draw_figures
from ssl_zoo.compare.groups import group_runs
from ssl_zoo.compare.leaderboard import Leaderboard, make_leaderboard
from ssl_zoo.compare.markdown import write_markdown
from ssl_zoo.compare.ranking import rankings
from ssl_zoo.compare.report import write_report
from ssl_zoo.compare.runs import Remark, RunRecord, find_runs, read_run
from ssl_zoo.compare.terminal import print_across, print_leaderboard, print_remarks
from ssl_zoo.errors import InputError
from ssl_zoo.writable import check_writable


def compare(runs: list[Path], out: Path = Path("compare"), rank_by: str | None = None) -> None:
    """Ranks finished runs by how well probes do on their frozen encoders, next to baselines, ceiling and costs.

    Runs on the same data are ranked when they share its split and the version of the evaluation; seeds of one
    experiment become a mean with its 95 % interval. Runs of several modalities make one more table: methods in rows,
    modalities in columns, and the gain over the untrained encoder. What cannot be ranked is listed with the reason.
    Prints tables, and
    writes report.html, a page that needs no other file and no network, its pictures as figures/*.png and its tables as
    Markdown, tables.md. The same runs give the same files.

    Args:
        runs: run directories, or folders to search for some.
        out: folder to write to.
        rank_by: what to rank by: a probe and labels per class (linear:10, knn:all, balanced:linear:10), a task of
            speech (phones, balanced:word), tuned:TASK:EXAMPLES, bleu, words:WordSim-353 and retrieval:DIRECTION with
            the names that tables have, health:rank and the like, seconds, samples, flops, peak_memory, parameters or
            loss. By default phones where they are known, else linear:10, or linear:all where a run was not probed with
            ten labels per class; translations by bleu. Data on which it is unknown is ranked by its default.

    Raises:
        InputError: there are no runs, none can be ranked, or `rank_by` is known of none.
    """
    check_writable(out, "--out")
    found: list[RunRecord] = []
    remarks: list[Remark] = []
    for directory in find_runs(runs):
        record, said = read_run(directory)
        remarks += said
        if record is not None:
            found.append(record)
    groups, said = group_runs(found)
    remarks += said
    boards: list[Leaderboard] = []
    for group in groups:
        board, said = make_leaderboard(group, rank_by)
        boards.append(board)
        remarks += said
    unranked = {remark.run for remark in remarks if not remark.ranked}
    remarks = [remark._replace(ranked=remark.ranked and remark.run not in unranked) for remark in remarks]
    if not boards:
        print_remarks(remarks)
        raise InputError(
            "compare: none of these runs can be ranked; `ssl-zoo probe --run RUN` evaluates a trained one."
        )
    if rank_by is not None and all(board.ranking.name != rank_by for board in boards):
        known = dict.fromkeys(name for board in boards for name in rankings(board.methods))
        raise InputError(
            f"compare: rank_by is {rank_by!r}, which is known of no run: choose one of {', '.join(known)}."
        )
    figures = draw_figures(boards, out / "figures")
    remarks += figures.remarks
    together = across(boards)
    write_report(boards, figures.pictures, remarks, out / "report.html", together)
    write_markdown(boards, out / "tables.md", together)
    for board in boards:
        print_leaderboard(board)
    if together is not None:
        print_across(together)
    print_remarks(remarks)
    written = f"Report: {out / 'report.html'}   Tables: {out / 'tables.md'}   Pictures: {out / 'figures'}"
    Console(soft_wrap=True).print(f"\n{written}", highlight=False)
