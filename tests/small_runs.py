"""A short run on a folder of every modality, by the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ssl_zoo.cli import run
from tests.made import write_images, write_texts, write_waves

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SHORT = ["--trainer.accelerator=cpu", "--trainer.max_steps=2", "--data.batch_size=8", "--probe_after_fit=false",
         "--trainer.enable_progress_bar=false"]  # fmt: skip


class SmallRun(NamedTuple):
    """A run, the folder or file that it was trained on, and the modality of that."""

    directory: Path
    root: Path
    modality: str


def small_run(modality: str, top: Path) -> SmallRun:
    """SimCLR on images and sounds, BERT on texts; two steps."""
    train = {"image": _images, "text": _texts, "audio": _sounds}[modality]
    root = train(top)
    (directory,) = (top / "runs").glob("*/*")
    return SmallRun(directory, root, modality)


def _images(top: Path) -> Path:
    root = write_images(top / "data", 30, 3, (10, 14))
    run(["fit", "--config", str(EXPERIMENTS / "image" / "simclr.yaml"), "--model.encoder.depth=10",
         "--model.encoder.width=4", "--model.encoder.mean=data", "--model.encoder.std=data",
         "--model.projection_hidden=8", "--model.projection_dim=4",
         "--data.source=ImageFolder", f"--data.source.root={root}", "--data.source.channels=1", "--data.image_size=8",
         "--data.train_size=null", f"--runs_dir={top / 'runs'}", *SHORT])  # fmt: skip
    return root


def _texts(top: Path) -> Path:
    root = write_texts(top / "data" / "texts.jsonl")
    run(["fit", "--model=BERT", "--model.encoder=BertEncoder", "--model.encoder.dim=16", "--model.encoder.depth=1",
         "--model.encoder.heads=2", "--model.encoder.max_length=16", "--data=TextData", "--data.source=TextFiles",
         f"--data.source.root={root}", "--data.vocab_size=120", "--data.length=16", f"--runs_dir={top / 'runs'}",
         *SHORT])  # fmt: skip
    return root


def _sounds(top: Path) -> Path:
    root = write_waves(top / "data", 24)
    run(["fit", "--config", str(EXPERIMENTS / "audio" / "simclr.yaml"), "--model.encoder.depth=10",
         "--model.encoder.width=4", "--data.source=AudioFolder", f"--data.source.root={root}",
         "--data.crop_seconds=0.5", "--model.views.seconds=0.25", f"--runs_dir={top / 'runs'}", *SHORT])  # fmt: skip
    return root


@contextmanager
def elsewhere(small: SmallRun) -> Iterator[Path]:
    """Within, the data lies somewhere else."""
    moved = small.root.with_name(f"moved-{small.root.name}")
    small.root.rename(moved)
    try:
        yield moved
    finally:
        moved.rename(small.root)
