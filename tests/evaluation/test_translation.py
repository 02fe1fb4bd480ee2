import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sacrebleu import corpus_bleu

import ssl_zoo.evaluation.translation
from ssl_zoo.cli import main, run
from ssl_zoo.data.text.lines import on_one_line
from ssl_zoo.evaluation.translation import ALL, GREEDY, MISSING, THIRDS, TOO_SHORT, Translated, scores
from ssl_zoo.runs.results import COPIED
from tests.contracts.experiments import FOLDER, small

OPTIONS = ["--trainer.max_steps=2", "--probe_after_fit=true", "--probe.ceiling=false", "--data.train_size=null"]


def test_bleu_is_sacrebleus_of_every_part_and_row():
    references = [
        "the cat sat on the mat",
        "a dog",
        "one two three four five",
        "all is well that ends well",
        "no it is not",
    ]
    written = ["the cat sat on a mat", "a dog", "one two three four", "all is well", "yes"]
    sources = ["die Katze", "a dog", "eins zwei", "alles ist gut", "nein"]
    lengths = torch.tensor([2, 2, 5, 7, 9])
    found = scores(Translated(sources, references, {"Translation": written, GREEDY: references}, lengths))
    places = {ALL: range(5), THIRDS[0]: (0, 1), THIRDS[1]: (2, 3), THIRDS[2]: (4,)}
    assert set(found) == set(places)
    for part, chosen in places.items():
        for row, texts in {"Translation": written, COPIED: sources, GREEDY: references}.items():
            expected = corpus_bleu([texts[n] for n in chosen], [[references[n] for n in chosen]]).score
            assert found[part][row].bleu == pytest.approx(expected)
            assert found[part][row].pairs == len(chosen) and found[part][row].longest == lengths[max(chosen)]
    assert found[THIRDS[0]][GREEDY].bleu == pytest.approx(100)


def test_parts_of_which_bleu_says_nothing_are_left_out():
    long, short = ["the cat sat on the mat"] * 2, ["a dog"] * 2
    translated = Translated(short + long + long, short + long + long, {"Translation": [""] * 6}, torch.arange(6))
    assert set(scores(translated)) == {ALL, *THIRDS[1:]}  # the shortest have no four words
    assert set(scores(translated._replace(lengths=torch.tensor([5, 6, 6, 6, 6, 6])))) == {ALL}  # which are the longest?
    assert scores(translated._replace(references=["a dog"] * 6)) == {}


def test_a_run_on_texts_that_are_too_short_for_bleu_says_so(tmp_path, capsys):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"ein {name}{n}\ta {name}{n}\n" for n in range(40) for name in ("Hund", "Haus")))
    options = [*small(FOLDER / "text" / "mt_attention.yaml", tmp_path / "runs"), *OPTIONS]
    run([*options, f"--data.source.root={pairs}"])
    (directory,) = tmp_path.glob("runs/*/*")
    result = json.loads((directory / "results.json").read_text())
    assert "translation" not in result and TOO_SHORT in result["remarks"]
    assert "BLEU is left out, as it counts sequences of four words" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("name", "there"), [("attention", True), ("rnn", False)])
def test_results_files_and_the_terminal_have_it_or_say_why_not(name, there, tmp_path, monkeypatch, capsys):
    if not there:
        monkeypatch.setattr(ssl_zoo.evaluation.translation, "find_spec", lambda name: None)
        monkeypatch.setitem(sys.modules, "sacrebleu", None)
    run([*small(FOLDER / "text" / f"mt_{name}.yaml", tmp_path / "runs"), *OPTIONS])
    (directory,) = tmp_path.glob("runs/*/*")
    result, printed = json.loads((directory / "results.json").read_text()), capsys.readouterr().out
    lines = [json.loads(line) for line in (directory / "translations.jsonl").read_text().splitlines()]
    assert len(lines) == 12  # a fifth of the pairs
    number = dict(zip("null eins zwei drei vier".split(), "zero one two three four".split(), strict=True))
    assert all(line["reference"].split() == [number[word] for word in line["source"].split()] for line in lines)
    assert (directory / "figures" / "attention.png").exists() == (name == "attention")  # without, there is none
    assert "│" in (directory / "samples.txt").read_text()
    assert "Translation on validation texts, │ between" in printed
    if there:
        assert set(result["translation"]) == {ALL, *THIRDS[1:]}  # the shortest have no four words
        assert set(result["translation"][ALL]) == {"Translation", GREEDY, COPIED}
        assert result["translation"][ALL]["Translation"]["pairs"] == 12
        expected = corpus_bleu([line["written"] for line in lines], [[line["reference"] for line in lines]]).score
        assert result["translation"][ALL]["Translation"]["bleu"] == pytest.approx(expected)
        assert "translations" in printed and GREEDY in printed
        with Image.open(directory / "figures" / "attention.png") as picture:
            assert picture.width > 200
    else:
        assert "translation" not in result and MISSING in result["remarks"] and "pip install sacrebleu" in printed


@pytest.mark.filterwarnings("ignore:.*are exact copies of ones in another part:UserWarning")  # three pairs are alike
def test_a_run_on_pairs_embeds_what_is_translated_its_own_and_of_other_files(tmp_path):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("eins zwei\tone two\n\tnothing\nzwei\ttwo\n")
    own, other = tmp_path / "own.npz", tmp_path / "other.npz"
    run([*small(FOLDER / "text" / "mt_attention.yaml", tmp_path / "runs"), "--trainer.max_steps=1",
         "--data.train_size=null", "--probe_after_fit=false"])  # fmt: skip
    (directory,) = tmp_path.glob("runs/*/*")
    run(["predict", "--run", str(directory), f"--out={own}"])
    with np.load(own) as found:
        assert found["index"].tolist() == list(range(0, 120, 2)) and set(found["part"]) <= {
            "train",
            "validation",
            "test",
        }
    with pytest.warns(UserWarning, match="left out 1 text, which has nothing in it that can be seen: line 2 of"):
        run(["predict", "--run", str(directory), f"--data={pairs}", f"--out={other}"])
    with np.load(other) as found:
        assert found["index"].tolist() == [0, 2] and found["names"][1].startswith("line 3 of")


@pytest.mark.filterwarnings("ignore:.*are exact copies of ones in another part:UserWarning")  # three pairs are alike
def test_a_finished_run_translates_the_lines_of_a_file(tmp_path, capsys):
    run([*small(FOLDER / "text" / "mt_attention.yaml", tmp_path / "runs"), *OPTIONS])
    (directory,) = tmp_path.glob("runs/*/*")
    # Those that the evaluation has translated, from the run's own data.
    known = [json.loads(line) for line in (directory / "translations.jsonl").read_text().splitlines()]
    texts, out = tmp_path / "texts.txt", tmp_path / "new" / "translated.txt"
    lines = [line["source"].encode() for line in known]
    lines[3:3] = [b"", "f\u00fcnf".encode("latin-1"), b" \t ", b"eins " * 99]
    texts.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    capsys.readouterr()
    with pytest.warns(UserWarning) as warned:
        run(["translate", "--run", str(directory), "--texts", str(texts), "--out", str(out)])
    said = [str(each.message) for each in warned]
    assert any(each.startswith(f"{texts}: left out 1 line, which is not in UTF-8: line 5. Saved as") for each in said)
    assert any(each.startswith("Of 1 line, which is more than 16 tokens long, the beginning alone") for each in said)
    found = out.read_text(encoding="utf-8").split("\n")
    assert len(found) == len(lines) + 1 and found[3:6] == ["", "", ""] and found[-1] == ""
    assert [*found[:3], *found[7:-1]] == [line["written"] for line in known]
    assert capsys.readouterr().out.endswith(f"Translations of 13 texts, a line each: {out}\n")

    def refused(*options: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["translate", "--run", str(directory), *options])
        assert ended.value.code == 2
        return capsys.readouterr().err

    assert f"out: {out} exists already" in refused("--texts", str(texts), "--out", str(out))
    below = str(texts / "below.txt")
    assert f"Nothing can be written to {texts} (it is a file): choose another --out" in refused(
        "--texts", str(texts), "--out", below
    )
    assert f"there is no file {tmp_path / 'nothing.txt'}" in refused("--texts", str(tmp_path / "nothing.txt"))
    texts.write_text("eins", encoding="utf-16")
    assert "is UTF-16 or UTF-32 and not UTF-8: save it as UTF-8" in refused("--texts", str(texts))
    texts.write_text(" \n\n")
    assert f"there is no text in {texts} that can be translated" in refused("--texts", str(texts))


def test_a_translation_is_one_line_whatever_reads_the_file():
    written = "one\rtwo\r\nthree\x0bfour\x85five\u2028six\n"
    assert on_one_line(written) == "one two three four five six"


def test_a_run_that_does_not_translate_is_refused(tmp_path, capsys):
    options = ["--trainer.max_steps=1", "--probe_after_fit=false"]
    run([*small(FOLDER / "text" / "word2vec.yaml", tmp_path / "runs"), *options])
    (directory,) = tmp_path.glob("runs/*/*")
    with pytest.raises(SystemExit):
        main(["translate", "--run", str(directory), "--texts", str(tmp_path)])
    assert "is a run of Word2Vec, which translates nothing: give one of Translation" in capsys.readouterr().err
