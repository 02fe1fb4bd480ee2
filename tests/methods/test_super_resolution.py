"""Super-resolution against plain loops, and a toy whose details follow from what is left of them."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import peak_signal_noise_ratio

from ssl_zoo.batch import Batch
from ssl_zoo.encoders.audio_resnet import AudioResNet
from ssl_zoo.encoders.image import MLP, ResNet, ViT
from ssl_zoo.errors import InputError
from ssl_zoo.methods.super_resolution import SuperResolution, psnr


def batch(images: Tensor) -> Batch:
    return Batch(images, None, None, torch.arange(len(images)))


def make(kind: type[SuperResolution] = SuperResolution, factor: int = 4, **settings) -> SuperResolution:
    torch.manual_seed(0)
    return kind(ViT(8, 4, 16, 1, 2, 2, "mean"), factor=factor, decoder_dim=16, decoder_depth=1, **settings)


@torch.no_grad()
@pytest.mark.parametrize("factor", [2, 4])
def test_the_loss_by_plain_loops(factor):
    model, images = make(factor=factor).eval(), torch.rand(3, 2, 8, 8)
    errors, plain, ratios = [], [], []
    for image in images:
        small = torch.zeros(2, 8 // factor, 8 // factor)
        for row in range(8 // factor):
            for column in range(8 // factor):
                part = image[:, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
                small[:, row, column] = part.mean((1, 2))
        large = F.interpolate(small[None], (8, 8), mode="bicubic")
        places = model.encoder(large).sequence[0].T.reshape(1, 16, 2, 2)
        made = (large + model.map_decoder(places))[0]
        errors += [abs(float(one - other)) for one, other in zip(made.flatten(), image.flatten(), strict=True)]
        plain += [abs(float(one - other)) for one, other in zip(large.flatten(), image.flatten(), strict=True)]
        ratios.append(float(peak_signal_noise_ratio(made.clamp(0, 1), image, data_range=1.0)))
    terms = model.losses(batch(images))
    assert float(terms["loss"]) == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert float(terms["of_bicubic"]) == pytest.approx(sum(errors) / sum(plain), rel=1e-5)
    assert float(terms["psnr"]) == pytest.approx(sum(ratios) / 3, rel=1e-5)
    assert float(psnr(images, images)) == pytest.approx(80)


@torch.no_grad()
def test_the_encoder_sees_no_detail():
    model, images = make().eval(), torch.rand(2, 2, 8, 8)
    detail = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4) * 0.1
    torch.testing.assert_close(model.coarse(images + detail), model.coarse(images))
    assert (model.coarse(images) - images).abs().mean() > 0.1
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.losses(batch(images))
    model.pictures(batch(images))
    assert all(torch.equal(each, model.coarse(images)) for each in seen) and len(seen) == 2


KINDS = torch.randint(0, 2, (4, 2, 8, 8), generator=torch.Generator().manual_seed(2)).float()


def drawn(count: int, seed: int) -> Batch:
    """Images of four kinds, each as bright as its own and with its own details."""
    which = torch.randint(0, 4, (count,), generator=torch.Generator().manual_seed(seed))
    return batch((255 * KINDS[which]).to(torch.uint8))


class Detached(SuperResolution):
    """A slip: details are predicted, and added to nothing."""

    def detailed(self, coarse: Tensor) -> Tensor:
        return coarse + (super().detailed(coarse) - coarse).mean((2, 3), keepdim=True)


def learnt(kind: type[SuperResolution]) -> float:
    model = make(kind).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(160):
        optimizer.zero_grad()
        model.losses(drawn(16, step))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return float(model.eval().losses(drawn(100, 1000))["of_bicubic"])


def test_it_learns_details_that_follow_from_what_is_seen():
    assert learnt(SuperResolution) < 0.3
    assert learnt(Detached) > 0.9


@torch.no_grad()
def test_maps_of_every_kind_become_pictures():
    for encoder, side in ((ResNet(10, 8, channels=1), 28), (ViT(16, 4, 16, 1, 2, 1), 16), (MLP([16], 1, 12), 12)):
        model = SuperResolution(encoder, factor=2, decoder_dim=8, decoder_depth=0).eval()
        images = torch.randint(0, 256, (3, 1, side, side), dtype=torch.uint8)
        rows, count, names = model.pictures(batch(images))["details"]
        assert rows.shape == (9, 1, side, side) and count == 3 and len(names) == 3
        assert torch.equal(rows[6:], images / 255) and rows.min() >= 0 and rows.max() <= 1


def test_what_cannot_be_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="images of 8 x 8 pixels are not cut evenly by factor 3; set factor"):
        make(factor=3).losses(drawn(2, 0))
    with pytest.raises(InputError, match="factor is 1; give a number of at least 2"):
        make(factor=1)
    with pytest.raises(InputError, match="SuperResolution predicts images in detail, and AudioResNet reads spectro"):
        SuperResolution(AudioResNet(**AudioResNet.tiny()))
    with pytest.raises(InputError, match="needs a map of 3 x 3 places of these images, and ViT has 4 places"):
        make(factor=2).losses(batch(torch.rand(2, 2, 10, 10)))
    assert math.isfinite(float(psnr(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))))
