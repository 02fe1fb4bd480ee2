"""Translating methods are ranked by BLEU, beside the sources as they are."""

import json

from ssl_zoo.compare.compare import compare

ALL, LONGEST = "all sources", "the longest third"


def test_translations_are_ranked_by_bleu_and_copying_stands_among_them(write_run, tmp_path, capsys):
    for name, seeds in {"attention": [(13.0, 14.0), (13.5, 15.0)], "plain": [(1.6, 1.8)]}.items():
        for seed, bleu in enumerate(seeds):
            path = write_run(f"{name}/{seed}", seed=seed, classes=False, model={"name": name}) / "results.json"
            result = json.loads(path.read_text())
            result["main_task"] = "health"
            result["translation"] = {
                part: {row: {"bleu": value, "pairs": 50, "longest": 96} for row, value in rows.items()}
                for part, rows in {ALL: {"SimCLR": bleu[0], "source as it is": 8.7},
                                   LONGEST: {"SimCLR": bleu[1], "source as it is": 7.9}}.items()
            }  # fmt: skip
            path.write_text(json.dumps(result))
    compare([tmp_path / "runs"], tmp_path / "out")
    table = [line for line in (tmp_path / "out" / "tables.md").read_text().splitlines() if line.startswith("|")]
    assert f"BLEU, {ALL} | BLEU, {LONGEST}" in table[0]
    rows = [[cell.strip() for cell in line.split("|")[1:7]] for line in table[2:5]]
    assert rows == [
        ["1", "attention", "2", "13.2", "14.5", "3.1"],
        ["", "source as it is (baseline)", "", "8.7", "7.9", ""],
        ["2", "plain", "1", "1.6", "1.8", "3.1"],
    ]
    assert "Ranked by the BLEU of all sources" in " ".join(capsys.readouterr().out.split())
    compare([tmp_path / "runs"], tmp_path / "out", rank_by="health:rank")
