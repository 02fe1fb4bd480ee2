"""Multi-crop: a few views of the whole of an example, and many cheap ones of small parts of it."""

import torch
from torch import Tensor

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError
from ssl_zoo.randomness import fold_in
from ssl_zoo.views.base import Viewed, Views, require_at_least

# What the keys of local crops are folded with, and numbers after it: far from those that recipes fold theirs with.
LOCAL = 1 << 20


class MultiCrop(Views):
    """Views of two sizes (Caron et al., 2020, arXiv:2006.09882, section 3.2).

    The global ones are what any method takes for views. A method that knows of local ones, such as DINO, compares these
    with them: many small crops cost less than one more large one, as encoders take each size in one pass. Any views
    will do for either, of images, speech or text; those that have a `size`, or `seconds`, get a smaller one as local.

    Args:
        global_views: Makes the views of most of an example.
        local_views: Makes the crops of small parts of it.
        local_crops: Number of local crops of each example, a multiple of those that `local_views` makes at once; the
            papers take 6 to 10.

    Raises:
        InputError: the number of local crops is none that `local_views` can make.
    """

    def __init__(self, global_views: Views, local_views: Views, local_crops: int = 6) -> None:
        super().__init__()
        require_at_least("MultiCrop's local_crops", local_crops, 1)
        at_once = local_views.views_per_example
        if local_crops % at_once:
            raise InputError(
                f"MultiCrop's local_crops is {local_crops}, and {type(local_views).__name__} makes {at_once} at once: "
                f"give a multiple of {at_once}."
            )
        self.global_views, self.local_views, self.local_crops = global_views, local_views, local_crops
        self.views_per_example, self.leaves_alike = global_views.views_per_example, global_views.leaves_alike

    def recipes(self) -> list[Views]:
        """Both."""
        return [*self.global_views.recipes(), *self.local_views.recipes()]

    def of(self, batch: Batch, keys: Tensor) -> Viewed:
        """The global views, as they say themselves."""
        return self.global_views.of(batch, keys)

    def smaller(self, batch: Batch, keys: Tensor) -> list[Viewed]:
        """The local crops ``(local_crops * B, ...)``, every example's first one, then every example's second one."""
        times = self.local_crops // self.local_views.views_per_example
        fields = batch.fields and {name: _repeated(values, times) for name, values in batch.fields.items()}
        mask = None if batch.mask is None else _repeated(batch.mask, times)
        many = Batch(_repeated(batch.inputs, times), mask, None, batch.index.repeat(times), fields)
        return [self.local_views.of(many, torch.cat([fold_in(keys, LOCAL + number) for number in range(times)]))]

    def forward(self, inputs: Tensor, keys: Tensor, fields: dict[str, Tensor] | None = None) -> Tensor:
        """The global views; see `Views`."""
        return self.global_views(inputs, keys, fields)


def _repeated(examples: Tensor, times: int) -> Tensor:
    """All examples, then all of them again, and so on."""
    return examples.repeat(times, *(1 for _ in examples.shape[1:]))
