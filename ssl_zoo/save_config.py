"""A run's settings: written into its folder, and handed to loggers that keep them."""

from pathlib import Path

import lightning as L
import yaml
from lightning.pytorch.cli import SaveConfigCallback

from ssl_zoo.methods.base import Method
from ssl_zoo.runs.files import CONFIG
from ssl_zoo.tracking.wandb import log_settings, wandb_runs


class SaveConfig(SaveConfigCallback):
    """Writes config.yaml into the run directory, and the same settings to loggers that keep them."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Writes the settings in one go: a run that is killed meanwhile would be resumed with half of them."""
        directory = trainer.log_dir  # every process asks, as the first one's answer is sent to all
        if trainer.is_global_zero and directory is not None and not self.already_saved:
            path = Path(directory) / CONFIG
            draft = path.with_name(f".{path.name}.draft")
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(self.parser.dump(self.config, skip_none=False), encoding="utf-8")
            draft.replace(path)
        super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Hands the settings to W&B."""
        assert isinstance(pl_module, Method)
        if wandb_runs(trainer):  # a tenth of a second without anybody to read them
            log_settings(trainer, pl_module, yaml.safe_load(self.parser.dump(self.config, skip_none=False)))
