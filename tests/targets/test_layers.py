import pytest
import torch
from torch.nn import functional as F

from ssl_zoo.targets.layers import instance_norm, mean_of_layers


def layers(count: int = 3, places: int = 7) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, places, 5, generator=generator) * (number + 1) + number for number in range(count)]


def test_each_norm_is_torchs_where_nothing_is_padded():
    outputs = layers()
    instance = sum(F.instance_norm(each.transpose(1, 2)).transpose(1, 2) for each in outputs) / 3
    torch.testing.assert_close(mean_of_layers(outputs, None, "instance"), instance)
    torch.testing.assert_close(
        mean_of_layers(outputs, None, "layer"), sum(F.layer_norm(each, (5,)) for each in outputs) / 3
    )
    torch.testing.assert_close(mean_of_layers(outputs, None, "instance_layer"), F.layer_norm(instance, (5,)))


@pytest.mark.parametrize("packed", [False, True])
def test_padding_and_other_documents_are_in_no_statistic(packed):
    vectors = layers(1)[0]
    mask = torch.tensor([[1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 0, 0, 0]])
    if not packed:
        mask = mask > 0
    vectors[1, 4:] = 1e4
    made = instance_norm(vectors, mask)
    assert made.isfinite().all()
    parts = [(0, slice(0, 3)), (0, slice(3, 7)), (1, slice(0, 4))] if packed else [(0, slice(0, 7)), (1, slice(0, 4))]
    for row, part in parts:
        alone = F.instance_norm(vectors[row : row + 1, part].transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(made[row, part], alone[0], atol=1e-5, rtol=1e-4)


def test_a_single_place_is_the_mean_of_itself_and_a_constant_channel_is_zero():
    assert torch.equal(instance_norm(torch.randn(2, 1, 3), None), torch.zeros(2, 1, 3))
    assert torch.equal(
        instance_norm(torch.full((1, 4, 2), 3.0), torch.ones(1, 4, dtype=torch.bool)), torch.zeros(1, 4, 2)
    )


def test_it_computes_in_float32_within_autocast():
    outputs, mask = [each.bfloat16() for each in layers()], torch.tensor([[1] * 7, [1] * 3 + [2] * 4])
    exact = mean_of_layers([each.float() for each in outputs], mask, "instance")
    with torch.autocast("cpu", torch.bfloat16):
        low = mean_of_layers(outputs, mask, "instance")
    assert low.dtype == torch.float32 and torch.equal(low, exact)
