"""VQ-VAE and VQ-VAE-2 against plain loops, and a toy that only a model of its codes can draw."""

import math
from functools import cache

import pytest
import torch
from torch.distributions import Bernoulli, Normal
from torch.nn import functional as F

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_vit import AudioViT
from ssl_zoo.encoders.image import ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods import vqvae
from ssl_zoo.methods.vqvae import VQVAE
from ssl_zoo.methods.vqvae2 import VQVAE2
from ssl_zoo.objectives.language_modeling import token_nats
from ssl_zoo.objectives.pixels import pixel_targets
from ssl_zoo.randomness import fold_in

SIDE, IMAGES = 14, 5
SMALL = {"entries": 6, "code_dim": 4, "decoder_dim": 8, "decoder_depth": 1, "prior_dim": 16, "prior_depth": 1}


def make(kind: type[VQVAE] = VQVAE, **settings) -> VQVAE:
    torch.manual_seed(0)
    encoder = ViT(12, 4, 16, 1, 2, 1, "mean")
    return kind(encoder, **{**SMALL, "prior_heads": 2, "likelihood": "bernoulli", **settings})


def used(model: VQVAE) -> VQVAE:
    """With entries of the size of what becomes codes."""
    for part in model.quantizers:
        part.codebook.normal_()
        part.sums.copy_(part.codebook)
        part.idle.zero_()
    return model


def images(count: int = IMAGES) -> Batch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return Batch(pixels, None, None, torch.arange(5, 5 + count))


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_loss_is_that_of_plain_loops(likelihood):
    model, batch = used(make(likelihood=likelihood)).eval(), images()
    part = model.quantizers[0]
    targets = pixel_targets(batch.inputs, fold_in(model.keys(batch), vqvae.DEQUANTIZATION), likelihood)[:, :, :12, :12]
    sequence = model.encoder(batch.inputs).sequence
    reconstruction = prior = distance = 0.0
    for image in range(IMAGES):
        codes, entries = [], torch.zeros(4, 3, 3)
        for place in range(9):
            z = part.projection(sequence[image, place])
            codes.append(int((part.codebook - z).norm(dim=1).argmin()))
            entries[:, place // 3, place % 3] = part.codebook[codes[-1]]
            distance += float((z - part.codebook[codes[-1]]).square().mean()) / 9 / IMAGES
        decoded = model.map_decoder(entries[None])[0]
        odds = Bernoulli(logits=decoded, validate_args=False) if likelihood == "bernoulli" else Normal(decoded, 0.3)
        reconstruction += float(odds.log_prob(targets[image]).sum()) / IMAGES
        for place in range(9):
            begun = torch.tensor([[*codes[:place], 0]])
            prior += float(model.prior([begun], [(3, 3)])[0][0, place].log_softmax(0)[codes[place]]) / IMAGES
    terms = model.losses(batch)
    expected = -reconstruction / 144 + 0.25 * distance - prior / 9
    assert float(terms["loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["reconstruction"]) == pytest.approx(reconstruction, rel=1e-5)
    assert float(terms["code_distance"]) == pytest.approx(distance, rel=1e-5)
    bits = -(reconstruction + prior) / 144 / math.log(2) + (8 if likelihood == "gaussian" else 0)
    assert float(terms["bits_per_dim"]) == pytest.approx(bits, rel=1e-5)
    assert float(terms["prior_bits"]) == pytest.approx(-prior / 9 / math.log(2), rel=1e-5)


@torch.no_grad()
def test_two_grids_are_quantized_and_decoded_as_in_algorithm_1():
    model, batch = used(make(VQVAE2)).eval(), images()
    coded = model.quantize(batch)
    assert coded.grids == [(2, 2), (3, 3)] and [each.shape for each in coded.codes] == [(5, 4), (5, 9)]
    found = model.encoder(batch.inputs).sequence.transpose(1, 2).view(5, 16, 3, 3)
    halved = model.down(F.pad(found, (0, 1, 0, 1)))
    top, bottom = model.quantizers
    distances, entries = 0.0, torch.zeros(5, 4, 2, 2)
    for image in range(5):
        for row in range(2):
            for column in range(2):
                z = top.projection(halved[image, :, row, column])
                code = int((top.codebook - z).norm(dim=1).argmin())
                assert int(coded.codes[0][image, 2 * row + column]) == code
                entries[image, :, row, column] = top.codebook[code]
                distances += float((z - top.codebook[code]).square().mean()) / 4 / 5
    above, fine = model.up(entries)[:, :, :3, :3], torch.zeros(5, 4, 3, 3)
    for image in range(5):
        for place in range(9):
            row, column = place // 3, place % 3
            z = bottom.projection(torch.cat([found[image, :, row, column], above[image, :, row, column]]))
            code = int((bottom.codebook - z).norm(dim=1).argmin())
            assert int(coded.codes[1][image, place]) == code
            fine[image, :, row, column] = bottom.codebook[code]
            distances += float((z - bottom.codebook[code]).square().mean()) / 9 / 5
    expected = torch.cat([fine, model.coarse(entries)[:, :, :3, :3]], dim=1)
    torch.testing.assert_close(coded.map, expected)
    torch.testing.assert_close(model.map_of(coded.codes, coded.grids), expected)
    assert float(coded.penalty) == pytest.approx(distances, rel=1e-5)


@pytest.mark.parametrize("kind", [VQVAE, VQVAE2])
def test_codes_pass_no_gradient_on_and_entries_have_none(kind):
    model, batch = used(make(kind)).eval(), images()
    model.code_nats(model.quantize(batch)).sum().backward()
    with_gradient = {name.split(".")[0] for name, each in model.named_parameters() if each.grad is not None}
    assert with_gradient == {"prior"}
    assert not [name for name, _ in model.named_parameters() if "codebook" in name]
    model.zero_grad()
    model.losses(batch)["loss"].backward()
    without = [name for name, each in model.named_parameters() if each.grad is None]
    assert without == [name for name in without if "pooler" in name]


@torch.no_grad()
@pytest.mark.parametrize("kind", [VQVAE, VQVAE2])
def test_what_is_drawn_follows_the_priors_own_odds_and_depends_on_the_key_alone(kind):
    model = used(make(kind)).eval()
    for head in model.prior.heads:
        head.weight.mul_(3)
    seen, decode = [], model.decode
    model.decode = lambda codes, grids: seen.append(codes) or decode(codes, grids)
    grids, keys = ([(2, 2)] * len(model.quantizers)), torch.arange(900) * 7919 + 3
    drawn = model.draw(grids, keys)
    assert drawn.shape == (900, 1, 8, 8) and drawn.min() >= 0 and drawn.max() <= 1
    codes = seen.pop()
    odds = model.prior(codes, grids)[0][0, 0].softmax(0)
    counts = torch.bincount(codes[0][:, 0], minlength=6) / 900
    assert ((counts - odds).abs() < 5 * (odds * (1 - odds) / 900).sqrt() + 1e-3).all() and odds.max() < 0.99
    torch.testing.assert_close(model.draw(grids, keys[3:9]), drawn[3:9])
    model.temperature = 0.0
    assert torch.equal(model.draw(grids, keys[:1]), model.draw(grids, keys[1:2]))


SHAPES = torch.randint(0, 2, (6, 1, 12, 12), generator=torch.Generator().manual_seed(3)).float()
SHAPES = F.avg_pool2d(F.interpolate(SHAPES, scale_factor=4.0), 4)


def shapes(count: int, seed: int) -> Batch:
    """Images of six patterns, each of 9 patches: one code of the first patch decides all others."""
    which = torch.randint(0, 6, (count,), generator=torch.Generator().manual_seed(seed))
    return Batch((255 * SHAPES[which]).to(torch.uint8), None, None, seed * count + torch.arange(count))


class Blind(VQVAE):
    """A slip: the prior predicts every code without those before it."""

    def code_nats(self, coded):
        (logits,) = self.prior([torch.zeros_like(coded.codes[0])], coded.grids)
        return token_nats(logits, coded.codes[0])


@cache
def learnt(kind: type[VQVAE]) -> tuple[VQVAE, dict[str, float]]:
    sizes = {"entries": 24, "code_dim": 8, "decoder_dim": 16, "prior_dim": 32, "patience": 10, "decay": 0.9}
    model = make(kind, **sizes).train()
    # Thirteen codes in place of nine take longer.
    rate, steps = (8e-3, 160) if kind is not VQVAE2 else (4e-3, 220)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95))
    for step in range(steps):
        optimizer.zero_grad()
        model.losses(shapes(16, step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        terms = model.eval().losses(shapes(200, 1000))
    return model, {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize("kind", [VQVAE, VQVAE2])
def test_it_learns_codes_that_rebuild_images_and_a_prior_that_draws_them(kind):
    model, terms = learnt(kind)
    assert terms["reconstruction"] / 144 > -0.1  # nats a pixel; 0.69 without a code
    batch = shapes(12, 2000)
    pictures = model.pictures(batch)
    rows, count, names = pictures["reconstructions"]
    assert count == 12 and names == ["inputs", "reconstructions"]
    true, made = rows.chunk(2)
    assert torch.equal(true, batch.inputs / 255) and (true - made).abs().mean() < 0.1
    samples, row = pictures["samples"]
    assert row == 8 and samples.shape == (64, 1, 12, 12)
    nearest = (samples[:, None] - SHAPES).abs().mean((2, 3, 4)).min(1)
    assert (nearest.values < 0.15).float().mean() > 0.6 and len(set(nearest.indices.tolist())) >= 4


def test_a_prior_that_sees_no_code_before_finds_them_dear():
    least = math.log2(6) / 9  # the first code is a choice among six, all others follow from it
    assert least - 0.02 < learnt(VQVAE)[1]["prior_bits"] < least + 0.2
    assert learnt(Blind)[1]["prior_bits"] > least + 1.5


def test_encoders_without_patches_of_images_are_refused():
    with pytest.raises(InputError, match="VQVAE has a code for every patch of an image, and ResNet has no patches"):
        VQVAE(ResNet(10, 8))
    with pytest.raises(InputError, match="VQVAE2 has a code for every patch of an image, and AudioViT reads"):
        VQVAE2(AudioViT(**AudioViT.tiny()))
    with pytest.raises(InputError, match=r"commitment is -1\.0; give a number of at least 0"):
        make(commitment=-1.0)
