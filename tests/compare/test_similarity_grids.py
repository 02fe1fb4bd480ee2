"""Words that are alike and the same thing in two styles have tables of their own."""

import json

from ssl_zoo.compare.compare import compare


def tables(path) -> dict[str, list[list[str]]]:
    """Cells by title of the table, heads first."""
    found: dict[str, list[list[str]]] = {}
    for section in path.read_text().split("### ")[1:]:
        title, *lines = section.splitlines()
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
        found[title] = [rows[0], *rows[2:]]
    return found


def retrieval(first: float, rank: float) -> dict[str, float]:
    return {"first": first, "among_five": 0.9, "reciprocal_rank": rank, "asked": 7, "answers": 8}


def test_words_and_styles_have_tables_over_seeds_beside_the_baselines(write_run, tmp_path, capsys):
    for name, figures in {"good": [(0.5, 0.8, 0.9), (0.3, 0.6, 0.7)], "none": [None]}.items():
        for seed, found in enumerate(figures):
            path = write_run(f"{name}/{seed}", seed=seed, model={"name": name}, baselines={"raw inputs": {"all": 0.4}})
            path /= "results.json"
            result = json.loads(path.read_text())
            if found is not None:
                rho, first, rank = found
                words = {"SimCLR": rho, "raw inputs": 0.1}
                result["word_similarity"] = {
                    "SimLex-999": {row: {"rho": value, "pairs": 9, "of": 10} for row, value in words.items()}
                }
                rows = {"SimCLR": retrieval(first, rank), "raw inputs": retrieval(0.2, 0.4)}
                result["retrieval"] = {"A to B": {**rows, "chance": retrieval(0.125, 0.3)}}
            path.write_text(json.dumps(result))
    compare([tmp_path / "runs"], tmp_path / "out")
    found = tables(tmp_path / "out" / "tables.md")
    assert [row[1:] for row in found["Words that are alike"]] == [
        ["experiment", "seeds", "SimLex-999"], ["good", "2", "0.400"], ["raw inputs (baseline)", "", "0.100"]
    ]  # fmt: skip
    heads, good, raw = found["The same in another style"]
    assert heads[3:] == ["first, A to B", "1 / rank, A to B"]
    assert good[1] == "good" and good[3].startswith("70.0 ± ") and good[4] == "0.800"
    assert raw[1:] == ["raw inputs (baseline)", "", "20.0", "0.400"]
    assert "By chance 12.5 % (A to B)." in " ".join(capsys.readouterr().out.split())

    path = write_run("better/0", model={"name": "better"}) / "results.json"
    result = json.loads(path.read_text())
    result["word_similarity"] = {"SimLex-999": {"SimCLR": {"rho": 0.9, "pairs": 9, "of": 10}}}
    result["retrieval"] = {"A to B": {"SimCLR": retrieval(0.1, 0.2)}}
    path.write_text(json.dumps(result))
    for rank_by, order in {"words:SimLex-999": ["better", "good"], "retrieval:A to B": ["good", "better"]}.items():
        compare([tmp_path / "runs"], tmp_path / "out", rank_by)
        ranked = [row[1] for row in tables(tmp_path / "out" / "tables.md")["The same in another style"][1:]]
        assert [name for name in ranked if name in order] == order


def test_runs_without_have_no_such_table(write_run, tmp_path):
    path = write_run("plain/0") / "results.json"
    result = json.loads(path.read_text())
    path.write_text(
        json.dumps({key: value for key, value in result.items() if key not in ("word_similarity", "retrieval")})
    )
    compare([tmp_path / "runs"], tmp_path / "out")
    assert "alike" not in (tmp_path / "out" / "tables.md").read_text()
