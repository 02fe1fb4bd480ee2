"""How well a method translates texts of the test part: BLEU, for short and for long sources."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.splits import fixed_order
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.long_work import LongWork
from ssl_zoo.methods.translation import Translation
from ssl_zoo.probes.features import to_device
from ssl_zoo.runs import files
from ssl_zoo.runs.results import COPIED, Bleu, Translations

# Test pairs that are translated, always the same ones; the whole part where it has no more.
MOST = 500
AT_ONCE = 32
ALL, THIRDS = "all sources", ("the shortest third", "the middle third", "the longest third")
GREEDY = "likeliest token each time"
MISSING = (
    "BLEU is left out, as sacrebleu computes it: `pip install sacrebleu`, or `uv run --extra translation ssl-zoo ...`."
)
TOO_SHORT = (
    "BLEU is left out, as it counts sequences of four words and no reference is so long: it would be 0 for whatever is "
    f"written. Compare the texts in {files.TRANSLATIONS}."
)
MOST_TOKENS = 60  # of a text in the picture of attention


class Translated(NamedTuple):
    """Texts of the test part, ``N`` each.

    Attributes:
        sources: texts that are translated.
        references: translations by people.
        written: translations by the method, by row, those by beams first.
        lengths: ``(N,)`` int64 tokens of the sources.
    """

    sources: list[str]
    references: list[str]
    written: dict[str, list[str]]
    lengths: Tensor


def evaluate_translation(method: Translation, data: DataModule, directory: Path) -> tuple[Translations, list[str]]:
    """BLEU by part of the sources and by row, and a sentence where it cannot be measured.

    Writes all translations, and the picture of what the decoder looks at in one of them.

    Args:
        method: in evaluation mode, on the device to compute on.
        data: set up, of pairs.
        directory: folder of the run; exists.
    """
    found = translate(method, data)
    lines = [
        {"source": source, "reference": reference, "written": text}
        for source, reference, text in zip(
            found.sources, found.references, next(iter(found.written.values())), strict=True
        )
    ]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    (directory / files.TRANSLATIONS).write_text(text, encoding="utf-8")
    figures = directory / files.FIGURES
    figures.mkdir(exist_ok=True)
    draw_attention(method, data, figures / files.ATTENTION)
    if not find_spec("sacrebleu"):
        return {}, [MISSING]
    by_part = scores(found)
    return by_part, ([] if ALL in by_part else [TOO_SHORT])


@torch.no_grad()
def translate(method: Translation, data: DataModule) -> Translated:
    """Translates test texts by beams, and by the likeliest token each time; arguments as above."""
    tokens, test = data.tokens(), data.test_set
    assert tokens is not None and test.lengths is not None, "what is translated are texts of different lengths"
    chosen = fixed_order(len(test))[:MOST]
    chosen = chosen[test.lengths[chosen].argsort(stable=True)]  # of one length, a batch has little padding
    name = type(method).__name__
    sources, references, written = list[str](), list[str](), dict[str, list[str]]({name: [], GREEDY: []})
    with LongWork("translations", len(chosen), "texts") as work:
        for rows in chosen.split(AT_ONCE):
            batch = to_device(test.__getitems__(rows.tolist()), method.device)
            sources += _decode(batch.inputs, batch.mask, tokens)
            target = batch.field("target", name)
            references += _decode(target, batch.field("target_mask", name), tokens)
            for row, beams in {name: method.beams, GREEDY: 1}.items():
                written[row] += _decode(method.write(batch, beams), None, tokens)
            for _ in rows:
                work.advance()
    return Translated(sources, references, written, test.lengths[chosen])


def scores(found: Translated) -> Translations:
    """BLEU (Papineni et al., 2002) as sacrebleu has it, by part of the sources and by row.

    Thirds are of sources by their number of tokens, and are left out where all are as long. A source as it
    is shows how much of BLEU names and numbers make. A part in which even the references would have 0, as none has four
    words, is left out.

    Args:
        found: what was translated, sources in order of their length.
    """
    from sacrebleu import corpus_bleu

    def bleu(texts: list[str], chosen: list[int]) -> float:
        return corpus_bleu([texts[n] for n in chosen], [[found.references[n] for n in chosen]]).score

    parts = {ALL: list(range(len(found.sources)))}
    places = [each.tolist() for each in torch.arange(len(found.sources)).tensor_split(3)]
    if places[0] and found.lengths[places[0][-1]] < found.lengths[-1]:
        parts.update(zip(THIRDS, places, strict=True))
    rows = {**found.written, COPIED: found.sources}
    return {
        part: {
            row: Bleu(bleu(texts, chosen), len(chosen), int(found.lengths[chosen[-1]])) for row, texts in rows.items()
        }
        for part, chosen in parts.items()
        if bleu(found.references, chosen) > 0
    }


@torch.no_grad()
def draw_attention(method: Translation, data: DataModule, path: Path) -> None:
    """How much of each source token every target token takes, in a test pair; nothing without attention.

    The pair is the first, in the fixed order, of at least 12 tokens in which both texts fit the picture. Given the
    right tokens before, each row is of the token that comes next.
    """
    from matplotlib.figure import Figure

    tokens, test = data.tokens(), data.test_set
    assert tokens is not None and test.lengths is not None
    order = fixed_order(len(test))
    fits = order[(test.lengths[order] >= 12) & (test.lengths[order] <= MOST_TOKENS)]
    batch = to_device(test.__getitems__([int((fits if len(fits) else order)[0])]), method.device)
    weights = method.attention(batch)
    if weights is None:
        return
    read, wanted = (
        [tokens.tokenizer.decode([token]).strip() or tokens.tokenizer.backend.id_to_token(token) for token in row]
        for row in (batch.inputs[0].tolist(), batch.field("target", "attention")[0, 1:].tolist())
    )
    figure = Figure(figsize=(2 + 0.16 * len(read), 2 + 0.16 * len(wanted)), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(weights[0].cpu().numpy(), cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(read)), [_plain(word) for word in read], rotation=90, fontsize=7)
    axes.set_yticks(range(len(wanted)), [_plain(word) for word in wanted], fontsize=7)
    axes.set_xlabel("token that is read")
    axes.set_ylabel("token that is written")
    figure.colorbar(picture, label="weight")
    figure.savefig(path, dpi=120)


def _plain(word: str) -> str:
    """What the picture's font can write, which is Latin, and takes for no formula."""
    return "".join(each if each <= "\u024f" else "?" for each in word).replace("$", r"\$")


def _decode(ids: Tensor, mask: Tensor | None, tokens: Tokens) -> list[str]:
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    return [tokens.tokenizer.decode(row[keep].tolist()).strip() for row, keep in zip(ids, real, strict=True)]
