"""`ssl-zoo translate`: a finished run of Translation translates the lines of a file."""

from pathlib import Path

import torch

from ssl_zoo.data.text.lines import on_one_line, read_lines, warn_of_lines
from ssl_zoo.data.text.raw import texts_of
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.probe import best_device
from ssl_zoo.evaluation.translation import AT_ONCE
from ssl_zoo.long_work import LongWork
from ssl_zoo.methods.translation import Translation
from ssl_zoo.probes.features import to_device
from ssl_zoo.runs.run import read_run
from ssl_zoo.writable import check_writable

SHOWN = 3  # translations that are printed


def translate(run: Path, texts: Path, out: Path | None = None) -> None:
    """Translates every line of a file by a run of Translation, with the beams that its settings say.

    Writes a file of as many lines, each the translation of the line in its place. A blank line stays blank, and so does
    one that is not UTF-8, of which a warning says where it is. Of a line with more tokens than the texts of the run's
    data had at most, the beginning is translated, and a warning says of which. Prints the first translations. The data
    that the run was trained on is not read.

    Args:
        run: the run directory, runs/<experiment>/<time>-<id>.
        texts: a file with a text in every line, in UTF-8.
        out: a new file; translations-<name of the texts> in the run's folder when left out.
    """
    loaded = read_run(run)
    method, tokens = loaded.method, loaded.data.tokens()
    if not isinstance(method, Translation) or tokens is None:
        raise InputError(
            f"translate: {run} is a run of {type(method).__name__}, which translates nothing: give one of Translation, "
            "such as `ssl-zoo fit --config text/mt_transformer` trains."
        )
    path = out or run / f"translations-{texts.stem}.txt"
    if path.exists():
        raise InputError(f"out: {path} exists already; remove it, or name another file with --out.")
    check_writable(path.parent, "--out")
    lines = read_lines(texts)
    translations = translate_lines(method.to(best_device()), tokens, lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in translations), encoding="utf-8")
    shown = [(line, made) for line, made in zip(lines, translations, strict=True) if line][:SHOWN]
    print("\n".join(f"{line}\n  {made}" for line, made in shown))
    print(f"Translations of {sum(map(bool, lines)):,} texts, a line each: {path}", flush=True)


@torch.no_grad()
def translate_lines(method: Translation, tokens: Tokens, lines: list[str]) -> list[str]:
    """A translation of every line, and nothing of an empty one; warns of lines of which the end is cut off.

    Args:
        method: in evaluation mode, on the device to compute on.
        tokens: how its texts become inputs.
        lines: texts, one of them not empty.
    """
    wanted = [number for number, line in enumerate(lines) if line]
    lengths = tokens.tokenizer.encode([lines[number] for number in wanted])[1].tolist()
    long = [number for number, length in zip(wanted, lengths, strict=True) if length > tokens.length]
    if long:
        warn_of_lines(
            "Of",
            long,
            f"more than {tokens.length} tokens long, the beginning alone is translated",
            "Shorter lines are translated whole.",
        )
    order = [number for _, number in sorted(zip(lengths, wanted, strict=True))]  # of one length: little padding
    found = [""] * len(lines)
    with LongWork("translations", len(order), "texts") as work:
        for first in range(0, len(order), AT_ONCE):
            chosen = order[first : first + AT_ONCE]
            batch = to_device(texts_of([lines[number] for number in chosen], tokens), method.device)
            for number, ids in zip(chosen, method.write(batch).tolist(), strict=True):
                found[number] = on_one_line(tokens.tokenizer.decode(ids))
                work.advance()
    return found
