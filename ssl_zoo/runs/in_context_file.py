"""What a language model predicts by examples in its prompt, typed; in_context.json is written and read here alone."""

from pathlib import Path
from typing import Any, NamedTuple

from ssl_zoo.probes.accuracy import Score
from ssl_zoo.runs.entries import nested, read_record, read_score, read_share, score_entries, write_record
from ssl_zoo.runs.files import IN_CONTEXT


class Prompted(NamedTuple):
    """An accuracy with some solved examples in the prompt.

    Attributes:
        score: over draws of the solved examples.
        cut: share of the prompts that lost their beginning, in [0, 1].
    """

    score: Score
    cut: float


class InContext(NamedTuple):
    """What a run's language model predicts by examples in its prompt.

    Attributes:
        run: name of its folder.
        source: what its data is called.
        template: how an example is written.
        label_names: what the classes are called in the prompt, in label order.
        examples: number of test texts.
        draws: random choices of the solved examples.
        commonest_class: accuracy of always predicting the commonest class.
        rows: accuracies by row, the run's own first, and by number of solved examples.
        remarks: sentences about what the numbers do not say.
        steps: optimizer steps of the run; 0 where an old file does not say.
    """

    run: str
    source: str
    template: str
    label_names: list[str]
    examples: int
    draws: int
    commonest_class: float
    rows: dict[str, dict[str, Prompted]]
    remarks: list[str]
    steps: int = 0


def write_in_context(directory: Path, found: InContext) -> None:
    """Writes in_context.json into a run's folder in one go."""
    rows = nested(found.rows, 2, lambda each: {**score_entries(each.score), "cut": each.cut})
    write_record(directory / IN_CONTEXT, {**found._asdict(), "rows": rows})


def read_in_context(directory: Path) -> InContext:
    """Reads in_context.json of a run's folder; errors as `ssl_zoo.runs.result_file.read_result`."""
    return read_record(directory / IN_CONTEXT, _typed)


def _typed(record: dict[str, Any]) -> InContext:
    return InContext(
        run=str(record["run"]),
        source=str(record["source"]),
        template=str(record["template"]),
        label_names=[str(name) for name in record["label_names"]],
        examples=int(record["examples"]),
        draws=int(record["draws"]),
        commonest_class=read_share(record["commonest_class"]),
        rows=nested(record["rows"], 2, lambda found: Prompted(read_score(found), read_share(found["cut"]))),
        remarks=[str(remark) for remark in record.get("remarks", [])],
        steps=int(record.get("steps", 0)),
    )
