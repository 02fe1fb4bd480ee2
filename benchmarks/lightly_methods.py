"""Methods put together from lightly's parts as in its examples, on the network of this project, one pass per view.

Each is a LightningModule for `fashion_mnist.py`; the sizes of heads are those of the experiments.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import lightning as L
import torch
from lightly.loss import (
    BarlowTwinsLoss,
    DINOLoss,
    LeJEPALoss,
    NegativeCosineSimilarity,
    NTXentLoss,
    SwaVLoss,
    VICRegLoss,
)
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, MoCoProjectionHead, SimCLRProjectionHead
from lightly.models.modules.heads import (
    BarlowTwinsProjectionHead,
    DINOProjectionHead,
    LeJEPAProjectionHead,
    SwaVProjectionHead,
    SwaVPrototypes,
    VICRegProjectionHead,
)
from lightly.models.utils import batch_shuffle, batch_unshuffle, deactivate_requires_grad, update_momentum
from lightly.transforms import SimCLRTransform
from lightly.transforms.dino_transform import DINOTransform
from lightly.transforms.swav_transform import SwaVTransform
from torch import Tensor, nn

SGD: dict[str, Any] = {
    "lr": 0.12,
    "momentum": 0.9,
    "weight_decay": 5e-4,
}  # of its CIFAR-10 benchmark
HIDDEN, DIM = 512, 128  # of projection heads
MOMENTUM, QUEUE = 0.99, 4096
PROTOTYPES = {"swav": 100, "dino": 256}
LARGE, SMALL, LOCAL = 28, 12, 4  # sides of the two kinds of crops, and how many small ones


class Lightly(L.LightningModule):
    """What they share: the network, and SGD whose learning rate falls along a cosine.

    Args:
        encoder: the network, as the experiment has it, untrained.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder.to(memory_format=torch.contiguous_format)

    def project(self, views: list[Tensor]) -> list[Tensor]:
        """The output of `head`, which every subclass has, for each view."""
        return [self.head(self.encoder(view).pooled) for view in views]

    def configure_optimizers(self) -> Any:
        """See above."""
        optimizer = torch.optim.SGD([p for p in self.parameters() if p.requires_grad], **SGD)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


class TwoViews(Lightly):
    """A head and a loss of the projections of two views.

    Args:
        encoder: the network.
        head: the projection head.
        criterion: the loss.
    """

    def __init__(self, encoder: Any, head: nn.Module, criterion: Callable[..., Tensor]) -> None:
        super().__init__(encoder)
        self.head, self.criterion = head, criterion

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss."""
        return self.criterion(*self.project(batch[0]))


def simclr(encoder: Any) -> Lightly:
    """SimCLR."""
    return TwoViews(encoder, SimCLRProjectionHead(encoder.dim, HIDDEN, DIM), NTXentLoss(0.5))


def barlow_twins(encoder: Any) -> Lightly:
    """Barlow Twins."""
    return TwoViews(encoder, BarlowTwinsProjectionHead(encoder.dim, 512, 512), BarlowTwinsLoss())


def vicreg(encoder: Any) -> Lightly:
    """VICReg."""
    return TwoViews(encoder, VICRegProjectionHead(encoder.dim, 1024, 1024), VICRegLoss())


def lejepa(encoder: Any) -> Lightly:
    """LeJEPA of two views, of which one counts as local, as its loss asks for one."""
    loss = LeJEPALoss(0.02, sigreg_num_vectors=256)

    def of_two(first: Tensor, second: Tensor) -> Tensor:
        return loss(local_proj=second[None], global_proj=first[None])

    return TwoViews(encoder, LeJEPAProjectionHead(encoder.dim, 512, 64), of_two)


class LightlyMoCo(Lightly):
    """MoCo: memory bank, shuffled keys, both views as queries."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.head = MoCoProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.key_encoder, self.key_head = deepcopy(self.encoder), deepcopy(self.head)
        deactivate_requires_grad(self.key_encoder)
        deactivate_requires_grad(self.key_head)
        self.criterion = NTXentLoss(0.1, memory_bank_size=(QUEUE, DIM))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """InfoNCE against the memory bank, both ways."""
        update_momentum(self.encoder, self.key_encoder, MOMENTUM)
        update_momentum(self.head, self.key_head, MOMENTUM)
        first, second = batch[0]
        return (self.contrast(first, second) + self.contrast(second, first)) / 2

    def contrast(self, query_view: Tensor, key_view: Tensor) -> Tensor:
        """One way."""
        queries = self.head(self.encoder(query_view).pooled)
        with torch.no_grad():
            shuffled, order = batch_shuffle(key_view)
            keys = batch_unshuffle(self.key_head(self.key_encoder(shuffled).pooled), order)
        return self.criterion(queries, keys)


class LightlyBYOL(Lightly):
    """BYOL."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.head = BYOLProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.predictor = BYOLPredictionHead(DIM, HIDDEN, DIM)
        self.target_encoder, self.target_head = deepcopy(self.encoder), deepcopy(self.head)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_head)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The negative cosine, both ways."""
        update_momentum(self.encoder, self.target_encoder, MOMENTUM)
        update_momentum(self.head, self.target_head, MOMENTUM)
        first, second = (self.predictor(projected) for projected in self.project(batch[0]))
        with torch.no_grad():
            first_target, second_target = (self.target_head(self.target_encoder(view).pooled) for view in batch[0])
        return (self.criterion(first, second_target) + self.criterion(second, first_target)) / 2


class LightlySwAV(Lightly):
    """SwAV of two large crops and the small ones, without a queue."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        self.head = SwaVProjectionHead(self.encoder.dim, HIDDEN, DIM)
        self.prototypes = SwaVPrototypes(DIM, PROTOTYPES["swav"])
        self.criterion = SwaVLoss()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Large crops are coded."""
        self.prototypes.normalize()
        scores = [self.prototypes(nn.functional.normalize(projected)) for projected in self.project(batch[0])]
        return self.criterion(scores[:2], scores[2:])


class LightlyDINO(Lightly):
    """DINO of two large crops and the small ones."""

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder)
        sizes = (self.encoder.dim, 256, 64, PROTOTYPES["dino"])
        self.head, self.teacher_head = DINOProjectionHead(*sizes), DINOProjectionHead(*sizes)
        self.teacher_head.load_state_dict(self.head.state_dict())  # its weight norm cannot be copied
        self.teacher_encoder = deepcopy(self.encoder)
        deactivate_requires_grad(self.teacher_encoder)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = DINOLoss(PROTOTYPES["dino"])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The teacher sees the large crops."""
        update_momentum(self.encoder, self.teacher_encoder, MOMENTUM)
        update_momentum(self.head, self.teacher_head, MOMENTUM)
        with torch.no_grad():
            wanted = [self.teacher_head(self.teacher_encoder(view).pooled) for view in batch[0][:2]]
        return self.criterion(wanted, self.project(batch[0]), teacher_temp=0.04)


METHODS: dict[str, Callable[[Any], Lightly]] = {
    "simclr": simclr,
    "moco": LightlyMoCo,
    "byol": LightlyBYOL,
    "barlow_twins": barlow_twins,
    "vicreg": vicreg,
    "lejepa": lejepa,
    "swav": LightlySwAV,
    "dino": LightlyDINO,
}


def transform(method: str) -> Callable[[Any], list[Tensor]]:
    """Lightly's transform of a PIL image for a method, with the sizes and without the blur of the experiments."""
    shared: dict[str, Any] = {"cj_strength": 0.5, "normalize": None}
    if method == "swav":
        return SwaVTransform((LARGE, SMALL), (2, LOCAL), gaussian_blur=0.0, **shared)
    if method == "dino":
        blur = {"gaussian_blur": (0.0, 0.0, 0.0), "solarization_prob": 0.0}
        return DINOTransform(LARGE, local_crop_size=SMALL, n_local_views=LOCAL, **blur, **shared)
    return SimCLRTransform(LARGE, min_scale=0.08, gaussian_blur=0.0, **shared)
