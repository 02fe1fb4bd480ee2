"""The small networks between an encoder and a loss."""

import pytest

from ssl_zoo.errors import InputError
from ssl_zoo.parts.heads import mlp


@pytest.mark.parametrize("sizes", [(8, 0, 4), (8, 16, 0), (8, -2)])
def test_a_head_has_a_width(sizes):
    with pytest.raises(InputError, match="give hidden widths and sizes of at least 1"):
        mlp(*sizes)
