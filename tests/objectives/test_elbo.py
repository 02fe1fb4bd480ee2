"""Every part of the bound against torch.distributions, a model with a known likelihood, or arithmetic by hand."""

import math
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from ssl_zoo.objectives import elbo
from tests.two_processes import in_group


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_kl_is_that_of_torch_distributions():
    mean, log_variance = draws(7, 5), draws(7, 5, seed=1)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(elbo.kl_to_standard_normal(mean, log_variance), expected, atol=1e-6, rtol=1e-5)


def test_the_kl_is_never_negative_even_next_to_the_prior():
    near = torch.linspace(-1e-3, 1e-3, 1001)[None]
    assert elbo.kl_to_standard_normal(torch.zeros_like(near), near).min() >= 0


def test_the_kl_is_exact_and_not_a_sample():
    mean, log_variance = draws(3, 4), draws(3, 4, seed=1)
    assert torch.equal(*(elbo.kl_to_standard_normal(mean, log_variance) for _ in range(2)))


def test_the_bernoulli_likelihood_is_that_of_torch_distributions_summed_over_pixels():
    logits = 5 * draws(4, 3, 6, 6)
    for images in (draws(4, 3, 6, 6, seed=1).sigmoid(), draws(4, 3, 6, 6, seed=1).gt(0).float()):
        expected = Bernoulli(logits=logits, validate_args=False).log_prob(images).sum((1, 2, 3))
        torch.testing.assert_close(elbo.bernoulli_log_likelihood(images, logits), expected, atol=1e-3, rtol=1e-5)


def test_the_bernoulli_likelihood_survives_extreme_logits():
    found = elbo.bernoulli_log_likelihood(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[200.0, -200.0]] * 2))
    assert found.tolist() == [0.0, -400.0]


@pytest.mark.parametrize("std", [0.05, 1.0, 3.0])
def test_the_gaussian_likelihood_has_its_constants(std):
    images, mean = draws(4, 1, 6, 6), draws(4, 1, 6, 6, seed=1)
    expected = Normal(mean, std).log_prob(images).sum((1, 2, 3))
    for variance in (std**2, torch.tensor(std**2)):
        torch.testing.assert_close(elbo.gaussian_log_likelihood(images, mean, variance), expected, rtol=1e-5, atol=1e-3)


def test_autocast_takes_no_digits_away():
    images, mean, log_variance = draws(4, 1, 20, 20).sigmoid(), draws(4, 1, 20, 20, seed=1), draws(4, 8, seed=2)

    def everything() -> torch.Tensor:
        return torch.stack(
            [
                elbo.bernoulli_log_likelihood(images, mean),
                elbo.gaussian_log_likelihood(images, mean, 0.01),
                elbo.kl_to_standard_normal(log_variance, log_variance).sum(1),
                elbo.posterior_log_density(log_variance + 1, log_variance, log_variance),
                elbo.prior_log_density(log_variance),
            ]
        )

    exact = everything()
    with torch.autocast("cpu", torch.bfloat16):
        low = everything()
    assert low.dtype == torch.float32 and torch.equal(low, exact)


def test_log_densities_of_the_code_are_those_of_torch_distributions():
    mean, log_variance, latents = draws(6, 3), draws(6, 3, seed=1), draws(6, 3, seed=2)
    expected = Normal(mean, (0.5 * log_variance).exp()).log_prob(latents).sum(1)
    torch.testing.assert_close(elbo.posterior_log_density(latents, mean, log_variance), expected)
    torch.testing.assert_close(elbo.prior_log_density(latents), Normal(0.0, 1.0).log_prob(latents).sum(1))


def linear_gaussian() -> tuple[torch.Tensor, torch.Tensor, float, torch.Tensor]:
    """Probabilistic PCA, x = W z + noise: loadings ``(5, 2)``, images ``(8, 5)``, noise variance and exact log p(x)."""
    loadings, variance = draws(5, 2), 0.3
    images = draws(8, 2, seed=1) @ loadings.T + variance**0.5 * draws(8, 5, seed=2)
    known = MultivariateNormal(torch.zeros(5), loadings @ loadings.T + variance * torch.eye(5)).log_prob(images)
    return loadings, images, variance, known


def log_weights(mean, log_variance, samples: int, seed: int = 3) -> torch.Tensor:
    """``(K, 8)`` importance weights of the linear-Gaussian model for a diagonal posterior."""
    loadings, images, variance, _ = linear_gaussian()
    latents = mean + (0.5 * log_variance).exp() * draws(samples, *mean.shape, seed=seed)
    repeated, flat = images.expand(samples, -1, -1).flatten(0, 1), latents.flatten(0, 1)
    joint = elbo.gaussian_log_likelihood(repeated, flat @ loadings.T, variance) + elbo.prior_log_density(flat)
    own = [each.expand_as(latents).flatten(0, 1) for each in (mean, log_variance)]
    return (joint - elbo.posterior_log_density(flat, *own)).view(samples, -1)


def exact_posterior() -> tuple[torch.Tensor, torch.Tensor]:
    """Mean ``(8, 2)`` and covariance ``(2, 2)`` of p(z | x)."""
    loadings, images, variance, _ = linear_gaussian()
    covariance = torch.linalg.inv(torch.eye(2) + loadings.T @ loadings / variance)
    return images @ loadings @ covariance / variance, covariance


def test_the_elbo_of_the_exact_posterior_is_the_log_likelihood():
    # Rotating the code makes the posterior's covariance diagonal and leaves the model as it is.
    loadings, images, variance, known = linear_gaussian()
    mean, covariance = exact_posterior()
    eigenvalues, rotation = torch.linalg.eigh(covariance)
    mean, log_variance = mean @ rotation, eigenvalues.log().expand(8, 2)
    # E_q[log p(x | z)] has a closed form here: the error at the mean, and what the spread of z adds to it.
    spread = ((loadings @ rotation).square() * eigenvalues).sum() / (2 * variance)
    reconstruction = elbo.gaussian_log_likelihood(images, mean @ (loadings @ rotation).T, variance) - spread
    bound = reconstruction - elbo.kl_to_standard_normal(mean, log_variance).sum(1)
    torch.testing.assert_close(bound, known, atol=1e-4, rtol=1e-4)


def test_the_importance_bound_rises_with_the_number_of_draws_to_the_known_log_likelihood():
    *_, known = linear_gaussian()
    mean = exact_posterior()[0] + 0.1  # neither in the right place nor of the right shape
    log_variance = torch.full((8, 2), -1.5)
    weights = log_weights(mean, log_variance, 60_000)
    bounds = {k: elbo.importance_bound(weights.view(k, -1)).view(-1, 8) for k in (1, 5, 25, 60_000)}
    rising = [float(bounds[k].mean()) for k in (1, 5, 25, 60_000)]
    errors = [float(bounds[k].mean(1).std() / len(bounds[k]) ** 0.5) for k in (1, 5, 25)]
    assert all(b - a > 5 * e for (a, b), e in zip(pairwise(rising), errors, strict=True))
    # The relative variance of the mean weight gives the error of its log.
    relative = (weights - bounds[60_000]).exp().std(0) / 60_000**0.5
    assert relative.max() < 0.05 and ((bounds[60_000][0] - known).abs() < 5 * relative).all()
    assert ((bounds[1].mean(0) - known) < 0).all()


def test_free_bits_by_brute_force():
    kl = elbo.kl_to_standard_normal(0.7 * draws(16, 6), 0.3 * draws(16, 6, seed=1))
    means = [sum(float(kl[b, d]) for b in range(16)) / 16 for d in range(6)]
    nats = sorted(means)[3]
    assert float(elbo.free_bits(kl, nats)) == pytest.approx(sum(max(nats, mean) for mean in means), rel=1e-5)
    assert float(elbo.free_bits(kl, 0.0)) == pytest.approx(sum(means), rel=1e-5)


def test_free_bits_do_not_press_on_a_dimension_below_the_limit():
    mean = torch.tensor([[2.0, 0.1], [2.0, -0.1]], requires_grad=True)
    elbo.free_bits(elbo.kl_to_standard_normal(mean, torch.zeros(2, 2)), 0.5).backward()
    torch.testing.assert_close(mean.grad, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


def global_terms(share: slice) -> dict[str, torch.Tensor]:
    """Values and gradients of what looks at the global batch, for this part of its eight examples."""
    mean, noise = draws(8, 3)[share].requires_grad_(), draws(8, 3, seed=1)[share]
    free = elbo.free_bits(elbo.kl_to_standard_normal(mean, torch.zeros_like(mean)), 0.4)
    (of_free,) = torch.autograd.grad(free, mean)
    latents = (mean + noise).detach()
    density = elbo.posterior_log_density(latents, mean, torch.zeros_like(mean))
    surrogate = elbo.score_function_surrogate(-latents.square().sum(1), density).mean()
    (of_surrogate,) = torch.autograd.grad(surrogate, mean)
    return {"free": free.detach(), "of_free": of_free, "surrogate": surrogate.detach(), "of_surrogate": of_surrogate}


def terms_of_this_rank() -> dict[str, torch.Tensor]:
    return global_terms(slice(4 * dist.get_rank(), 4 * dist.get_rank() + 4))


def test_two_processes_share_free_bits_and_the_baseline(two_processes):
    one, two = global_terms(slice(0, 8)), two_processes(in_group, terms_of_this_rank)
    for name in ("free", "surrogate"):
        torch.testing.assert_close((two[0][name] + two[1][name]) / 2, one[name])
    for name in ("of_free", "of_surrogate"):  # DDP averages over ranks
        torch.testing.assert_close(torch.cat([two[0][name], two[1][name]]) / 2, one[name], atol=1e-6, rtol=1e-5)
    # The test could not see the difference were each rank on its own side of the limit.
    kl = elbo.kl_to_standard_normal(draws(8, 3), torch.zeros(8, 3))
    local = [elbo.free_bits(half, 0.4) for half in kl.chunk(2)]
    assert abs(float(sum(local) / 2 - one["free"])) > 1e-3


def test_the_score_function_gradient_agrees_with_the_other_in_expectation_and_varies_more():
    # f depends on z alone; q has one mean and one log variance of four examples.
    repeats = 20_000
    mean, log_variance = draws(4, 2), 0.3 * draws(4, 2, seed=1)
    noise = draws(repeats, 4, 2, seed=2)

    def gradient(score: bool) -> torch.Tensor:
        """``(repeats, 16)``, every repeat's gradient of the mean over its four examples."""
        parameters = torch.stack([mean, log_variance]).expand(repeats, 2, 4, 2).clone().requires_grad_()
        location, spread = parameters[:, 0], parameters[:, 1]
        latents = location + (0.5 * spread).exp() * noise
        if not score:
            total = -(latents - 1).square().sum((1, 2)).sum() / 4
        else:
            fixed = latents.detach()
            density = [elbo.posterior_log_density(fixed[:, i], location[:, i], spread[:, i]) for i in range(4)]
            rewards = -(fixed - 1).square().sum(2)
            total = torch.vmap(elbo.score_function_surrogate)(rewards, torch.stack(density, 1)).mean(1).sum()
        return torch.autograd.grad(total, parameters)[0].flatten(1)

    path, score = gradient(score=False), gradient(score=True)
    error = (path.var(0) / repeats + score.var(0) / repeats).sqrt()
    assert ((path.mean(0) - score.mean(0)).abs() < 5 * error).all() and (error < 0.05).all()
    assert (path.var(0) < score.var(0)).all()


def test_the_baseline_takes_variance_away():
    rewards, density = 100 + draws(5), draws(5, seed=1).requires_grad_()
    (plain,) = torch.autograd.grad((rewards * density).sum(), density)
    (reduced,) = torch.autograd.grad(elbo.score_function_surrogate(rewards, density).sum(), density)
    by_hand = [float(rewards[i]) - sum(float(rewards[j]) for j in range(5) if j != i) / 4 for i in range(5)]
    torch.testing.assert_close(reduced, torch.tensor(by_hand), atol=1e-3, rtol=1e-3)
    assert reduced.abs().max() < 0.1 * plain.abs().min()


def test_a_batch_of_one_has_no_baseline():
    density = torch.zeros(1, requires_grad=True)
    elbo.score_function_surrogate(torch.tensor([3.0]), density).sum().backward()
    assert float(density.grad) == 3.0


def test_bits_per_dimension_of_distributions_whose_code_length_is_known():
    # A fair coin for each of 10 pixels costs one bit a pixel.
    coins = elbo.bernoulli_log_likelihood(torch.tensor([[0.0, 1.0] * 5]), torch.zeros(1, 10))
    assert float(elbo.bits_per_dim(coins, 10)) == pytest.approx(1.0)
    # A density of 1 on [0, 1] gives each of 256 levels the same chance: eight bits.
    assert float(elbo.bits_per_dim(torch.zeros(()), 10, levels=256)) == 8.0
    # A Gaussian much wider than a grey level: its differential entropy, counted in grey levels.
    std = 0.1
    noise = std * draws(1, 100_000)
    nats = elbo.gaussian_log_likelihood(noise, torch.zeros_like(noise), std**2)
    entropy = math.log2(256 * std * math.sqrt(2 * math.pi * math.e))
    assert float(elbo.bits_per_dim(nats[0], 100_000, levels=256)) == pytest.approx(entropy, abs=0.01)


def test_dequantised_bits_bound_the_code_length_of_the_integers():
    # Levels 0 to 255 with a discretised Gaussian: its entropy is what no code can beat, the density's bits lie above.
    std, centre = 6 / 256, 0.5
    edges = torch.arange(257, dtype=torch.float64) / 256
    chance = Normal(centre, std).cdf(edges).diff()
    chance = chance / chance.sum()
    entropy = float(-(chance * chance.clamp_min(1e-300).log2()).sum())
    generator = torch.Generator().manual_seed(0)
    levels = torch.multinomial(chance, 200_000, replacement=True, generator=generator)
    dequantised = (levels + torch.rand(200_000, generator=generator))[None].float() / 256
    nats = elbo.gaussian_log_likelihood(dequantised, torch.full_like(dequantised, centre), std**2)
    found = float(elbo.bits_per_dim(nats[0], 200_000, levels=256))
    assert entropy - 0.01 < found < entropy + 0.03


def test_active_units_are_those_whose_mean_varies():
    means = draws(1000, 4) * torch.tensor([1.0, 0.2, 0.05, 0.0]) + torch.tensor([0.0, 5.0, 5.0, 5.0])
    assert float(elbo.active_units(means)) == 2
