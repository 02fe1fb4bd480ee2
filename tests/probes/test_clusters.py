import pytest
import torch
from sklearn.metrics import mutual_info_score

from ssl_zoo.probes.clusters import code_figures


def test_the_figures_are_those_of_a_library_and_of_loops():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (400,), generator=generator)
    codes = torch.where(
        torch.rand(400, generator=generator) < 0.6, labels, torch.randint(0, 9, (400,), generator=generator)
    )
    found = code_figures(codes, labels)
    entropy = mutual_info_score(labels, labels)
    assert found["pnmi"] == pytest.approx(mutual_info_score(labels, codes) / entropy)
    commonest = sum(int(labels[codes == code].bincount().max()) for code in codes.unique())
    assert found["purity"] == pytest.approx(commonest / 400)
    commonest = sum(int(codes[labels == label].bincount().max()) for label in labels.unique())
    assert found["cluster_purity"] == pytest.approx(commonest / 400)


def test_codes_that_are_the_labels_say_all_and_one_code_says_nothing():
    labels = torch.arange(12) % 3
    assert code_figures((labels + 1) % 3, labels) == pytest.approx({"pnmi": 1, "purity": 1, "cluster_purity": 1})
    nothing = code_figures(torch.zeros(12, dtype=torch.int64), labels)
    assert nothing == pytest.approx({"pnmi": 0, "purity": 1 / 3, "cluster_purity": 1})
    finer = code_figures(torch.arange(12), labels)
    assert finer == pytest.approx({"pnmi": 1, "purity": 1, "cluster_purity": 1 / 4})
