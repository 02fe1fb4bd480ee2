"""A probing task of one's own: what else frozen encoders are asked about the data, besides its classes."""

from torch import Tensor

from ssl_zoo.data.examples import Examples
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.tasks.labels import ExampleLabels, Labels


class MyTask(ImageData):
    """Images whose task `parity` asks whether their class has an even or an odd number."""

    def tasks(self) -> dict[str, Labels]:
        """The data's own tasks and one more; every one is probed, tabled and ranked, and can be fine-tuned on."""
        parity = ExampleLabels(["even", "odd"], {name: parity_of(part) for name, part in self.parts().items()})
        return {**super().tasks(), "parity": parity}


def parity_of(part: Examples) -> Tensor:
    """``(N,)`` int64, the label of every example of a part; one that is unknown would be -1."""
    assert part.labels is not None, "the data has no labels"
    return part.labels % 2
