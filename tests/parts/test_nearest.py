import torch

from ssl_zoo.parts import nearest as module
from ssl_zoo.parts.nearest import nearest


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_entry_at_the_smallest_distance_one_vector_and_one_entry_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 50)  # seven vectors at a time
    x, entries = vectors(3, 11, 5), 2 * vectors(7, 5, seed=1)
    found = nearest(x, entries)
    assert found.shape == (3, 11) and found.dtype == torch.int64
    for row in range(3):
        for place in range(11):
            distances = [float((x[row, place] - entry).norm()) for entry in entries]
            assert found[row, place] == distances.index(min(distances))


def test_lengths_of_entries_count_and_of_equal_ones_the_first_is_taken():
    entries = torch.tensor([[10.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    # The largest product alone would be that with the longest entry.
    assert nearest(torch.tensor([[2.0, 0.0], [8.0, 1.0], [-1.0, 0.0]]), entries).tolist() == [1, 0, 3]


def test_codes_are_the_same_in_mixed_precision_and_have_no_gradient():
    x, entries = vectors(200, 16).requires_grad_(), vectors(512, 16, seed=1)
    exact = nearest(x, entries)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(x, entries), exact)
    assert not exact.requires_grad
