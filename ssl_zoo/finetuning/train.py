"""One fine-tuning: an encoder and a new head learn a task, and answer its test examples."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ssl_zoo import optim
from ssl_zoo.encoders.auxiliary import with_auxiliary
from ssl_zoo.encoders.base import Encoder
from ssl_zoo.finetuning.tasks import Task
from ssl_zoo.hardware import fastest_precision
from ssl_zoo.tasks.examples import TaskBatch, TaskExamples
from ssl_zoo.tasks.heads import Head

# As in BERT (Devlin et al., 2018, arXiv:1810.04805, appendix A): the weight decay, the warm-up and the clipping.
WEIGHT_DECAY = 0.01
WARMUP = 0.1
CLIP = 1.0

TEST_BATCH = 128
# Batches of similar lengths are made of so many that follow each other in the order, which is random ...
NEIGHBOURS = 50
# ... or of such a part of a pass, so that with few examples an example meets others in every pass.
PART_OF_A_PASS = 8

# Is given the loss of every step; reading it makes a device wait.
OnStep = Callable[[Tensor], None]


class Settings(NamedTuple):
    """What is the same in every fine-tuning of a comparison.

    Attributes:
        steps: number of steps of the optimizer.
        batch_size: examples per step; all of them where there are fewer.
        learning_rate: the highest one.
        layer_decay: factor of the learning rate for each layer down from the top of the encoder.
    """

    steps: int
    batch_size: int
    learning_rate: float
    layer_decay: float = 1.0


def with_passes(settings: Settings, examples: int, passes: int) -> Settings:
    """The settings with as many steps as go over so many examples so many times, or their own if those are more."""
    steps = math.ceil(passes * examples / min(settings.batch_size, examples))
    return settings._replace(steps=max(settings.steps, steps))


class EveryStep(L.Callback):
    """Hands the loss of every step to somebody.

    Args:
        on_step: who wants it.
    """

    def __init__(self, on_step: OnStep) -> None:
        self.on_step = on_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Does so."""
        self.on_step(outputs["loss"])


class FineTuner(L.LightningModule):
    """An encoder and a head, both trained with AdamW, warm-up, cosine decay and clipped gradients.

    Args:
        encoder: trained in place.
        head: head of a task.
        settings: settings of the training.
    """

    def __init__(self, encoder: Encoder, head: Head, settings: Settings) -> None:
        super().__init__()
        self.encoder, self.head, self.settings = encoder, head, settings

    def forward(self, batch: TaskBatch) -> Tensor:
        """The head's scores."""
        return self.head(self.encoder.by_time(self.encoder(batch.inputs, batch.mask)), batch)

    def training_step(self, batch: TaskBatch, batch_idx: int) -> Tensor:
        """The head's loss, with those of the encoder's auxiliary parts."""
        return with_auxiliary(self, lambda: {"loss": self.head.loss(self(batch), batch)})["loss"]

    def predict_step(self, batch: TaskBatch, batch_idx: int) -> list[list[int]]:
        """The head's answers."""
        return self.head.predict(self(batch), batch)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the norm of all gradients together; Lightning's own clipping refuses fused optimizers."""
        nn.utils.clip_grad_norm_(self.parameters(), CLIP)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW on what `choose_trained` has chosen."""
        settings = optim.Optimizer(
            "adamw", self.settings.learning_rate, WEIGHT_DECAY, self.settings.layer_decay, warmup=WARMUP
        )
        optimizer = optim.make_optimizer(settings, self)
        schedule = optim.scheduled(optimizer, settings, self.settings.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def choose_trained(module: FineTuner) -> None:
    """Decides which parameters are trained: all of them."""
    module.requires_grad_(True)


def fine_tune(
    encoder: Encoder, task: Task, chosen: Tensor, seed: int, settings: Settings, on_step: OnStep | None = None
) -> list[list[int]]:
    """Trains on some examples and answers the test examples with the weights of the last step, on one device.

    Args:
        encoder: trained in place.
        task: gives the head and the examples.
        chosen: ``(n,)`` int64, positions of the training examples.
        seed: seed of the head's weights, the order of the examples and dropout.
        settings: settings of the training.
        on_step: called after every step.

    Returns:
        The head's answers to the test examples in their order.
    """
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # examples lie in memory
        torch.manual_seed(seed)
        module = FineTuner(encoder, task.new_head(encoder), settings)
        choose_trained(module)
        module.train()  # a run is loaded for evaluation, and Lightning leaves modules in the mode it finds them in
        trainer = L.Trainer(
            devices=1,
            max_steps=settings.steps,
            precision=fastest_precision(),
            logger=False,
            callbacks=[] if on_step is None else [EveryStep(on_step)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        size = min(settings.batch_size, len(chosen))
        order = draw_order(chosen, settings.steps * size, seed)
        if task.train.lengths is not None:
            order = group_by_length(order, task.train.lengths, size, len(chosen), seed)
        trainer.fit(module, _loader(task.train, size, order))
        tested = longest_first(task.test)
        found = trainer.predict(module, _loader(task.test, TEST_BATCH, tested.tolist()))
    answers = [answer for batch in found or [] for answer in batch]
    return [answers[place] for place in tested.argsort().tolist()]


def draw_order(chosen: Tensor, count: int, seed: int) -> list[int]:
    """`count` positions to train on: all of `chosen` in one random order after another."""
    generator = torch.Generator().manual_seed(seed)
    passes = [chosen[torch.randperm(len(chosen), generator=generator)] for _ in range(math.ceil(count / len(chosen)))]
    return torch.cat(passes)[:count].tolist()


def group_by_length(order: list[int], lengths: Tensor, size: int, examples: int, seed: int) -> list[int]:
    """The same positions, rearranged among neighbouring batches so that the examples of a batch are similarly long.

    Batches at random are mostly padding where lengths vary. What is rearranged stays near its place, and batches come
    in random order within the neighbourhood, so that training does not go from short to long.

    Args:
        order: positions to train on, whole batches.
        lengths: ``(N,)`` int64 of the examples by position.
        size: size of a batch.
        examples: how many different ones there are.
        seed: seed of the order of batches.
    """
    generator = torch.Generator().manual_seed(seed)
    together = size * max(1, min(NEIGHBOURS, examples // size // PART_OF_A_PASS))
    found = []
    for neighbours in torch.tensor(order).split(together):
        batches = neighbours[lengths[neighbours].argsort(stable=True)].view(-1, size)
        found.append(batches[torch.randperm(len(batches), generator=generator)].flatten())
    return torch.cat(found).tolist()


def longest_first(examples: TaskExamples) -> Tensor:
    """``(N,)`` int64, all positions from the longest example to the shortest, so that little has to be padded."""
    if examples.lengths is None:
        return torch.arange(len(examples))
    return examples.lengths.argsort(descending=True, stable=True)


def _loader(examples: TaskExamples, batch_size: int, order: list[int]) -> DataLoader[TaskBatch]:
    """The examples at these positions in turn; they come as whole batches."""
    return DataLoader(examples, batch_size, sampler=order, collate_fn=lambda batch: batch)
