"""Retrieval across styles: the shares and ranks of a search by hand, in both directions, and what a run shows of it."""

import json

import pytest
import torch
from torch import Tensor, nn

from ssl_zoo.cli import run
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.base import ArrayImages, ImageSource, LoadedImages
from ssl_zoo.data.pairs import Pairs
from ssl_zoo.encoders.image import MLP
from ssl_zoo.evaluation.extraction import representation_of
from ssl_zoo.evaluation.retrieval import retrievals, retrieve
from ssl_zoo.methods.simclr import SimCLR
from ssl_zoo.views.image import DigitViews
from tests.contracts.experiments import FOLDER
from tests.data.image.made_emoji import write_files, write_packages

CPU = torch.device("cpu")


def by_hand(vectors: Tensor, pairs: Pairs, source: int, target: int) -> list[int]:
    """Ranks of partners, counted one by one."""
    centred = vectors.clone()
    for style in (source, target):
        centred[pairs.styles == style] -= vectors[pairs.styles == style].mean(0)
    found = []
    for place, partner in enumerate(pairs.partners.tolist()):
        if int(pairs.styles[place]) == source and partner != place and int(pairs.styles[partner]) == target:
            cosines = {
                other: float(nn.functional.cosine_similarity(centred[place], centred[other], dim=0))
                for other in range(len(vectors))
                if int(pairs.styles[other]) == target
            }
            found.append(sorted(cosines, key=lambda other: -cosines[other]).index(partner) + 1)
    return found


def test_shares_and_ranks_are_those_of_a_search_by_hand():
    generator = torch.Generator().manual_seed(0)
    partners = torch.arange(20).view(2, 10).flip(0).flatten()
    partners[[3, 13, 7, 17]] = torch.tensor([3, 13, 7, 17])  # without a partner, and yet answers
    partners = torch.cat([partners, torch.tensor([20])])  # one more of the first style
    pairs = Pairs(["a", "b"], torch.tensor([0] * 10 + [1] * 10 + [0]), partners)
    shown = torch.randn(10, 6, generator=generator)
    vectors = torch.cat([shown, shown, torch.zeros(1, 6)]) + 0.7 * torch.randn(21, 6, generator=generator)
    vectors[10:20] += 30  # the style is a direction of its own, which says nothing
    found = retrieve({"ours": vectors}, pairs)
    assert list(found) == ["a to b", "b to a"]
    for direction, (source, target) in {"a to b": (0, 1), "b to a": (1, 0)}.items():
        ranks, ours = by_hand(vectors, pairs, source, target), found[direction]["ours"]
        assert ours.first == pytest.approx(sum(rank == 1 for rank in ranks) / 8)
        assert ours.among_five == pytest.approx(sum(rank <= 5 for rank in ranks) / 8)
        assert ours.reciprocal_rank == pytest.approx(sum(1 / rank for rank in ranks) / 8)
        answers = 10 if target == 1 else 11
        assert (ours.asked, ours.answers) == (8, answers)
        chance = found[direction]["chance"]
        assert chance[:2] == (1 / answers, 5 / answers)
        assert chance.reciprocal_rank == pytest.approx(sum(1 / rank for rank in range(1, answers + 1)) / answers)
    assert 0.3 < found["a to b"]["ours"].first < 1


def test_one_vector_for_all_finds_nothing():
    pairs = Pairs(["a", "b"], torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([3, 4, 5, 0, 1, 2]))
    found = retrieve({"ours": torch.ones(6, 3)}, pairs)
    assert found["a to b"]["ours"][:3] == (0.0, 1.0, pytest.approx(1 / 3))
    assert retrieve({"ours": torch.ones(6, 3)}, pairs._replace(partners=torch.arange(6))) == {}


class Spots(ImageSource):
    """Thirty spots in the upper half in one style, each somewhere in the lower one in the other: a table to learn."""

    name, licence, channels, image_size = "Spots", "none", 1, 8

    def load(self) -> LoadedImages:
        moved = 32 + torch.randperm(32, generator=torch.Generator().manual_seed(0))
        grid = 255 * torch.eye(64, dtype=torch.uint8).view(64, 1, 8, 8)
        images = torch.cat([grid[:30], grid[moved][:30]])
        parts = [ArrayImages(each, torch.arange(len(each)) % 2) for each in (images, images[[0, 1]], images)]
        partners = torch.cat([torch.arange(30, 60), torch.arange(30), torch.tensor([60, 61])])
        partners = torch.cat([partners, 62 + torch.arange(30, 60), 62 + torch.arange(30)])
        styles = torch.cat([(torch.arange(60) >= 30).long(), torch.zeros(2).long(), (torch.arange(60) >= 30).long()])
        train, validation, test = parts
        return LoadedImages(train, test, None, ["a", "b"], validation, pairs=Pairs(["A", "B"], styles, partners))


@pytest.mark.filterwarnings("ignore:.*exact copies")  # tested on what it has seen, to be known by heart
def test_styles_are_learnt_from_pairs_and_not_from_both_without_them():
    found = {}
    for pairs in (True, False):
        torch.manual_seed(0)
        data = ImageData(Spots(), batch_size=30, pairs=pairs)
        data.setup()
        encoder = MLP([128, 64], channels=1, image_size=8)
        method = SimCLR(encoder, DigitViews(degrees=0, translate=0, scale=(1, 1), shear=0, noise=0.1), 0.2, 64, 32)
        optimizer = torch.optim.AdamW(method.parameters(), 1e-2)
        loader = data.train_dataloader()
        for _ in range(60):
            for batch in loader:
                optimizer.zero_grad()
                method.losses(batch._replace(labels=None))["loss"].backward()
                optimizer.step()
        ours = representation_of(encoder.eval(), method.eval().encode)
        found[pairs] = retrievals({"ours": ours}, data, CPU)["A to B"]
    assert found[True]["ours"].first > 0.9
    assert max(found[False]["ours"].first, found[True]["raw inputs"].first) < 0.3


def test_a_run_has_it_in_its_results_and_in_the_terminal(tmp_path, capsys):
    write_files(write_packages(tmp_path / "root"))
    options = ["--model.encoder.depth=10", "--model.encoder.width=4", "--data.batch_size=16", "--data.image_size=6"]
    options += ["--trainer.max_steps=2", "--trainer.accelerator=cpu", "--probe.draws=1", "--probe.labels_per_class=[1]"]
    options += ["--probe.layers=false", f"--data.source.root={tmp_path / 'root'}"]
    overlay = ["--config", str(FOLDER / "styles.yaml"), "--runs_dir", str(tmp_path / "runs")]
    run(["fit", "--config", str(FOLDER / "image" / "simclr.yaml"), *overlay, *options])
    (path,) = tmp_path.glob("runs/*/*/results.json")
    result, printed = json.loads(path.read_text()), capsys.readouterr().out
    for direction in ("Noto to EmojiOne", "EmojiOne to Noto"):
        assert set(result["retrieval"][direction]) == {"SimCLR", "untrained encoder", "raw inputs", "chance"}
        assert direction in printed
    assert "the same in another style" in printed and printed.count("are in pairs") == 1
