"""Image GPT's encoder against the transformers library's own, and pixels as codes against plain loops."""

import pytest
import torch
from transformers import ImageGPTModel

from ssl_zoo.encoders.image_gpt import ImageGPTEncoder, lattice
from ssl_zoo.errors import InputError

SIDE = 6


def make(**settings) -> ImageGPTEncoder:
    torch.manual_seed(0)
    sizes = {"image_size": SIDE, "channels": 3, "colours": 27, "dim": 32, "depth": 2, "heads": 2, "dropout": 0.0}
    encoder = ImageGPTEncoder(**{**sizes, **settings}).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim > 1:  # so that context matters
                parameter.mul_(5)
    return encoder


def images(count: int = 3, channels: int = 3, side: int = SIDE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_vectors_are_those_of_the_library_with_the_same_weights(tmp_path):
    encoder = make()
    encoder.model.save_pretrained(tmp_path)
    published = ImageGPTModel.from_pretrained(tmp_path).eval()
    codes = encoder.codes(images())
    begun = torch.cat([torch.full((3, 1), 27), codes], dim=1)  # the last row of the table is what begins
    theirs, ours = published(begun, output_hidden_states=True), encoder(images(), layers=True)
    whole = torch.cat([ours.prefix, ours.sequence], dim=1)
    torch.testing.assert_close(whole, theirs.last_hidden_state, atol=1e-5, rtol=1e-5)
    for layer, expected in zip(ours.layers[:2], theirs.hidden_states, strict=False):
        torch.testing.assert_close(layer, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.pooled, theirs.last_hidden_state[:, 1:].mean(1), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("causal", [True, False])
def test_a_pixel_sees_those_before_it_and_all_of_them_where_it_is_not_causal(causal):
    encoder, data = make(causal=causal), images(1)
    other = data.clone()
    other[0, :, 3, 2] = 255 - other[0, :, 3, 2]
    place = 3 * SIDE + 2
    assert encoder.codes(data)[0, place] != encoder.codes(other)[0, place]
    changed = (encoder(data).sequence - encoder(other).sequence).abs().amax(2)[0] > 1e-6
    assert changed.tolist() == [not causal or each >= place for each in range(SIDE**2)]
    assert encoder.causal == causal


@pytest.mark.parametrize("stride", [1, 2])
def test_codes_are_the_nearest_colours_of_the_means_of_squares_row_by_row(stride):
    palette = torch.rand(7, 3, generator=torch.Generator().manual_seed(2)).tolist()
    encoder, data = make(stride=stride, palette=palette), images()
    codes = encoder.codes(data)
    side = SIDE // stride
    assert codes.shape == (3, side**2)
    for image in range(3):
        for place in range(side**2):
            row, column = (stride * each for each in divmod(place, side))
            mean = (data[image, :, row : row + stride, column : column + stride].double() / 255).mean((1, 2)).tolist()
            distances = [sum((a - b) ** 2 for a, b in zip(mean, colour, strict=True)) for colour in palette]
            assert codes[image, place] == distances.index(min(distances))
            shown = encoder.images(codes)[image, :, row : row + stride, column : column + stride]
            assert (shown == torch.tensor(palette[codes[image, place]])[:, None, None]).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.codes(data), codes)


def test_without_a_palette_of_the_data_every_channel_has_evenly_spaced_levels():
    assert lattice(5, 1).flatten().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert lattice(512, 3).shape == (512, 3) and lattice(511, 3).shape == (343, 3)
    assert lattice(9, 2).tolist() == [[a, b] for a in (0.0, 0.5, 1.0) for b in (0.0, 0.5, 1.0)]


def test_the_palette_comes_back_with_the_weights():
    first, second = (make(palette=torch.rand(7, 3).tolist()) for _ in range(2))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.palette, second.palette)
    assert torch.equal(first.codes(images()), second.codes(images()))


def test_what_does_not_fit_is_refused_in_a_sentence():
    for settings, message in (
        ({"dim": 0}, "ImageGPTEncoder: dim 0 is not"),
        ({"heads": 3}, "ImageGPTEncoder: dim 32 is not a multiple of heads 3"),
        ({"stride": 4}, "images of 6 pixels a side are not cut evenly by stride 4"),
        ({"colours": 7}, "colours is 7; give at least 8, two levels of 3 channels"),
        ({"palette": [[0.5, 0.5, 0.5]]}, "a palette of one colour makes all images alike"),
        ({"palette": [[0.0], [1.0]]}, r"the palette is \[2, 1\] numbers, but images have 3 channels"),
    ):
        with pytest.raises(InputError, match=message):
            make(**settings)
    with pytest.raises(InputError, match="built for images of 3 x 6 x 6, but these are 3 x 8 x 8"):
        make()(images(side=8))
