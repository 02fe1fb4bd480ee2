"""In-context learning: does a language model sort texts into classes when its prompt shows how, without training?"""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ssl_zoo.data.base import DataModule
from ssl_zoo.data.text.tokenizer import TextTokenizer
from ssl_zoo.errors import InputError
from ssl_zoo.long_work import LongWork
from ssl_zoo.methods.gpt import GPT
from ssl_zoo.objectives.language_modeling import token_nats
from ssl_zoo.probes.accuracy import Score, is_informative, scores, summarize
from ssl_zoo.probes.features import choose_examples
from ssl_zoo.probes.intervals import too_few
from ssl_zoo.runs.files import IN_CONTEXT
from ssl_zoo.runs.in_context_file import InContext, Prompted, write_in_context
from ssl_zoo.runs.results import UNTRAINED
from ssl_zoo.runs.run import load_run, rebuild
from ssl_zoo.terminal_tables import Column, Row, print_table

TEXT, LABEL = "{text}", "{label}"


def in_context(
    run: Path,
    shots: list[int] = [0, 1, 4, 16],  # noqa: B006  # never changed, and --help shows it
    draws: int = 3,
    examples: int = 200,
    template: str = "{text} = {label}\n",
    label_names: list[str] | None = None,
    allow_other_split: bool = False,
    root: Path | None = None,
) -> None:
    """Classifies test texts by the class name that a language model finds likeliest after a prompt.

    The prompt shows some solved examples, drawn from the training set anew for every draw and the same for all texts,
    then the text to be classified. As in Brown et al. (2020, arXiv:2005.14165, section 2.4) every class name is scored
    by its mean log-likelihood per token. Nothing is trained. Prints the accuracy beside that of the same network
    untrained and that of always predicting the commonest class, and writes in_context.json into the run directory.

    Args:
        run: the run directory of a GPT on data with labels, runs/<experiment>/<time>-<id>.
        shots: numbers of solved examples in the prompt to try.
        draws: random choices of the solved examples to average over.
        examples: evaluate on at most this many test texts, evenly spaced.
        template: how an example is written; it ends with what follows {label}.
        label_names: what the classes are called in the prompt, in label order; the data's own names, from their last
            dot on, when left out.
        allow_other_split: go on although the data is not split any more as it was while the run trained, so that the
            run may be tested on examples that it has seen.
        root: where the run's data lies now, where it was moved; short for --data.source.root.
    """
    loaded = load_run(run, allow_other_split, root)
    method, data = loaded.method, loaded.data
    if not isinstance(method, GPT) or not data.classes:
        raise InputError(f"in_context: {run} is no run of GPT on texts with labels, so it cannot predict classes.")
    if not (TEXT in template and LABEL in template and template.index(TEXT) < template.index(LABEL)):
        raise InputError(f"in_context: the template {template!r} must have {TEXT} and after it {LABEL}.")
    if min([*shots, draws - 1, examples - 1]) < 0:
        raise InputError("in_context: shots must be at least 0, draws and examples at least 1.")
    names = label_names or [name.split(".")[-1] for name in data.classes]
    if len(names) != len(data.classes):
        raise InputError(f"in_context: {len(names)} label_names for {len(data.classes)} classes: give one for each.")
    if not all(name.strip() for name in names):
        raise InputError(f"in_context: a class has a blank name in {names}: give every class one with --label_names.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tested = choose_examples(len(data.test_set), examples)
    assert data.test_set.labels is not None and data.train_set.labels is not None
    if not is_informative(data.train_set.labels, data.test_set.labels):
        raise InputError(f"in_context: {data.source_name} has no two classes to predict, so there is nothing to ask.")
    labels = data.test_set.labels[tested]
    if not is_informative(data.train_set.labels, labels):
        raise InputError(
            f"in_context: with examples {examples} the test texts of {data.source_name} are not of two classes, some "
            "of them in the training part, so that any accuracy would be 0 or 100 %: take more."
        )
    if max(shots, default=0) > len(data.train_set):
        raise InputError(
            f"in_context: shots is {max(shots)}, but {data.source_name} has {len(data.train_set)} training texts: take "
            "fewer."
        )
    untrained = rebuild(loaded.checkpoint).eval()
    assert isinstance(untrained, GPT)
    models = {"GPT": method, UNTRAINED: untrained}
    rows = {
        name: {
            str(count): _accuracies(model.to(device), data, tested, labels, names, template, count, draws)
            for count in sorted(shots)
        }
        for name, model in models.items()
    }
    commonest = float((labels == data.train_set.labels.mode().values).float().mean())
    cut = {count: found.cut for count, found in rows["GPT"].items() if found.cut}
    remarks = [
        f"With {count} solved example{'s' * (count != 1)} {100 * share:.0f} % of the prompts lost their beginning: "
        f"the network takes {method.encoder.max_length} tokens."
        for count, share in cut.items()
    ]
    steps = int(loaded.checkpoint["global_step"])
    found = InContext(run.name, data.source_name, template, names, len(tested), draws, commonest, rows, remarks, steps)
    write_in_context(run, found)
    _print_table(found)
    for remark in remarks:
        Console(soft_wrap=True).print(remark, highlight=False)


def score(model: GPT, prompt: Tensor, candidates: list[Tensor]) -> Tensor:
    """How likely each candidate is to follow the prompt: ``(C,)`` float32, the mean log-likelihood of its tokens.

    Args:
        model: the model, in evaluation mode.
        prompt: ``(P,)`` int64 token ids, at least one.
        candidates: ``(T_c,)`` int64 each, at least one.
    """
    device, pad = model.device, model.encoder.vocabulary["pad"]
    rows = pad_sequence([torch.cat([prompt, each]) for each in candidates], batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(prompt) + len(each) for each in candidates])
    real = (torch.arange(rows.shape[1]) < lengths[:, None]).to(device)
    rows = rows.to(device)
    with torch.no_grad():
        sequence = model.encoder(rows, real).sequence[:, len(prompt) - 1 : -1]
        nats = token_nats(model.token_logits(sequence), rows[:, len(prompt) :])
    real = real[:, len(prompt) :]
    return -(nats * real).sum(1) / real.sum(1)


def _accuracies(
    model: GPT,
    data: DataModule,
    tested: Tensor,
    labels: Tensor,
    names: list[str],
    template: str,
    shots: int,
    draws: int,
) -> Prompted:
    """The scores of every draw, their means and standard deviations, and the share of prompts that were cut."""
    before, after = template.split(LABEL, 1)
    tokens = data.tokens()
    assert tokens is not None, "what a GPT reads are tokens"
    tokenizer, vocabulary = tokens.tokenizer, model.encoder.vocabulary
    candidates = [_encode(tokenizer, name) for name in names]
    room = model.encoder.max_length - max(map(len, candidates))
    begin = vocabulary["begin"]
    opening = torch.tensor([vocabulary["end"] if begin is None else begin])
    known = data.train_set.labels
    assert known is not None
    found, cut, asked = [], 0, 0
    for draw in range(draws if shots else 1):  # without examples there is nothing to draw
        chosen = torch.randperm(len(data.train_set), generator=torch.Generator().manual_seed(draw))[:shots].tolist()
        solved = ""
        for text, label in zip(_texts(tokenizer, data.train_set, chosen), known[chosen], strict=True):
            solved += before.replace(TEXT, text) + names[label] + after
        predicted = []
        texts = _texts(tokenizer, data.test_set, tested.tolist())
        with LongWork(f"{shots} solved examples, draw {draw + 1} of {draws}", len(texts), "texts") as work:
            for text in texts:
                # What is too long loses its beginning, as a reader's memory does.
                whole = _encode(tokenizer, solved + before.replace(TEXT, text))
                prompt = whole[-(room - 1) :]
                cut, asked = cut + (len(prompt) < len(whole)), asked + 1
                predicted.append(int(score(model, torch.cat([opening, prompt]), candidates).argmax()))
                work.advance()
        found.append(scores(torch.tensor(predicted), labels))
    return Prompted(summarize(found), cut / asked)


def _texts(tokenizer: TextTokenizer, examples: Any, positions: list[int]) -> list[str]:
    """The texts of some documents, without special tokens."""
    return [tokenizer.decode(ids) for ids in examples.__getitems__(positions).inputs.tolist()] if positions else []


def _encode(tokenizer: TextTokenizer, text: str) -> Tensor:
    """``(T,)`` int64 token ids, without begin and end."""
    return torch.tensor(tokenizer.splitter.encode(text, add_special_tokens=False).ids, dtype=torch.int64)


def _print_table(found: InContext) -> None:
    shots = list(next(iter(found.rows.values())))
    columns = [Column("solved examples in the prompt", number=False)]
    columns += [Column(count, leave_out=place) for place, count in enumerate(shots)]
    rows = []
    for name, by_shots in found.rows.items():
        scores = [by_shots[count].score for count in shots]
        rows.append(Row([name, *map(_cell, scores)]))
        balanced = [score.balanced for score in scores if score.balanced is not None]
        if len(balanced) == len(scores):  # classes differ in size
            rows.append(Row(["  mean over classes", *map(_cell, balanced)]))
    caption = "accuracy in %, ± standard deviation over draws of the examples in the prompt"
    name, own = next(iter(found.rows.items()))
    commonest = {"the commonest class": dict.fromkeys(shots, found.commonest_class)}
    warning = too_few(name, {count: own[count].score.mean for count in shots}, commonest, found.examples)
    rows.append(Row(["commonest class", *(f"{100 * found.commonest_class:.1f}" for _ in shots)]))
    print_table(
        f"In context on {found.source}, {found.examples} test texts",
        f"{caption}. {warning}" if warning else caption,
        columns,
        rows,
        f"{IN_CONTEXT} has all of it",
    )


def _cell(score: Score) -> str:
    return f"{100 * score.mean:.1f} ±{100 * score.std:4.1f}"
