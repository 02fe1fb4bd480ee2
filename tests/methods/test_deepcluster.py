"""DeepCluster against scikit-learn and plain loops, over the epochs of a run, on two ranks, and on a toy."""

import math
import warnings

import lightning as L
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.callbacks.exact_resume import ExactResume
from ssl_zoo.callbacks.refits import Refits, forget
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.encoders.image import MLP, ResNet
from ssl_zoo.errors import InputError
from ssl_zoo.methods.deepcluster import DeepCluster
from ssl_zoo.optim import Optimizer
from ssl_zoo.parts.codebooks import Coding
from ssl_zoo.views.image import SimCLRViews
from tests.methods.coded import fit_to
from tests.methods.conftest import examples

INDEX = 3 * torch.arange(20) + 2  # as where some of a source's examples are left out


def make(clusters: int = 5, components: int = 6, **settings) -> DeepCluster:
    torch.manual_seed(0)
    return DeepCluster(MLP([32, 24], channels=1, image_size=8), SimCLRViews(blur=0.0), clusters, components, **settings)


def images() -> Batch:
    pixels = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Batch(pixels, None, None, INDEX)


def fitted(**settings) -> DeepCluster:
    model = make(**settings)
    fit_to(model, images())
    return model


@torch.no_grad()
def test_clusters_are_of_scikit_learns_whitened_components_at_length_one_without_views(monkeypatch):
    monkeypatch.setattr(DeepCluster, "make_views", None)  # clusters are of the images themselves
    model = fitted(passes=100)
    vectors = model.eval().encoder(images().inputs).pooled
    theirs = torch.from_numpy(PCA(6, whiten=True, svd_solver="full").fit_transform(vectors.double().numpy()))
    theirs = F.normalize(theirs, dim=1).float()
    ours = F.normalize((vectors - model.mean) @ model.directions, dim=1)
    torch.testing.assert_close(ours.abs(), theirs.abs(), atol=1e-4, rtol=1e-4)  # which way a component points is free
    torch.testing.assert_close(ours @ ours.T, theirs @ theirs.T, atol=1e-4, rtol=1e-4)
    codes = model.assignments[INDEX]
    for number in range(20):
        distances = [float((ours[number] - centre).norm()) for centre in model.centres]
        assert distances.index(min(distances)) == int(codes[number])
    for cluster in range(5):
        torch.testing.assert_close(model.centres[cluster], ours[codes == cluster].mean(0), atol=1e-5, rtol=1e-4)
    assert (model.assignments[torch.arange(60) % 3 != 2] == -1).all()
    assert model.sizes.tolist() == codes.bincount(minlength=5).tolist()


def test_the_loss_by_plain_loops_gives_every_cluster_the_same_weight():
    model = fitted()
    with torch.no_grad():
        model.head.weight.mul_(50)
    batch = images()
    views = model.make_views(batch).inputs.chunk(2)
    by_cluster: dict[int, list[Tensor]] = {}
    right: dict[int, list[bool]] = {}
    for view in views:
        for image, index in zip(view, INDEX.tolist(), strict=True):
            code = int(model.assignments[index])
            scores = model.head(model.encoder(image[None]).pooled)[0]
            by_cluster.setdefault(code, []).append(scores.exp().sum().log() - scores[code])
            right.setdefault(code, []).append(int(scores.argmax()) == code)
    assert len(by_cluster) == 5 and len({len(each) for each in by_cluster.values()}) > 1
    # All examples there are: their weighted mean is that of evenly drawn clusters.
    expected = torch.stack([torch.stack(each).mean() for each in by_cluster.values()]).mean()
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], expected, atol=1e-5, rtol=1e-5)
    assert float(terms["accuracy"]) == pytest.approx(sum(sum(each) / len(each) for each in right.values()) / 5)
    parameters = [*model.parameters()]
    for ours, theirs in zip(
        *(torch.autograd.grad(each, parameters) for each in (terms["loss"], expected)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_of_some_examples_it_is_the_mean_with_one_over_the_clusters_sizes_for_weights():
    model = fitted()
    part = torch.tensor([0, 3, 4, 7])
    batch = images()._replace(inputs=images().inputs[part], index=INDEX[part])
    codes = model.assignments[batch.index].repeat(2)
    nats = F.cross_entropy(model.head(model.encoder(*model.make_views(batch)).pooled), codes, reduction="none")
    weights = 1 / (model.assignments[INDEX][:, None] == codes).sum(0)
    torch.testing.assert_close(model.losses(batch)["loss"], (weights * nats).sum() / weights.sum())


@torch.no_grad()
def test_chance_is_the_loss_of_a_head_that_says_nothing_and_held_out_examples_are_in_the_nearest_cluster():
    model = fitted()
    assert float(model.head.weight.std()) == pytest.approx(0.01, rel=0.3) and not model.head.bias.any()
    model.head.weight.zero_()
    assert float(model.losses(images())["loss"]) == pytest.approx(model.chance_loss(20), abs=1e-5)
    model.eval()
    known = images()
    others = known._replace(index=torch.arange(20))  # numbers that mean other images in another part of the data
    assert torch.equal(model.clusters_of(others), model.assignments[INDEX])


def test_its_clusters_are_not_taken_for_codes_of_places_which_are_looked_at_where_phones_are_known():
    assert not isinstance(make(), Coding)


class Kept(L.Callback):
    """What is there before every step."""

    def __init__(self) -> None:
        self.found: list[dict[str, Tensor]] = []
        self.nmi: list[float | None] = []
        self.moments: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        kept = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.found.append(kept)
        state = trainer.optimizers[0].state.get(pl_module.head.weight)
        self.moments.append(float(state["step"]) if state else 0.0)

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        value = trainer.callback_metrics.get("train/nmi")
        self.nmi.append(None if value is None else float(value))


def run(steps: int, *callbacks: L.Callback, **settings) -> tuple[DeepCluster, Kept, ImageData]:
    torch.manual_seed(0)
    kept = Kept()
    model = DeepCluster(
        ResNet(10, 8, channels=1), SimCLRViews(blur=0.0), 5, 6, **{"optimizer": Optimizer(learning_rate=1e-2)}
    )
    torch.manual_seed(1)
    data = ImageData(image_size=8, batch_size=12, train_size=50)  # four steps an epoch
    trainer = L.Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=[ExactResume(), Refits(), kept, *callbacks], enable_model_summary=False, log_every_n_steps=1,
        **{"limit_val_batches": 0, **settings},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")  # data lies in memory
        warnings.filterwarnings("ignore", ".*`limit_val_batches=0`")  # nothing is validated, as the test asks for
        trainer.fit(model, data)
    return model, kept, data


def test_every_epoch_begins_with_new_clusters_and_a_new_head_whose_rate_stays_and_whose_moments_are_gone():
    model, kept, data = run(10)
    assert model.clusterings.value == 3
    assert kept.moments == [0, 1, 2, 3, 4, 0, 1, 2, 3, 0]  # the first step of an epoch is one of the last head
    for step in range(1, 10):
        same = torch.equal(kept.found[step]["assignments"], kept.found[step - 1]["assignments"])
        assert same == (step not in (5, 9))
    for step in (0, 5, 9):
        assert float(kept.found[step]["head.weight"].std()) == pytest.approx(0.01, rel=0.2)
        assert not kept.found[step]["head.bias"].any()
    firsts = [kept.found[step]["head.weight"] for step in (0, 5, 9)]
    assert not torch.equal(firsts[0], firsts[1]) and not torch.equal(firsts[1], firsts[2])
    known = data.pretrain_set.__getitems__(list(range(50))).index
    first, second, third = (kept.found[step]["assignments"][known].numpy() for step in (0, 5, 9))
    assert kept.nmi[:5] == [None] * 5  # there is nothing to compare with
    for step, pair in ((5, (first, second)), (9, (second, third))):
        expected = normalized_mutual_info_score(*pair, average_method="geometric")
        assert kept.nmi[step] == pytest.approx(expected, abs=1e-6)
    steady = [group["lr"] for group in model.trainer.optimizers[0].param_groups if group["steady"]]
    assert steady == [1e-2] * len(steady) and steady


def test_a_validation_between_two_epochs_sees_what_the_head_has_learnt():
    seen = []

    class Heads(L.Callback):
        def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            seen.append((trainer.global_step, float(pl_module.head.weight.detach().std())))

    run(10, Heads(), limit_val_batches=1, num_sanity_val_steps=0)
    assert [step for step, _ in seen] == [4, 8] and all(std > 0.015 for _, std in seen)  # a new one has 0.01


def as_rank() -> list[dict[str, Tensor]]:
    return run(6, strategy="ddp", devices=2)[1].found


def test_two_ranks_have_the_clusters_of_one_and_all_that_follow_in_common(two_processes):
    _, alone, _ = run(6)
    first, second = two_processes(as_rank)
    for name in ("assignments", "centres", "mean", "directions", "head.weight"):
        assert torch.equal(alone.found[0][name], first[0][name]), name  # though each rank sees half of every batch
        for ours, theirs in zip(first, second, strict=True):
            assert torch.equal(ours[name], theirs[name]), name


class Reclusters(L.Callback):
    """New clusters of the toy's images in every epoch, as the callback makes them that reads a data module."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            due = pl_module.clustering(0.0)
            pl_module.eval()
            with torch.no_grad():
                vectors, counted = due.collect(examples(2048, seed=1))
            due.use(due.fit(vectors[counted]))
            pl_module.train()
            forget(trainer.optimizers[0], due.renewed)


class OtherOrder(DeepCluster):
    """A slip in the indices: every image has the cluster of the one before it."""

    def clusters_of(self, batch: Batch) -> Tensor:
        return super().clusters_of(batch).roll(1)


def test_it_learns_what_views_share_and_a_broken_version_does_not(toy):
    rate = Optimizer(learning_rate=1e-2, schedule="constant")
    whole, broken = (
        kind(toy.encoder(), toy.views(), clusters=64, components=8, optimizer=rate)
        for kind in (DeepCluster, OtherOrder)
    )
    toy.train(whole, 320, [Reclusters()])
    toy.train(broken, 100, [Reclusters()])
    pixels = toy.accuracy(lambda batch: batch.inputs.flatten(1))
    assert toy.learnt(whole) > 0.15 + max(pixels, toy.learnt(broken))
    assert float(whole.nmi) > 0.6  # clusters settle


def test_what_cannot_work_is_refused():
    for name in ("clusters", "components", "passes", "recluster_every"):
        with pytest.raises(InputError, match=f"{name} is 0"):
            make(**{name: 0})
    with pytest.raises(InputError, match="there are 20 training examples to make 21 clusters of: set clusters lower"):
        fitted(clusters=21)
    model = make()
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(math.nan)
    with pytest.raises(InputError, match="DeepCluster has diverged: after 0 steps"):
        fit_to(model, images())
    with pytest.raises(InputError, match=r"callbacks\.refits\.Refits"):
        L.Trainer(
            accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, limit_val_batches=0,
        ).fit(make(), ImageData(image_size=8, batch_size=12, train_size=50))  # fmt: skip
