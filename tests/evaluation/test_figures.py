import numpy as np
import pytest
import torch
from PIL import Image

from ssl_zoo.evaluation import figures
from ssl_zoo.evaluation.figures import class_legend, draw_feature_maps, draw_label_efficiency, look_of_row, map_features
from tests.made_results import score
from tests.prepared import tsne

CONSTANT = torch.ones(200, 8) + 1e-8


@pytest.fixture(autouse=True)
def as_for_users(monkeypatch):
    """The maps that users get."""
    monkeypatch.setattr(figures, "tsne", tsne)


@pytest.mark.parametrize("vectors", [CONSTANT, torch.zeros(200, 8), torch.randn(3, 8)], ids=["ones", "zeros", "three"])
def test_what_has_no_map_gets_none_and_no_crash(vectors):
    assert map_features(vectors) is None


@pytest.mark.parametrize(("examples", "dim"), [(4, 8), (200, 1), (200, 2), (60, 100)])
def test_small_and_thin_features_have_maps(examples, dim):
    points = map_features(torch.randn(examples, dim, generator=torch.Generator().manual_seed(0)))
    assert points.shape == (examples, 2) and np.isfinite(points).all() and points.std() > 0


def test_points_that_coincide_have_a_map(tmp_path):
    points = map_features(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(50, 1))
    assert np.isfinite(points).all()


def test_the_picture_says_where_there_is_no_map(tmp_path):
    found = {"knn": {"all": score(0.5)}}
    maps = {"collapsed": None, "raw inputs": np.random.default_rng(0).normal(size=(50, 2))}
    results = {row: found for row in maps}
    draw_feature_maps(maps, torch.arange(50) % 2, results, ["cat", "dog"], tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size[0] > 900


@pytest.mark.parametrize("baselines", [0, 2, 3, 9])
def test_label_efficiency_is_drawn_beside_any_number_of_baselines(tmp_path, baselines):
    linear = {labels: score(0.5, 0.1) for labels in ("1", "all")}
    rows = ["SimCLR", *(f"baseline {number}" for number in range(baselines)), "supervised"]
    draw_label_efficiency({row: {"linear": linear} for row in rows}, tmp_path / "curves.png", "made")
    assert (tmp_path / "curves.png").stat().st_size > 5000
    looks = [look_of_row(place) for place in range(9)]
    assert len(set(looks)) == 9


@pytest.mark.parametrize("classes, longest", [(10, 5), (12, 6), (9, 9), (20, 7)])
def test_the_lines_of_a_legend_are_equally_long_so_that_classes_are_read_in_order(classes, longest):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(30, 4))
    class_legend(figure, [str(label) for label in range(classes)], columns=9)
    (legend,) = figure.legends
    assert legend._ncols == longest  # matplotlib says it nowhere else
