"""Run directories written by hand: what compare reads, without training anything."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

PARTS = {"train": 1294, "validation": 144, "test": 359}
ACCURACIES = {"1": 0.5, "5": 0.7, "all": 0.9}


def over_draws(accuracies: dict[str, float]) -> dict[str, Any]:
    return {labels: {"mean": mean, "std": 0.01, "draws": [mean, mean]} for labels, mean in accuracies.items()}


@pytest.fixture
def write_run(tmp_path) -> Callable[..., Path]:
    """Writes a run directory under tmp_path/runs that a probed run could have left; returns it."""

    def write(
        name: str = "simclr/0",
        method: str = "SimCLR",
        seed: int = 0,
        linear: dict[str, float] | None = None,
        knn: dict[str, float] | None = None,
        baselines: dict[str, dict[str, float]] | None = None,
        ceiling: float | None = 0.97,
        encoder: str = "ResNet",
        modality: str = "image",
        parameters: int = 700_000,
        source: str = "Digits",
        split: str = "abcd",
        parts: dict[str, int] | None = None,
        protocol: int = 3,
        budget: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        finetuning: dict[str, float] | None = None,
        finetuning_steps: int = 300,
        rotation: float = 0.0,
        classes: bool = True,
        data: str | None = None,
        balanced: float | None = None,
        tasks: dict[str, dict[str, float]] | None = None,
    ) -> Path:
        directory = tmp_path / "runs" / name
        directory.mkdir(parents=True)
        linear = linear or ACCURACIES
        rows: dict[str, Any] = {method: {"linear": over_draws(linear), "knn": over_draws(knn or linear)}}
        for baseline, accuracies in (baselines or {"untrained encoder": {"1": 0.3, "5": 0.5, "all": 0.7}}).items():
            rows[baseline] = {"linear": over_draws(accuracies), "knn": over_draws(accuracies)}
        if ceiling is not None:
            rows["supervised"] = {"linear": over_draws({"all": ceiling})}
        if balanced is not None:  # of every row, probe and number of labels
            for found in (found for kinds in rows.values() for kind in kinds.values() for found in kind.values()):
                found["balanced"] = {"mean": balanced, "std": 0.0, "draws": [balanced]}
        record = {
            "protocol": protocol,
            "run": directory.name,
            "experiment": directory.parent.name,
            "method": method,
            "encoder": encoder,
            "modality": modality,
            "seed": seed,
            "parameters": parameters,
            "data": {"source": source, "split": split, **PARTS, **(parts or {}),
                     **({"identity": data} if data else {})},
            "budget": {"steps": 100, "samples": 6400, "seconds": 50.0, "peak_memory": 2 * 10**9, "flops": 3e12,
                       **(budget or {})},
            "chance_loss": 4.8,
            "health": {"health/rank": 30.5, "health/std": 0.8},
            "rows": rows if classes else {},
        }  # fmt: skip
        if tasks is not None:
            record["tasks"] = {
                task: {row: {"accuracy": accuracy, "layers": [1.0]} for row, accuracy in by_row.items()}
                for task, by_row in tasks.items()
            }
        (directory / "results.json").write_text(json.dumps(record))
        config = {
            "seed_everything": seed,
            "trainer": {"max_steps": 100, "devices": "auto", "precision": "32-true"},
            "model": {"class_path": f"ssl_zoo.methods.{method}", "init_args": {"temperature": 0.5, **(model or {})}},
            "data": {
                "class_path": "ssl_zoo.data.image.module.ImageData",
                "init_args": {"batch_size": 64, "num_workers": 0},
            },
        }
        (directory / "config.yaml").write_text(yaml.safe_dump(config))
        steps = [f"{step},{5 - step / 50},," for step in range(0, 100, 10)]
        (directory / "metrics.csv").write_text(
            "\n".join(["step,train/loss,val/loss,health/rank", *steps, "99,,3.1,30.5"]) + "\n"
        )
        draw = np.random.default_rng(0)
        features, turned = draw.normal(size=(2, 50, 4))
        np.savez_compressed(
            directory / "features.npz",
            features=(np.cos(rotation) * features + np.sin(rotation) * turned).astype(np.float16),
            labels=np.arange(50) % 3,
            index=np.arange(50),
            map=features[:, :2].astype(np.float32),
            classes=np.array(["cat", "dog", "cow"]),
        )
        if finetuning is not None:
            tuned = {method: {"accuracy": over_draws(finetuning)},
                     "untrained encoder": {"accuracy": over_draws({number: 0.4 for number in finetuning})}}  # fmt: skip
            record = {
                "protocol": 1,
                "task": "classes",
                "counted": "labels per class",
                "rows": tuned,
                "data": {"source": source, "split": split},
                "budget": {"steps": finetuning_steps, "batch_size": 16, "learning_rate": 3e-4},
            }
            (directory / "finetune-classes.json").write_text(json.dumps(record))
        return directory

    return write
