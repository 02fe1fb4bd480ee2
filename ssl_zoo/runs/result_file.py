"""results.json of a run: written and read here and nowhere else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_zoo.runs.entries import (
    nested,
    read_number,
    read_optional,
    read_record,
    read_score,
    read_share,
    score_entries,
    without_unknown,
    write_record,
)
from ssl_zoo.runs.files import RESULTS
from ssl_zoo.runs.results import (
    ALL,
    LINEAR,
    PHONES,
    PROTOCOL,
    WITHOUT_LABELS,
    Bleu,
    Budget,
    LayerScores,
    Parts,
    Result,
    Retrieval,
    TaskScore,
    WordSimilarity,
)
from ssl_zoo.tasks.labels import CLASSES


def write_result(directory: Path, result: Result) -> None:
    """Writes results.json in one go, so that no interruption leaves half of it.

    Args:
        directory: folder of the run; exists.
        result: what it is to hold.
    """
    record: dict[str, Any] = result._asdict()
    record["data"], record["budget"] = result.data._asdict(), without_unknown(result.budget._asdict(), "hardware")
    record["rows"] = nested(result.rows, 3, score_entries)
    for name, entries in {
        "tasks": nested(result.tasks, 2, lambda score: without_unknown(score._asdict(), "balanced", "layers")),
        "task_sizes": result.task_sizes,
        "layers": {row: scores._asdict() for row, scores in result.layers.items()},
        "word_similarity": nested(result.word_similarity, 2, lambda similarity: similarity._asdict()),
        "translation": nested(result.translation, 2, lambda bleu: bleu._asdict()),
        "retrieval": nested(result.retrieval, 2, lambda retrieval: retrieval._asdict()),
    }.items():
        if entries:
            record[name] = entries
        else:
            del record[name]
    write_record(directory / RESULTS, record)


def read_result(directory: Path) -> Result:
    """Reads results.json, those of earlier versions too.

    Args:
        directory: folder of the run.

    Raises:
        ValueError: it is damaged, or lacks something; the message says what, without the file's name.
        OSError: it cannot be read.
    """
    return read_record(directory / RESULTS, _checked)


def _checked(record: dict[str, Any]) -> Result:
    result = _typed(record)
    if result.main_task == WITHOUT_LABELS:
        return result
    if not result.rows and not result.tasks:
        raise ValueError("it has no rows")
    if result.own_row not in (result.method, result.encoder):  # a published encoder's row has its own name
        raise ValueError(f"its first row is of {result.own_row!r}, not of the run's own encoder")
    if not any(result.own_row in rows for rows in result.tasks.values()):
        result.rows[result.own_row][LINEAR][ALL]
    return result


def _typed(record: dict[str, Any]) -> Result:
    data, budget, seed = record["data"], record["budget"], record.get("seed")
    tasks = nested(record.get("tasks", {}), 2, _task_score)
    return Result(
        protocol=_protocol(record["protocol"]),
        run=str(record.get("run", "")),
        experiment=str(record.get("experiment", "")),
        method=str(record["method"]),
        encoder=str(record["encoder"]),
        modality=str(record.get("modality", "")),
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        pretrained=str(record.get("pretrained") or ""),
        parameters=int(record["parameters"]),
        data=Parts(
            source=str(data["source"]),
            identity=str(data.get("identity", "")),
            split=str(data["split"]),
            train=int(data["train"]),
            validation=int(data["validation"]),
            test=int(data["test"]),
        ),
        budget=Budget(
            steps=int(budget["steps"]),
            samples=int(budget["samples"]),
            seconds=read_number(budget["seconds"]),
            flops=read_optional(budget.get("flops")),
            peak_memory=read_optional(budget.get("peak_memory")) or None,
            hardware=str(budget.get("hardware", "")),
        ),
        chance_loss=read_optional(record.get("chance_loss")),
        health={str(name): read_number(value) for name, value in record.get("health", {}).items()},
        remarks=[str(remark) for remark in record.get("remarks", [])],
        rows=nested(record["rows"], 3, read_score),
        tasks=tasks,
        task_sizes=record.get("task_sizes", {}),
        layers={str(row): _layer_scores(found) for row, found in record.get("layers", {}).items()},
        main_task=str(record.get("main_task", PHONES if PHONES in tasks else CLASSES)),
        meanings={str(row): str(meaning) for row, meaning in record.get("meanings", {}).items()},
        word_similarity=nested(record.get("word_similarity", {}), 2, _word_similarity),
        translation=nested(record.get("translation", {}), 2, _bleu),
        retrieval=nested(record.get("retrieval", {}), 2, _retrieval),
    )


def _task_score(found: Mapping[str, Any]) -> TaskScore:
    balanced = found.get("balanced")
    layers = [read_number(share) for share in found.get("layers", [])]
    return TaskScore(read_share(found["accuracy"]), None if balanced is None else read_share(balanced), layers)


def _word_similarity(found: Mapping[str, Any]) -> WordSimilarity:
    return WordSimilarity(read_number(found["rho"]), int(found["pairs"]), int(found["of"]))


def _retrieval(found: Mapping[str, Any]) -> Retrieval:
    return Retrieval(
        read_share(found["first"]),
        read_share(found["among_five"]),
        read_share(found["reciprocal_rank"]),
        int(found["asked"]),
        int(found["answers"]),
    )


def _bleu(found: Mapping[str, Any]) -> Bleu:
    return Bleu(read_number(found["bleu"]), int(found["pairs"]), int(found["longest"]))


def _layer_scores(found: Mapping[str, Any]) -> LayerScores:
    test, chosen = [read_share(each) for each in found["test"]], found["chosen"]
    if not isinstance(chosen, int) or not 0 <= chosen < len(test):
        raise ValueError(f"{chosen!r} is none of its {len(test)} layers")
    return LayerScores([read_share(each) for each in found["validation"]], test, chosen)


def _protocol(value: Any) -> int:
    """A version of the evaluation that this one knows: a newer one would leave out every run that can be ranked."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} stands where the protocol of the evaluation should")
    if value > PROTOCOL:
        raise ValueError(f"it follows protocol {value}, of a newer ssl_zoo than this one, which knows {PROTOCOL}")
    return value
