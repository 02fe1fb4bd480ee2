import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.examples import Examples
from ssl_zoo.evaluation.kept_features import EXAMPLES, load_features, save_features
from ssl_zoo.probes.features import Features, choose_examples
from ssl_zoo.runs.logged import last_values, read_metrics


class Numbers(Examples):
    """Examples whose positions in the data set are odd."""

    def __init__(self, count: int) -> None:
        self.count, self.labels = count, torch.arange(count) % 3

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, positions: list[int]) -> Batch:
        chosen = torch.tensor(positions)
        return Batch(chosen[:, None], None, self.labels[chosen], 2 * chosen + 1)


def test_a_random_choice_of_test_features_is_kept_with_their_examples_whatever_their_size(tmp_path):
    torch.manual_seed(0)
    vectors = 1e6 * torch.randn(5 * EXAMPLES, 7)  # beyond float16
    examples, points = Numbers(len(vectors)), torch.randn(EXAMPLES, 2).numpy()
    chosen = choose_examples(len(vectors), EXAMPLES)
    kept = Features(vectors[chosen], examples.labels[chosen])
    save_features(tmp_path / "kept.npz", kept, examples, points, ["a", "b", "c"])
    kept = load_features(tmp_path / "kept.npz")
    assert kept.features.shape == (EXAMPLES, 7) and kept.classes == ["a", "b", "c"]
    assert kept.index.tolist() == (2 * chosen + 1).tolist() and (kept.map == points.astype("float32")).all()
    assert torch.equal(torch.from_numpy(kept.labels), examples.labels[chosen])
    features = torch.from_numpy(kept.features).float()
    assert torch.cosine_similarity(features, vectors[chosen]).min() > 0.99999
    assert abs(float(features.square().mean()) - 1) < 0.01
    assert (tmp_path / "kept.npz").stat().st_size < 40 * EXAMPLES


def test_what_is_chosen_is_spread_over_all_examples_and_always_the_same():
    chosen = choose_examples(5000, 1000)
    assert torch.equal(chosen, choose_examples(5000, 1000)) and torch.equal(chosen, chosen.unique())
    # Of documents that lie class by class, every class has about its share: 1,000 +- 5 deviations of a random choice.
    assert (torch.bincount(chosen // 1000) - 200).abs().max() < 5 * (1000 * 0.2 * 0.8) ** 0.5
    assert choose_examples(3, 1000).tolist() == [0, 1, 2]


def test_logged_figures_are_curves_and_gaps_are_no_zeros(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,health/std,train/loss\n0,9,,2.5\n0,9,0.5,\n1,19,nan,2.0\n1,19,0.75,\n"
    )
    curves = read_metrics(tmp_path / "metrics.csv")
    assert curves == {"train/loss": [(9, 2.5), (19, 2.0)], "health/std": [(9, 0.5), (19, 0.75)]}
    assert last_values(curves, "health/") == {"health/std": 0.75}
