import torch

from ssl_zoo.targets.tokens import next_tokens


def test_next_tokens_are_those_of_the_same_document():
    ids = torch.tensor([[1, 7, 8, 2, 1, 9, 2, 0, 0], [6, 2, 1, 5, 5, 5, 5, 5, 2]])
    packed = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 0, 0], [3, 3, 4, 4, 4, 4, 4, 4, 4]])
    expected = {(0, 1): 7, (0, 2): 8, (0, 3): 2, (0, 5): 9, (0, 6): 2, (1, 1): 2} | {(1, i): 5 for i in range(3, 8)}
    expected[1, 8] = 2
    found, counts = next_tokens(ids, packed)
    assert {(row, i + 1): int(found[row, i]) for row in range(2) for i in range(8) if counts[row, i]} == expected

    found, counts = next_tokens(ids, packed > 0)
    assert torch.equal(found, ids[:, 1:]) and torch.equal(counts, (packed > 0)[:, 1:])
    found, counts = next_tokens(ids, None)
    assert torch.equal(found, ids[:, 1:]) and counts.all()
