import torch

from ssl_zoo.parts.whitening import fit_whitening


def test_what_comes_out_has_the_identity_for_covariance_and_leading_directions_come_first():
    generator = torch.Generator().manual_seed(0)
    vectors = 5 + torch.randn(4000, 6, generator=generator) @ torch.diag(torch.tensor([9.0, 0.1, 3.0, 1.0, 0.3, 0.01]))
    whitening = fit_whitening(vectors, 4)
    white = whitening(vectors)
    torch.testing.assert_close(white.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(white.T @ white / 4000, torch.eye(4), atol=1e-4, rtol=0)
    assert whitening.directions.abs().argmax(0).tolist() == [0, 2, 3, 4]


def test_directions_in_which_nothing_varies_stay_empty_where_dividing_would_blow_rounding_errors_up():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.cat([torch.randn(50, 3, generator=generator), torch.full((50, 2), 0.1)], dim=1)
    white = fit_whitening(vectors, 5)(vectors)
    assert white.isfinite().all() and not white[:, 3:].any() and white[:, :3].abs().max() < 5
    assert not fit_whitening(torch.ones(9, 4), 2)(torch.randn(3, 4)).any()
