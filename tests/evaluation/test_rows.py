"""Rows one after the other: what they hold in memory, and what is said of them."""

import weakref

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.representations import raw_inputs
from ssl_zoo.evaluation.rows import Extracted, evaluate_rows, probe_features
from ssl_zoo.probes.cross_validation import PENALTIES
from ssl_zoo.probes.features import Features


def features(examples: int, seed: int) -> Features:
    """Three classes of unlike size, which the first dimensions distinguish."""
    labels = torch.arange(examples).sqrt().long() % 3
    vectors = torch.randn(examples, 8, generator=torch.Generator().manual_seed(seed))
    vectors[:, :3] += 2 * torch.nn.functional.one_hot(labels, 3)
    return Features(vectors, labels)


def parts(train: int = 200) -> dict[str, Features]:
    return {"train": features(train, 0), "validation": features(60, 1), "test": features(90, 2)}


def test_the_features_of_one_row_are_freed_before_the_next_has_any():
    alive: list[weakref.ref] = []

    def extract() -> Extracted:
        assert [one for one in alive if one() is not None] == [], "features of an earlier row are still in memory"
        splits = parts()
        alive.extend(weakref.ref(part.vectors) for part in splits.values())
        return Extracted(splits, {})

    evaluated = evaluate_rows({row: extract for row in "abc"}, 3, [2], draws=1)
    assert len(alive) == 9 and list(evaluated.results) == ["a", "b", "c"]
    assert [len(kept.vectors) for kept in evaluated.kept.values()] == [90] * 3


def test_with_few_labels_validation_data_changes_nothing_and_with_all_it_may():
    one, other = parts(), parts()
    generator = torch.Generator().manual_seed(0)
    other["validation"] = Features(other["validation"].vectors, torch.randint(3, (60,), generator=generator))
    first, second = (probe_features(each, 3, [1, 5, 10], draws=3) for each in (one, other))
    for probe in ("linear", "knn"):
        for labels in ("1", "5", "10"):
            assert first[probe][labels] == second[probe][labels]
    assert first["knn"]["all"].chosen != second["knn"]["all"].chosen
    assert {vote["neighbours"] for vote in first["knn"]["1"].chosen} == {1}
    assert first["linear"]["5"].chosen == [{"penalty": 0.01 / 15}] * 3
    assert {one["penalty"] for one in first["linear"]["10"].chosen} <= set(PENALTIES)
    assert first["linear"]["all"].balanced.mean > 0.7


def test_a_collapsed_row_is_at_chance_and_named():
    def collapsed() -> Extracted:
        return Extracted({name: Features(torch.ones_like(p.vectors), p.labels) for name, p in parts().items()}, {})

    evaluated = evaluate_rows({"bad": collapsed, "good": lambda: Extracted(parts(), {})}, 3, [2], draws=2)
    (remark,) = evaluated.remarks
    assert "features of bad are the same for all examples: it has collapsed" in remark
    sizes = parts()["test"].labels.bincount() / 90
    for probe in ("linear", "knn"):
        assert evaluated.results["bad"][probe]["all"].mean in [pytest.approx(float(size)) for size in sizes]


def test_inputs_that_are_all_the_same_have_not_collapsed():
    def constant() -> Extracted:
        return Extracted({name: Features(torch.ones_like(p.vectors), p.labels) for name, p in parts().items()}, {})

    evaluated = evaluate_rows({"SimCLR": lambda: Extracted(parts(), {}), "raw inputs": constant}, 3, [2], draws=1)
    (remark,) = evaluated.remarks
    assert remark == "The features of raw inputs are the same for all examples: its accuracies are chance."


@pytest.mark.parametrize(("side", "shrunk"), [(8, 8), (32, 32), (33, 32), (224, 32)])
def test_raw_images_are_shrunk_to_32_pixels_by_averaging(side, shrunk):
    images = torch.randint(256, (2, 3, side, side), dtype=torch.uint8)
    raw = raw_inputs(Batch(images, None, None, torch.arange(2)))
    assert raw.shape == (2, 3 * shrunk * shrunk) and raw.dtype == torch.float32
    if side % shrunk == 0:
        block = side // shrunk
        expected = images.float().unfold(2, block, block).unfold(3, block, block).mean((-1, -2))
        torch.testing.assert_close(raw, expected.flatten(1))
