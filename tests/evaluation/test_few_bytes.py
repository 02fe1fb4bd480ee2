import pytest
import torch

from ssl_zoo.errors import InputError
from ssl_zoo.evaluation.few_bytes import in_few_bytes
from ssl_zoo.probes.weighted_layers import fit_weighted


def test_features_are_kept_in_float16_only_where_it_holds_them():
    features = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(0))
    assert {each.dtype for each in in_few_bytes(features)} == {torch.float16}
    assert [each.shape for each in in_few_bytes(features[:, :0])] == [(0, 8)] * 2
    for factor in (1e5, 1e30, 1e-6):
        large = features * torch.tensor([1.0, factor])[:, None, None]
        kept = torch.stack(in_few_bytes(large))
        assert torch.equal(kept.float(), large)
        joined = torch.cat([torch.stack(in_few_bytes(features)), kept], 1)
        assert joined.isfinite().all() and torch.equal(joined[:, 50:].float(), large)
    for wrong in (torch.inf, torch.nan):
        with pytest.raises(InputError, match="not finite"):
            in_few_bytes(features.index_fill(1, torch.tensor([3]), wrong))


def test_layers_of_unlike_width_are_kept_side_by_side():
    layers = [torch.ones(3, 4), torch.full((3, 7), 1e6)]
    assert [(each.dtype, each.shape) for each in in_few_bytes(layers)] == [
        (torch.float32, (3, 4)), (torch.float32, (3, 7))
    ]  # fmt: skip


def test_a_probe_of_layers_with_numbers_beyond_float16_predicts_as_one_of_small_numbers():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (400,), generator=generator)
    features = (torch.eye(4)[labels] + 0.1 * torch.randn(400, 4, generator=generator))[None]
    for factor in (1.0, 1e6):
        kept = torch.stack(in_few_bytes(factor * features))
        probe = fit_weighted(kept[:, :200], labels[:200], (kept[:, 200:300], labels[200:300]), 4)
        assert (probe.predict(kept[:, 300:]) == labels[300:]).float().mean() > 0.95
