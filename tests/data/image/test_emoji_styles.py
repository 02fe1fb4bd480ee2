"""Two styles of emoji: which drawings are pairs, that no concept is in two parts, and what views are made of."""

import re
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from ssl_zoo.batch import Batch
from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.digits import Digits
from ssl_zoo.data.image.sources.emoji_list import Emoji
from ssl_zoo.data.image.sources.emoji_styles import FILES, EmojiStyles, read_files
from ssl_zoo.data.image.sources.noto_emoji import LIST, NotoEmoji
from ssl_zoo.errors import InputError
from tests.data.image.made_emoji import ARROW, CONCEPTS, FIRST, JOINER, write_files, write_packages


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The first concept faces right in the list, too; the last one only EmojiOne draws."""
    folder = write_packages(tmp_path_factory.mktemp("styles"))
    write_files(folder)
    lines = (folder / LIST).read_text().splitlines()
    last = f"{FIRST + CONCEPTS:X} ; fully-qualified # x E1.0 thing {CONCEPTS}"
    right = f"{FIRST:X} 200D {ARROW:X} ; fully-qualified # x E1.0 thing 0: light skin tone, facing right"
    flags = next(place for place, line in enumerate(lines) if line == "# group: Flags")
    (folder / LIST).write_text("\n".join([*lines[:flags], last, right, *lines[flags:]]))
    return folder


def ready(root, **settings) -> ImageData:
    data = ImageData(EmojiStyles(root=root), image_size=6, batch_size=8, **settings)
    data.setup()
    return data


def concept(name: str) -> str:
    found = re.search(r"thing \d+", name)
    return found.group() if found else f"thing {int(name.split()[0], 16) - FIRST}"  # the list lacks it


def test_names_of_files_lack_joiners_and_the_list_has_them(tmp_path):
    listed = [Emoji((0x1F468, JOINER, 0x1F4BB), "man at work", "People", "person"), Emoji((1,), "one", "Food", "a")]
    for name in ("1F468-1F4BB", "1F468", "263A"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    found = {codes: png for (codes,), png in read_files(tmp_path, listed)}
    assert found == {(0x1F468, JOINER, 0x1F4BB): b"1F468-1F4BB", (0x1F468,): b"1F468", (0x263A,): b"263A"}


def test_no_concept_is_in_two_parts_in_either_style_and_parts_are_those_of_one_style_alone(root):
    source = EmojiStyles(root=root)
    loaded, alone = source.load(), NotoEmoji(root=root).load()
    ends = [0, *torch.tensor([len(part) for part in loaded.in_order()]).cumsum(0).tolist()]
    parts = [loaded.names[first:last] for first, last in pairwise(ends)]
    things = [{concept(name) for name in part if "flag" not in name and not name.startswith("30")} for part in parts]
    train, validation, test, others = things
    assert train.isdisjoint(validation | test) and validation.isdisjoint(test) and others <= train
    assert f"thing {CONCEPTS}" in train and f"thing {CONCEPTS}" in others
    noto = [name.removesuffix(", Noto") for name in loaded.names if name.endswith(", Noto")]
    assert noto == list(alone.names) and len(noto) < len(loaded.names) == len(set(loaded.names))
    for part, both in zip(alone.in_order(), loaded.in_order(), strict=True):
        assert both.labels[: len(part)].tolist() == part.labels.tolist() and len(both) > len(part)
    assert loaded.classes == alone.classes and loaded.identity == source.load().identity != alone.identity


def test_pairs_are_of_the_same_code_points_and_in_one_part(root):
    data = ready(root)
    pairs, names = data.found_pairs, EmojiStyles(root=root).load().names
    codes = [re.match(r"(?:[0-9A-F]+ ?)+(?= |,)", name).group().strip() for name in names]
    for place, (partner, style) in enumerate(zip(pairs.partners.tolist(), pairs.styles.tolist(), strict=True)):
        assert names[place].endswith(pairs.names[style])
        alike = [other for other, each in enumerate(codes) if each == codes[place] and other != place]
        assert ([partner] if partner != place else []) == alike
    assert f"{FIRST:X} 200D {ARROW:X} thing 0: light skin tone, facing right, EmojiOne" in names
    part_of = {
        place: number
        for number, part in enumerate((data.pretrain_set, data.validation_set, data.test_set))
        for place in part.positions.tolist()
    }
    assert all(part_of[place] == part_of[partner] for place, partner in enumerate(pairs.partners.tolist()))
    of_test = data.test_pairs()
    assert of_test.paired.sum() == 2 * sum(1 for place in data.test_set.positions if pairs.styles[place] == 1) > 0


def test_partners_are_fields_where_they_are_asked_for(root, capsys):
    assert "partner" not in (next(iter(ready(root).train_dataloader())).fields or {})
    ready(root).setup("fit")
    assert "in pairs" not in capsys.readouterr().out
    data = ready(root, pairs=True)
    data.setup("fit")
    batch: Batch = next(iter(data.train_dataloader()))
    pairs, images = data.found_pairs, data.pretrain_set.images
    assert torch.equal(batch.fields["partner"], images.read(pairs.partners[batch.index], 6))
    whole = images.read_whole(pairs.partners[batch.index], 6, batch.fields["whole"].shape[-1])
    assert torch.equal(batch.fields["partner_whole"], whole.whole)
    assert torch.equal(batch.fields["partner_aspect"], whole.aspect)
    assert "partner" in next(iter(data.val_dataloader())).fields
    count = int(pairs.paired[data.pretrain_set.positions].sum())
    assert f"EmojiStyles: {count} of the {len(data.pretrain_set)} images to pretrain on are in pairs" in (
        capsys.readouterr().out
    )


def test_mistakes_end_in_a_sentence(root, tmp_path):
    with pytest.raises(InputError, match=r"data\.pairs is true, but Digits has no pairs of images: set it to false"):
        ImageData(Digits(), pairs=True).setup()
    data = ImageData(Digits(), pairs=True)
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(views=None))
    with pytest.raises(InputError, match=r"data\.pairs is true, but this method makes no views of images: set it"):
        data.setup()
    with pytest.raises(InputError, match="data's image_size"):
        ImageData(EmojiStyles(root=root))
    with pytest.raises(InputError, match="unpack fonts-noto-color-emoji, ruby-gemojione and unicode-data into"):
        EmojiStyles(root=tmp_path)
    with pytest.raises(InputError, match="has no drawings: unpack ruby-gemojione again"):
        read_files(tmp_path, [])
    (tmp_path / "smile.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"smile.png is no drawing of an emoji \(.*\): unpack ruby-gemojione again"):
        read_files(tmp_path, [])


@pytest.mark.slow  # fetches 23 MB
def test_the_packages_have_what_they_should():
    data = ImageData(EmojiStyles(), image_size=32)
    data.setup()
    sizes = [len(part) for part in (data.train_set, data.validation_set, data.test_set, data.pretrain_set)]
    assert sizes == [1947, 221, 538, 4321] and FILES.name == "png"
    assert data.test_pairs().styles.bincount().tolist() == [320, 218]
    assert int(data.test_pairs().paired.sum()) == 2 * 218
    assert int(data.found_pairs.paired[data.pretrain_set.positions].sum()) == 2736
