"""Context from above looks up and sideways, and never down."""

import torch

from ssl_zoo.parts.rows_above import RowsAbove


def test_a_place_knows_its_own_row_and_those_above_it_and_none_below():
    torch.manual_seed(0)
    context, rows, columns = RowsAbove(4, 8, blocks=2), 5, 6
    vectors = torch.randn(1, rows, columns, 4, requires_grad=True)
    for row in range(rows):
        for column in range(columns):
            (gradient,) = torch.autograd.grad(context(vectors)[0, row, column].sum(), vectors)
            seen = gradient[0].abs().sum(-1) > 0
            assert not seen[row + 1 :].any() and seen[row, column]
            # two blocks, two rows up, and a column to either side with each
            reach = [column - 2 <= other <= column + 2 for other in range(columns)]
            assert seen[row].tolist() == reach and not seen[: max(0, row - 2)].any()
            assert row < 2 or seen[row - 2].tolist() == reach


@torch.no_grad()
def test_it_equals_plain_loops():
    torch.manual_seed(0)
    context, vectors = RowsAbove(3, 5, blocks=1), torch.randn(2, 3, 4, 3)
    (narrow, _, _, wide, _, last) = context.blocks[0]
    found = context(vectors)
    for image in range(2):
        for row in range(3):
            for column in range(4):
                total = wide.bias.clone()
                for up in (0, 1):
                    for side in (0, 1, 2):
                        place = (row - 1 + up, column - 1 + side)
                        if 0 <= place[0] and 0 <= place[1] < 4:
                            inner = narrow.weight[:, :, 0, 0] @ vectors[image, *place] + narrow.bias
                            total += wide.weight[:, :, up, side] @ inner.clamp(min=0)
                expected = vectors[image, row, column] + last.weight[:, :, 0, 0] @ total.clamp(min=0) + last.bias
                torch.testing.assert_close(found[image, row, column], expected, atol=1e-5, rtol=1e-5)
