import math

import lightning as L
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

import ssl_zoo.methods.vae as vae
from ssl_zoo.batch import Batch
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.decoders.image import ConvDecoder, MLPDecoder
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods.vae import VAE
from ssl_zoo.optim import Optimizer, make_optimizer
from ssl_zoo.randomness import fold_in, normal


@pytest.fixture(scope="module")
def data() -> ImageData:
    data = ImageData()
    data.setup()
    return data


@pytest.fixture(scope="module")
def batch(data) -> Batch:
    return data.train_set.__getitems__(list(range(24)))._replace(labels=None)


def method(likelihood: str = "bernoulli", **settings) -> VAE:
    torch.manual_seed(0)
    return VAE(MLP([128], 1, 8), MLPDecoder(6, [128], 1, 8), likelihood, **settings)


def latents_of(model: VAE, batch: Batch) -> tuple[torch.Tensor, Normal]:
    """The draw that `losses` makes, and the posterior."""
    mean, log_variance = model.posterior(batch)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    return mean + posterior.stddev * normal(fold_in(model.keys(batch), vae.LATENT), 6), posterior


def test_the_loss_is_the_negative_elbo_of_torch_distributions_with_a_bernoulli(batch):
    model = method().eval()
    latents, posterior = latents_of(model, batch)
    images = batch.inputs / 255
    reconstruction = Bernoulli(logits=model.decoder(latents), validate_args=False).log_prob(images).sum((1, 2, 3))
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    terms = model.losses(batch)
    torch.testing.assert_close(terms["reconstruction"], reconstruction.mean())
    torch.testing.assert_close(terms["kl"], kl.mean())
    torch.testing.assert_close(terms["elbo"], (reconstruction - kl).mean())
    torch.testing.assert_close(terms["loss"], -(reconstruction - kl).mean())
    torch.testing.assert_close(terms["bits_per_dim"], -(reconstruction - kl).mean() / 64 / math.log(2))


def test_the_loss_is_the_negative_elbo_of_torch_distributions_with_a_gaussian(batch):
    model = method("gaussian", observation_std=0.2).eval()
    latents, posterior = latents_of(model, batch)
    targets = model.targets(batch.inputs, model.keys(batch))
    reconstruction = Normal(model.decoder(latents), 0.2).log_prob(targets).sum((1, 2, 3))
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    terms = model.losses(batch)
    torch.testing.assert_close(terms["loss"], -(reconstruction - kl).mean())
    bits = -(reconstruction - kl).mean() / 64 / math.log(2) + 8
    torch.testing.assert_close(terms["bits_per_dim"], bits)
    floats = model.losses(batch._replace(inputs=batch.inputs / 255))
    torch.testing.assert_close(floats["bits_per_dim"], -floats["elbo"] / 64 / math.log(2))


def test_beta_weighs_the_kl_in_the_loss_and_nowhere_else(batch):
    one, four = (method(beta=beta).eval().losses(batch) for beta in (1.0, 4.0))
    assert one["kl"] > 0
    torch.testing.assert_close(four["loss"] - one["loss"], 3 * one["kl"])
    for name in ("elbo", "reconstruction", "kl", "bits_per_dim"):
        assert torch.equal(one[name], four[name])


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (1.0, 1.0)])
def test_kl_warm_up_is_a_fraction_of_the_run(batch, monkeypatch, progress, share):
    monkeypatch.setattr(VAE, "progress", progress)
    terms = method(beta=2.0, kl_warmup=0.4).losses(batch)
    torch.testing.assert_close(terms["loss"], 2 * share * terms["kl"] - terms["reconstruction"])


def test_free_bits_replace_the_kl_in_the_loss_and_nowhere_else(batch):
    plain, free = (method(free_bits=nats).eval().losses(batch) for nats in (0.0, 50.0))
    torch.testing.assert_close(free["loss"], 6 * 50.0 - plain["reconstruction"])
    assert torch.equal(free["elbo"], plain["elbo"])


def test_the_kl_does_not_depend_on_the_draw(batch):
    model = method().eval()
    first = model.losses(batch)
    model.noise_seed += 1
    second = model.losses(batch)
    assert torch.equal(first["kl"], second["kl"]) and not torch.equal(first["reconstruction"], second["reconstruction"])


def test_terms_are_sums_over_pixels_so_that_more_pixels_weigh_more(batch):
    small, large = (VAE(MLP([8], 1, size), MLPDecoder(2, [8], 1, size), "bernoulli").eval() for size in (8, 16))
    for model in (small, large):
        torch.nn.init.zeros_(model.decoder.layers[-1].weight)
        torch.nn.init.zeros_(model.decoder.layers[-1].bias)
    bigger = batch._replace(inputs=batch.inputs.repeat(1, 1, 2, 2))
    # Logits of zero cost log 2 a pixel, whatever the image.
    assert float(small.losses(batch)["reconstruction"]) == pytest.approx(-64 * math.log(2), rel=1e-5)
    assert float(large.losses(bigger)["reconstruction"]) == pytest.approx(-256 * math.log(2), rel=1e-5)


def test_dequantised_images_round_down_to_the_integers_with_noise_of_their_own(batch):
    model = method("gaussian")
    targets = model.targets(batch.inputs, model.keys(batch))
    assert targets.min() >= 0 and targets.max() < 1
    # (255 + u) / 256 has 24 bits; the largest u may round up.
    assert ((256 * targets).floor() == batch.inputs).float().mean() > 0.999
    noise = 256 * targets - batch.inputs
    assert 0.45 < noise.mean() < 0.55 and noise.std() == pytest.approx(12**-0.5, abs=0.02)
    assert len({tuple(row.tolist()) for row in noise.flatten(1)}) == len(noise)


def test_training_draws_new_noise_every_step_and_validation_never(batch, monkeypatch):
    model = method("gaussian")
    steps = []
    for step in (1, 2):
        monkeypatch.setattr(VAE, "global_step", step)
        steps.append((model.targets(batch.inputs, model.keys(batch)), latents_of(model, batch)[0]))
    assert not any(torch.equal(*pair) for pair in zip(*steps, strict=True))
    model.eval()
    first = model.losses(batch)
    monkeypatch.setattr(VAE, "global_step", 3)
    assert torch.equal(first["loss"], model.losses(batch)["loss"])


def test_the_learnt_noise_follows_the_errors_in_training_only(batch):
    model = method("gaussian")
    for _ in range(100):
        model.losses(batch)
    latents, targets = latents_of(model, batch)[0], model.targets(batch.inputs, model.keys(batch))
    error = float((model.decoder(latents) - targets).square().mean().sqrt().detach())
    assert float(model.observation_variance.sqrt()) == pytest.approx(error, rel=1e-3)
    model.eval()
    before = model.observation_variance.clone()
    model.losses(batch._replace(inputs=255 - batch.inputs))
    assert torch.equal(model.observation_variance, before)
    fixed = method("gaussian", observation_std=0.1)
    fixed.losses(batch)
    assert float(fixed.observation_variance) == pytest.approx(0.01)


def gradients(model: VAE, batch: Batch, repeats: int, copies: int) -> torch.Tensor:
    """``(repeats, P)`` gradients of the encoder and its head, each of `copies` draws per image."""
    many = Batch(batch.inputs.repeat(copies, 1, 1, 1), None, None, torch.arange(copies * len(batch.index)))
    found = []
    parameters = [*model.encoder.parameters(), *model.posterior_head.parameters()]
    for repeat in range(repeats):
        shifted = many._replace(index=many.index + repeat * len(many.index))
        grads = torch.autograd.grad(model.losses(shifted)["loss"], parameters)
        found.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(found)


def test_both_gradients_agree_in_expectation_and_reparameterization_has_the_lower_variance():
    images = torch.rand(3, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, None, None, torch.arange(3))
    means, variances = [], []
    for gradient in ("reparameterization", "score_function"):
        torch.manual_seed(1)
        model = VAE(MLP([5], 1, 3), MLPDecoder(2, [6], 1, 3), "bernoulli", gradient=gradient).eval()
        # Far from where it starts, so that the reconstruction says something about the code.
        torch.nn.init.normal_(model.decoder.layers[-1].weight, std=2.0)
        found = gradients(model, batch, repeats=150, copies=200)
        means.append(found.mean(0))
        variances.append(found.var(0))
    error = (sum(variances) / 150).sqrt()
    alive = error > 0  # a hidden unit that no image switches on has no gradient at all
    assert alive.float().mean() > 0.5
    assert ((means[0] - means[1]).abs() <= 5 * error).all()
    assert error[alive].max() < 0.2 * means[0].abs().max()
    assert (variances[0][alive] < variances[1][alive]).all()


def test_the_decoder_learns_alike_from_both_gradients(batch):
    found = []
    for gradient in ("reparameterization", "score_function"):
        model = method(gradient=gradient)
        model.losses(batch)["loss"].backward()
        found.append(torch.cat([p.grad.flatten() for p in model.decoder.parameters()]))
    torch.testing.assert_close(*found)


def test_the_log_variance_is_bounded_and_still_has_a_gradient():
    model = method()
    pooled = torch.randn(4, 128)
    with torch.no_grad():
        model.posterior_head.weight.mul_(100)
    mean, log_variance = model.posterior_of(pooled)
    assert log_variance.abs().max() <= 10 and mean.abs().max() > 10
    torch.nn.init.zeros_(model.posterior_head.weight)
    torch.nn.init.constant_(model.posterior_head.bias, 40.0)
    model.posterior_of(pooled)[1].sum().backward()
    assert model.posterior_head.bias.grad[6:].min() > 0


def test_the_importance_bound_rises_with_its_draws_and_is_the_same_in_chunks(batch, monkeypatch):
    model = method().eval()
    bounds = [float(model.importance_bound(batch, samples).mean()) for samples in (1, 10, 200)]
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[0] == pytest.approx(float(model.losses(batch)["elbo"]), rel=0.05)
    whole = model.importance_bound(batch, 30)
    monkeypatch.setattr(vae, "CHUNK", 50)  # two draws of 24 images at a time
    torch.testing.assert_close(model.importance_bound(batch, 30), whole, atol=1e-3, rtol=1e-5)


def test_the_importance_bound_draws_independently_for_every_sample_and_example(batch, monkeypatch):
    model, seen = method().eval(), []
    decode = model.decoder.forward
    monkeypatch.setattr(model.decoder, "forward", lambda latents: seen.append(latents) or decode(latents))
    model.importance_bound(batch, 5)
    mean, log_variance = (each.detach() for each in model.posterior(batch))
    noise = (torch.cat(seen).view(5, 24, 6) - mean) / (0.5 * log_variance).exp()
    assert len(noise.flatten().mul(1e3).round().unique()) > 600  # of 720
    assert abs(float(noise.mean())) < 0.15 and float(noise.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # the data lies in memory
def test_testing_logs_the_bound_and_the_importance_weighted_one(tmp_path):
    settings = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(default_root_dir=tmp_path, enable_checkpointing=False, **settings)
    (found,) = trainer.test(method("gaussian", importance_samples=20), datamodule=ImageData(), verbose=False)
    assert found["test/importance_bound"] > found["test/elbo"] == pytest.approx(-found["test/loss"])
    assert found["test/importance_bits_per_dim"] < found["test/bits_per_dim"]


def train(model: VAE, data: ImageData) -> VAE:
    optimizer = make_optimizer(Optimizer("adamw", 3e-3, weight_decay=0.0), model)
    model.train()
    for step in range(300):
        start = step * 128 % (len(data.train_set) - 128)
        batch = data.train_set.__getitems__(list(range(start, start + 128)))
        optimizer.zero_grad()
        model.losses(batch._replace(labels=None, index=batch.index + 10_000 * step))["loss"].backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_it_learns_digits_and_a_version_whose_decoder_gets_noise_does_not(data, monkeypatch, likelihood):
    test = data.test_set.__getitems__(list(range(len(data.test_set))))
    whole = train(method(likelihood), data).losses(test)
    monkeypatch.setattr(VAE, "posterior_of", lambda self, pooled: (torch.zeros(len(pooled), 6),) * 2)
    broken = train(method(likelihood), data).losses(test)
    assert float(broken["kl"]) == 0 < float(whole["kl"])
    assert float(whole["elbo"]) > float(broken["elbo"]) + 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("kind", ["ResNet", "ViT"])
def test_every_encoder_and_any_number_of_channels(kind, likelihood, channels):
    torch.manual_seed(0)
    encoder = ResNet(10, 8, channels=channels) if kind == "ResNet" else ViT(12, 4, 16, 1, 2, channels)
    model = VAE(encoder, ConvDecoder(5, 4, channels, 12), likelihood)
    batch = Batch(torch.randint(256, (6, channels, 12, 12), dtype=torch.uint8), None, None, torch.arange(6))
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.losses(batch)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in terms.values())
    terms["loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    model.eval()
    assert model.encode(batch).pooled.shape == (6, encoder.dim)
    images = model.decode(torch.randn(3, 5))
    assert images.shape == (3, channels, 12, 12) and 0 <= images.min() and images.max() <= 1


def test_wrong_settings_say_what_to_change(batch):
    with pytest.raises(InputError, match="no observation_std"):
        method("bernoulli", observation_std=0.1)
    with pytest.raises(InputError, match="above 0"):
        method("gaussian", observation_std=0.0)
    for name, value in {"beta": -1.0, "kl_warmup": 1.5, "free_bits": -0.1, "importance_samples": -1}.items():
        with pytest.raises(InputError, match=name):
            method(**{name: value})
    wrong = VAE(MLP([8], 1, 8), MLPDecoder(2, [8], 3, 8))
    with pytest.raises(InputError, match="makes images of 3 x 8 x 8 but the data has 1 x 8 x 8"):
        wrong.losses(batch)
