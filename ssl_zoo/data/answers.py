"""What a data module says of itself, so that nobody has to ask for its type."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.data.pictures import Picture
from ssl_zoo.data.representations import Baseline, only_pooled, raw_inputs
from ssl_zoo.data.tokens import Tokens
from ssl_zoo.errors import InputError
from ssl_zoo.tasks.labels import CLASSES, ExampleLabels, Labels


class Answers:
    """What probes, pictures, exports and cards ask of data; a subclass overrides what its modality answers otherwise.

    Attributes:
        train_set: what probes are fitted on.
        validation_set: held out for choices.
        test_set: held out for the final numbers.
        classes: names of the classes, in label order; empty without labels.
        modality: what encoders of this data read, as they call it.
        noun: what several examples are called.
        padded: whether examples differ in length, so that a batch of them is padded and has a mask.
        program_inputs: what an exported program takes, in a sentence: `inputs` and `mask` where examples are padded,
            else what `noun` says; `{shape}` stands for its shape.
        hub_task: what the Hugging Face Hub calls the turning of such inputs into vectors.
        pictured: how many examples a picture shows.
        source_name: what the data is called in tables.
        name_of: gives what the source's example at a position is called, such as the path of its file; None where
            they have no names.
    """

    train_set: Examples
    validation_set: Examples
    test_set: Examples
    classes: list[str]
    modality: str
    noun: str = "examples"
    padded: bool = False
    program_inputs: str = "`examples` are float32, `{shape}`."
    hub_task: str = "feature-extraction"
    pictured: int = 12
    source_name: str
    name_of: Callable[[int], str] | None = None

    def tasks(self) -> dict[str, Labels]:
        """What can be asked of this data, set up, by name; `classes` are the labels of a part's examples."""
        labels = {name: part.labels for name, part in self.parts().items()}
        known = {name: part for name, part in labels.items() if part is not None}
        return {CLASSES: ExampleLabels(self.classes, known)} if len(known) == len(labels) else {}

    @property
    def main_task(self) -> str:
        """The task that runs are ranked by; only what says most of a representation here."""
        return CLASSES

    def baselines(self) -> dict[str, Baseline]:
        """What a method has to beat besides its own encoder untrained, by the name of its row; each says what it is."""
        return {"raw inputs": only_pooled(raw_inputs, "the inputs themselves, flattened, without an encoder")}

    def picture(self, inputs: Tensor, fields: dict[str, Tensor] | None = None) -> Picture | None:
        """What a person sees of inputs, or of views of them; None where that is nothing.

        Args:
            inputs: raw inputs as in `ssl_zoo.batch.Batch`, on the CPU.
            fields: fields of the batch, if it has some.
        """
        return None

    def value_statistics(self, examples: int) -> tuple[list[float], list[float]] | None:
        """Mean and deviation of every channel of so many training examples; None where that says nothing of inputs."""
        return None

    def captions(self, batch: Batch) -> list[str]:
        """What each example of a batch is called, or says, in a line or two; names where the source has some."""
        if self.name_of is None:
            return [f"example {index} of {self.source_name}" for index in batch.index.tolist()]
        return [self.name_of(index) for index in batch.index.tolist()]

    def describe_inputs(self) -> str:
        """What an encoder of this data turns into vectors, in words."""
        return self.noun

    def tokens(self) -> Tokens | None:
        """How texts become inputs of this data; None where inputs are no tokens."""
        return None

    def test_pairs(self) -> Pairs | None:
        """Which test examples show the same in two styles; None where the data has no such pairs."""
        return None

    def batch_of(self, raw: Any, sample_rate: int | None = None) -> Batch:
        """What a user has in memory or in files, as inputs like those of this data; nothing of the data is read.

        Args:
            raw: one of the things that this data is made of, or a list of some.
            sample_rate: samples per second of sounds that are no files.

        Raises:
            InputError: they are no such things.
        """
        raise InputError(f"{type(self).__name__} makes no inputs of what is not in its source: encode a Batch instead.")

    def stand_ins(self, count: int) -> Batch:
        """Inputs of the kind and size that encoders of this data see, for tracing one; test examples unless overridden.

        Args:
            count: number of examples.
        """
        return self.test_set.__getitems__(list(range(min(count, len(self.test_set)))))

    def everything(self) -> list[Examples]:
        """All examples that can be used, whatever their part, some with labels and some without, for embedding.

        Data that can be read without being split overrides this: a folder of two images has no three parts.
        """
        return list(self.parts().values())

    def on_folder(self, root: Path) -> "Answers":
        """Data of this kind and with these settings, from a folder of the user's.

        Args:
            root: the folder.

        Raises:
            InputError: this data knows no folders.
        """
        raise InputError(f"probe_data: {type(self).__name__} reads no folders: leave it out.")

    def parts(self) -> Mapping[str, Examples]:
        """What probes are fitted on, what chooses their settings, and what they are evaluated on."""
        return {"train": self.train_set, "validation": self.validation_set, "test": self.test_set}
