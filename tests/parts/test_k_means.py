import pytest
import torch
from sklearn.cluster import KMeans

from ssl_zoo.errors import InputError
from ssl_zoo.parts.k_means import _means, k_means
from ssl_zoo.parts.nearest import nearest

KEY = torch.tensor(7)


def groups(count: int = 400, centres: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors around far centres, and the group of each."""
    generator = torch.Generator().manual_seed(seed)
    means = 10 * torch.randn(centres, 6, generator=generator)
    group = torch.arange(count) % centres
    return means[group] + torch.randn(count, 6, generator=generator), group


def cost(vectors: torch.Tensor, centres: torch.Tensor) -> float:
    return float((vectors - centres[nearest(vectors, centres)]).square().sum())


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_lie_apart_are_found_whatever_the_key(seed):
    vectors, group = groups()
    centres = k_means(vectors, 8, torch.tensor(seed))
    codes = nearest(vectors, centres)
    for number in range(8):
        assert len(codes[group == number].unique()) == 1
        torch.testing.assert_close(centres[codes[group == number][0]], vectors[group == number].mean(0))


def test_centres_are_those_of_a_library_that_begins_there():
    vectors = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    start = k_means(vectors, 9, KEY, passes=0)
    assert (start[:, None] == vectors).all(2).any(1).all()  # vectors, all of them
    library = KMeans(9, init=start.numpy(), n_init=1, max_iter=300, tol=0.0).fit(vectors.numpy())
    torch.testing.assert_close(
        k_means(vectors, 9, KEY, passes=300), torch.from_numpy(library.cluster_centers_), atol=1e-4, rtol=1e-4
    )


def test_the_start_spreads_out_as_that_of_the_library_does():
    vectors, _ = groups(centres=30)
    ours = [cost(vectors, k_means(vectors, 30, torch.tensor(seed), passes=0)) for seed in range(10)]
    fitted = [KMeans(30, n_init=1, max_iter=1, random_state=seed).fit(vectors.numpy()) for seed in range(10)]
    theirs = [cost(vectors, torch.from_numpy(each.cluster_centers_)) for each in fitted]
    drawn = [
        cost(vectors, vectors[torch.randperm(400, generator=torch.Generator().manual_seed(seed))[:30]])
        for seed in range(10)
    ]
    # The library makes one pass more than none; what is drawn evenly leaves whole groups out.
    assert sum(ours) < 3 * sum(theirs) < 0.5 * sum(drawn)


def test_the_same_key_gives_the_same_centres_and_another_one_others():
    vectors = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(k_means(vectors, 9, KEY), k_means(vectors, 9, KEY))
    assert not torch.equal(k_means(vectors, 9, KEY), k_means(vectors, 9, KEY + 1))


def test_where_most_vectors_are_the_same_all_others_have_centres_of_their_own():
    vectors = torch.cat([torch.zeros(500, 3), torch.eye(3), -torch.eye(3)])
    assert cost(vectors, k_means(vectors, 7, KEY)) == 0
    same = k_means(torch.ones(50, 3), 7, KEY)  # more clusters than there are different vectors
    assert torch.equal(same, torch.ones(7, 3))


def test_an_empty_cluster_splits_one_of_several_vectors_at_random_which_the_two_then_share():
    vectors = torch.randn(60, 4, generator=torch.Generator().manual_seed(1)) + 3
    vectors[40:] += 20
    vectors[59] -= 90
    codes = torch.tensor([0] * 40 + [1] * 19 + [3])  # of the third nothing is left, the last has one
    found = set()
    for seed in range(20):
        means = _means(vectors, codes, torch.zeros(4, 4), torch.tensor(seed))
        for number in (0, 1, 3):
            torch.testing.assert_close(means[number], vectors[codes == number].mean(0))
        distances = (means[[0, 1, 3]] - means[2]).norm(dim=1)
        split = int(distances.argmin())
        assert 0 < distances[split] < 0.01 * means[2].norm() and split != 2
        shares = nearest(vectors, means)[codes == split].bincount(minlength=4)
        assert shares[2] > 3 and shares[split] > 3
        found.add(split)
    assert found == {0, 1}
    spread = groups(400, 30)[0]
    assert cost(spread, k_means(spread, 30, KEY, mending="split")) < 1.2 * cost(spread, k_means(spread, 30, KEY))


def test_fewer_vectors_than_clusters_are_refused():
    with pytest.raises(InputError, match="There are 5 vectors to make 9 clusters of: set clusters lower"):
        k_means(torch.randn(5, 3), 9, KEY)
