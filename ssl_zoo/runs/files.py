"""What the files of a run's folder are called."""

from pathlib import Path

CONFIG = "config.yaml"
METRICS = "metrics.csv"
RESULTS = "results.json"
FEATURES = "features.npz"
IN_CONTEXT = "in_context.json"
FINE_TUNED = "finetune-*.json"  # one for every task
LOCK = ".lock"

CHECKPOINTS = "checkpoints"  # a folder
LAST = "last.ckpt"

FIGURES = "figures"  # a folder
VIEWS = "views.png"
FEATURE_MAP = "feature_map.png"
NEIGHBOURS = "neighbours.png"
ATTENTION = "attention.png"  # of a method that translates
# Those that an evaluation draws.
EVALUATED_FIGURES = (FEATURE_MAP, NEIGHBOURS, "label_efficiency.png", "layer_weights.png")

NEIGHBOURS_IN_WORDS = "neighbours.md"
SAMPLES = "samples.txt"  # what a language model writes at the end
GENERATED = "generated.txt"  # and what it predicts
TRANSLATIONS = "translations.jsonl"  # of test texts, beside the references


def last_checkpoint(directory: Path) -> Path:
    """Where a run's checkpoint that counts lies."""
    return directory / CHECKPOINTS / LAST


def fine_tuned(directory: Path, task: str) -> Path:
    """Where the figures of a run that was fine-tuned on a task lie."""
    return directory / FINE_TUNED.replace("*", task)
