import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.errors import InputError


def test_a_field_that_is_missing_is_named_with_what_there_is():
    batch = Batch(torch.zeros(2, 3), None, None, torch.arange(2), {"time": torch.ones(2)})
    assert torch.equal(batch.field("time", "CPC"), torch.ones(2))
    with pytest.raises(InputError, match=r"^CPC needs the field language of its batches, and this data gives time: "):
        batch.field("language", "CPC")
    with pytest.raises(InputError, match="gives none"):
        batch._replace(fields=None).field("time", "CPC")
