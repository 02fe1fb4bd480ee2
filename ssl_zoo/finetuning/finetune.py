"""Fine-tuning a finished run: how much labelled data does the pretraining save?"""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from ssl_zoo import __version__
from ssl_zoo.callbacks.throughput import Throughput
from ssl_zoo.data.base import DataModule
from ssl_zoo.data.text.sources.wordnet import WordNet, find_or_fetch
from ssl_zoo.encoders.text_base import TextEncoder
from ssl_zoo.errors import InputError
from ssl_zoo.finetuning.before import before_fine_tuning
from ssl_zoo.finetuning.class_tasks import class_task, pair_task
from ssl_zoo.finetuning.place_task import PlaceTask
from ssl_zoo.finetuning.records import Records, read_records
from ssl_zoo.finetuning.table import print_table
from ssl_zoo.finetuning.tasks import Task, draw_test
from ssl_zoo.finetuning.token_tasks import SpanTask, TagTask
from ssl_zoo.finetuning.train import CLIP, WARMUP, WEIGHT_DECAY, Settings, fine_tune, with_passes
from ssl_zoo.finetuning.wordnet_tasks import wordnet_records
from ssl_zoo.hardware import fastest_precision
from ssl_zoo.long_work import LongWork
from ssl_zoo.optim import depths_from_top
from ssl_zoo.probes.accuracy import over_values
from ssl_zoo.runs.fine_tuned import PROTOCOL, FineTuned, Pretraining, TaskData, TuningBudget, write_fine_tuned
from ssl_zoo.runs.results import ALL, UNTRAINED, Rows
from ssl_zoo.runs.run import Run, load_run, rebuild
from ssl_zoo.tasks.labels import CLASSES, PlaceLabels
from ssl_zoo.whereabouts import whereabouts

LABELS_PER_CLASS = [10, 100]
EXAMPLES = [100, 1000]
# Tasks on texts that are read from files or made of WordNet; the others are the data's own.
OF_RECORDS = ("tags", "pairs", "spans")


def finetune(
    run: Path,
    task: str = CLASSES,
    data: Path | None = None,
    labels_per_class: list[int] | None = None,
    examples: list[int] | None = None,
    draws: int = 3,
    steps: int = 300,
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float = 3e-4,
    layer_decay: float = 1.0,
    test_examples: int = 2000,
    allow_other_split: bool = False,
    root: Path | None = None,
) -> None:
    """Trains the encoder of a run's last checkpoint further on a labelled task, and evaluates it on test data.

    The same is done with the same encoder freshly initialised, on the same examples in the same order, so that the gap
    between the rows is the effect of the pretraining. Everything is trained; the weights of the last step are
    evaluated, and nothing is chosen on test data. Where `ssl-zoo probe` has evaluated the run on the same task, its
    linear probe of the frozen encoder stands beside them as the row `before`. Prints the table and writes
    finetune-TASK.json into the run directory.

    `classes` takes the labelled examples of the run's own data, of any modality, as they are: images get no views. So
    does any other task that the data has, such as `word` or `phones` of speech. Tags, pairs and spans need a run on
    text, and are made of WordNet (see `wordnet_records`) where no data is given. A causal encoder such as GPT-2 sees
    only what stands before a token: it tags a word without what follows, predicts the beginning of an answer without
    having read the answer, and reads the first of two texts without the second.

    Args:
        run: the run directory, runs/<experiment>/<time>-<id>.
        task: `classes` of the run's own examples or another task of its data; `tags` of words, how `pairs` of texts
            relate, or `spans` of a text that answer a question.
        data: folder with train.jsonl and test.jsonl for tags ("tokens", "tags"), pairs ("text", "second", "label") or
            spans ("question", "context", and "start" and "end" of the answer in characters of the context).
        labels_per_class: numbers of labels per class to try besides all, for classes of examples and pairs; 10 and 100
            when left out.
        examples: numbers of examples to try besides all, for tags, spans and places within examples; 100 and 1000 when
            left out.
        draws: random choices of examples, head and order to average over, the same for both encoders.
        steps: optimizer steps of every fine-tuning, at least.
        epochs: passes over the examples in every fine-tuning, at least: with many of them there are more steps, so that
            all are seen. The BERT paper takes 2 to 4.
        batch_size: examples per step.
        learning_rate: the highest one, after the warm-up; BERT-base wants less, such as 2e-5.
        layer_decay: factor of the learning rate for each layer down from the top of the encoder, as in `Optimizer`; 1
            trains all layers alike, 0.65 to 0.95 is usual for transformers (Clark et al., 2020, arXiv:2003.10555; Bao
            et al., 2021, arXiv:2106.08254).
        test_examples: evaluate on at most this many test examples, always the same ones.
        allow_other_split: go on although the data is not split any more as it was while the run trained, so that the
            run may be tested on examples that it has seen.
        root: where the run's data lies now, where it was moved; short for --data.source.root.
    """
    counts = {
        "draws": draws,
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "test_examples": test_examples,
    }
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"finetune: {name} must be at least 1, not {value}.")
    if learning_rate <= 0:
        raise InputError(f"finetune: learning_rate must be above 0, not {learning_rate}.")
    if not 0 < layer_decay <= 1:
        raise InputError(f"finetune: layer_decay must be above 0 and at most 1, not {layer_decay}.")
    if task not in OF_RECORDS and data is not None:
        raise InputError(f"finetune: {task} are those of the run's own data; give --data to tags, pairs or spans.")
    loaded = load_run(run, allow_other_split, root)
    few = _numbers_to_try(task, loaded.data, labels_per_class, examples)
    made = _make_task(loaded, task, data, test_examples)
    settings = Settings(steps, batch_size, learning_rate, layer_decay)
    if layer_decay != 1:
        depths_from_top(loaded.method.encoder)  # an encoder that cannot say is refused before anything is trained
    own, *others = _compare(loaded, made, few, draws, settings, epochs).items()
    frozen, remarks = before_fine_tuning(loaded, task, made, [*map(str, few), ALL])
    found = _describe(loaded, task, made, few, settings, epochs, draws)
    found = found._replace(rows=dict([own, *frozen.items(), *others]), remarks=[*made.remarks(few), *remarks])
    path = write_fine_tuned(run, found)
    print_table(found)
    for remark in found.remarks:
        Console(soft_wrap=True).print(remark, highlight=False)
    Console(soft_wrap=True).print(f"Results: {path}", highlight=False)


def _numbers_to_try(
    task: str, data: DataModule, labels_per_class: list[int] | None, examples: list[int] | None
) -> list[int]:
    at_places = task in ("tags", "spans") or isinstance(data.tasks().get(task), PlaceLabels)
    used, unused = ("examples", "labels_per_class") if at_places else ("labels_per_class", "examples")
    given = {"labels_per_class": labels_per_class, "examples": examples}
    if given[unused] is not None:
        raise InputError(f"finetune: the examples of {task} are numbered by {used}: give that instead of {unused}.")
    numbers = given[used]
    if numbers is None:
        numbers = LABELS_PER_CLASS if used == "labels_per_class" else EXAMPLES
    if min(numbers, default=1) < 1:
        raise InputError(f"finetune: {used} must be at least 1, not {min(numbers)}.")
    return sorted(numbers)


def _make_task(run: Run, task: str, folder: Path | None, test_examples: int) -> Task:
    if task not in OF_RECORDS:
        own = run.data.tasks()
        if task != CLASSES and task not in own:
            known = ", ".join([*own, *OF_RECORDS])
            raise InputError(f"finetune: {run.data.source_name} has no task {task}: choose one of {known}.")
        if isinstance(own.get(task), PlaceLabels):
            return PlaceTask(run.data, task, test_examples)
        return class_task(run.data, task, test_examples)
    tokens = run.data.tokens()
    if tokens is None:
        raise InputError(
            f"finetune: {task} are a task on text, but {run.directory} was trained on {run.data.source_name}: choose "
            "classes, or a run on text."
        )
    records = _read_or_make(run.data, task, folder)
    tested = draw_test(len(records.test), test_examples)
    records = records._replace(test=[records.test[position] for position in tested.tolist()])
    makers: dict[str, Any] = {"tags": TagTask, "pairs": pair_task, "spans": SpanTask}
    encoder, length = run.method.encoder, tokens.length
    if isinstance(encoder, TextEncoder):
        length = min(length, encoder.max_length)
    return makers[task](records, tokens.tokenizer, length)


def _read_or_make(data: DataModule, task: Any, folder: Path | None) -> Records[Any]:
    if folder is not None:
        return read_records(folder, task)
    source = getattr(data, "source", None)
    own = source.root if isinstance(source, WordNet) else None
    return wordnet_records(task, find_or_fetch() if own is None else Path(own).expanduser())


def _compare(run: Run, task: Task, few: list[int], draws: int, settings: Settings, epochs: int) -> Rows:
    """Mean and spread over draws, by row, by figure and by number of examples."""
    name = type(run.method).__name__
    found: dict[str, dict[str, dict[str, list[float]]]] = {name: {}, UNTRAINED: {}}
    jobs = [(number, draw, row) for number in [*few, None] for draw in range(draws) for row in found]
    steps = _steps(task, few, settings, epochs)
    total = sum(steps[str(number or "all")] for number, _, _ in jobs)
    whereabouts.say(
        f"Fine-tuning {name}, and the same encoder from scratch: {len(jobs)} trainings of {total:,} steps in all "
        "(--draws, --steps and --epochs say how many)."
    )
    with LongWork("fine-tuning", total) as work:
        for number, draw, row in jobs:
            doing = f"{row}, {number or 'all'} {task.counted}, draw {draw + 1}"

            def on_step(loss: Tensor, doing: str = doing) -> None:
                work.advance(lambda: f"{doing}, loss {float(loss):.3f}")

            encoder = run.encoder_to_train() if row == name else rebuild(run.checkpoint, seed=draw).encoder
            chosen = task.draw(number, draw)
            answers = fine_tune(encoder, task, chosen, draw, with_passes(settings, len(chosen), epochs), on_step)
            for figure, value in task.score(answers).items():
                found[row].setdefault(figure, {}).setdefault(str(number or "all"), []).append(value)
    return {
        row: {
            figure: {number: over_values(values) for number, values in by_number.items()}
            for figure, by_number in figures.items()
        }
        for row, figures in found.items()
    }


def _steps(task: Task, few: list[int], settings: Settings, epochs: int) -> dict[str, int]:
    """Optimizer steps by number of examples."""
    sizes = {str(number or "all"): len(task.draw(number, 0)) for number in [*few, None]}
    return {number: with_passes(settings, size, epochs).steps for number, size in sizes.items()}


def _describe(
    run: Run, name: str, task: Task, few: list[int], settings: Settings, epochs: int, draws: int
) -> FineTuned:
    """All but the figures."""
    cost = run.checkpoint["callbacks"].get(Throughput.__qualname__, {})
    encoder = run.method.encoder
    return FineTuned(
        protocol=PROTOCOL,
        task=name,
        counted=task.counted,
        data=TaskData(task.data, task.split, len(task.train), len(task.test), task.left_out),
        budget=TuningBudget(
            **settings._asdict(),
            epochs=epochs,
            steps_by_number=_steps(task, few, settings, epochs),
            weight_decay=WEIGHT_DECAY,
            warmup=WARMUP,
            clip=CLIP,
            precision=str(fastest_precision()),
            device="cuda" if torch.cuda.is_available() else "cpu",
        ),
        rows={},
        remarks=[],
        seeds=list(range(draws)),
        version=__version__,
        run=run.directory.name,
        experiment=run.directory.parent.name,
        method=type(run.method).__name__,
        encoder=type(encoder).__name__,
        parameters=sum(p.numel() for p in encoder.parameters()),
        pretraining=Pretraining(
            run.data.source_name,
            run.data.split_hash,
            int(run.checkpoint["global_step"]),
            int(cost.get("samples", 0)),
            float(cost.get("seconds", 0.0)),
        ),
    )
