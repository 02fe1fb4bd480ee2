"""Palettes of colour images: the colours that there are, and the same ones wherever a run is opened again."""

from pathlib import Path

import pytest
import torch

from ssl_zoo.cli import run
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.palette import colour_palette
from ssl_zoo.data.image.sources.folder import ImageFolder
from ssl_zoo.runs.run import rebuild
from tests.contracts.experiments import FOLDER, SMALL, UNWATCHED, checkpoint
from tests.made import write_images


class Drawn:
    """Images of a few colours, some of them a little off."""

    def __init__(self, colours: torch.Tensor, spread: float) -> None:
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randint(0, len(colours), (300, 8, 8), generator=generator)
        noise = spread * (torch.rand(300, 8, 8, colours.shape[1], generator=generator) - 0.5)
        self.inputs = (colours[chosen] + noise).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitems__(self, positions: list[int]) -> "Drawn":
        part = object.__new__(Drawn)
        part.inputs = self.inputs[positions]
        return part


@pytest.mark.parametrize("channels", [3, 5])
def test_the_palette_is_the_colours_that_images_are_made_of(channels):
    colours = torch.rand(6, channels, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
    examples = Drawn(colours, 0.02)
    found = torch.tensor(colour_palette(examples, 6))
    distances = torch.cdist(found, colours)
    assert sorted(distances.argmin(1).tolist()) == list(range(6)) and distances.amin(1).max() < 0.01
    assert colour_palette(examples, 6) == found.tolist()


def test_there_are_no_more_colours_than_images_have():
    colours = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]])
    assert sorted(colour_palette(Drawn(colours, 0.0), 16)) == colours.tolist()


def test_grey_images_need_none(tmp_path):
    assert ImageData(image_size=12, palette_colours=8).palette is None
    assert ImageData(ImageFolder(write_images(tmp_path)), image_size=8).palette is None


def test_a_run_on_colour_images_keeps_the_palette_of_its_data_with_the_weights(tmp_path):
    root, runs = write_images(tmp_path / "images"), tmp_path / "runs"
    options = ["--data.source=ImageFolder", f"--data.source.root={root}", "--data.image_size=12", *UNWATCHED]
    options += ["--model.encoder.colours=10", "--model.encoder.stride=4", "--model.encoder.dim=33"]
    run(["fit", "--config", str(FOLDER / "image" / "image_gpt.yaml"), *SMALL, *options, f"--runs_dir={runs}"])
    (directory,) = runs.glob("*/*")
    kept = checkpoint(directory)
    data = ImageData(ImageFolder(root), image_size=12, train_size=20, palette_colours=10)
    expected = torch.tensor(data.palette)
    assert expected.shape == (10, 3)
    assert torch.equal(kept["state_dict"]["encoder.palette"], expected)
    assert torch.equal(rebuild(kept).encoder.palette, expected)  # the untrained one has it, too
    assert {path.stem for path in Path(directory, "figures").glob("*.png")} >= {"completions", "samples"}
