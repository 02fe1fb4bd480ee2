import shutil

import pytest
import torch

from ssl_zoo.data.image.module import ImageData
from ssl_zoo.data.image.sources.emoji_drawings import drawings
from ssl_zoo.data.image.sources.emoji_list import Emoji, beginning, read_list
from ssl_zoo.data.image.sources.noto_emoji import FONT, LIST, NotoEmoji, read_font
from ssl_zoo.data.sources import debian
from ssl_zoo.errors import InputError
from tests.data.image.made_emoji import ARROW, JOINER, SKIN, picture, sequences, write_packages

LINES = """
# group: Smileys & Emotion
# subgroup: face
263A FE0F          ; fully-qualified     # x E0.6 smiling face
263A               ; unqualified         # x E0.6 smiling face
# group: People & Body
# subgroup: family
1F48F              ; fully-qualified     # x E0.6 kiss
1F9D1 1F3FB 200D 2764 FE0F 200D 1F48B 200D 1F9D1 1F3FC ; fully-qualified # x E13.1 kiss: person, person, light skin tone, medium-light skin tone
1F468 200D 2764 FE0F 200D 1F48B 200D 1F468 ; fully-qualified # x E2.0 kiss: man, man
1F468 1F3FB 200D 2764 FE0F 200D 1F48B 200D 1F468 1F3FB ; fully-qualified # x E13.1 kiss: man, man, light skin tone
# subgroup: person
1F468 1F3FB 200D 1F9B0 ; fully-qualified # x E11.0 man: light skin tone, red hair
# group: Component
# subgroup: skin-tone
1F3FB              ; component           # x E1.0 light skin tone
# group: Flags
# subgroup: country-flag
1F1E9 1F1EA        ; fully-qualified     # x E0.6 flag: Germany
"""  # noqa: E501  # lines of the list are as long as that


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_packages(tmp_path_factory.mktemp("emoji"))


def test_the_list_has_groups_and_concepts(tmp_path):
    path = tmp_path / "emoji-test.txt"
    path.write_text(LINES)
    found = read_list(path)
    assert found[0] == Emoji((0x263A,), "smiling face", "Smileys & Emotion", "face")
    assert [(emoji.concept, emoji.labelled) for emoji in found] == [
        ("smiling face", True),
        ("kiss", True),
        ("kiss", False),
        ("kiss: man, man", True),
        ("kiss: man, man", False),
        ("man: red hair", False),
        ("light skin tone", False),
        ("flag: Germany", False),
    ]


def test_a_damaged_list_is_named_with_its_line(tmp_path):
    path = tmp_path / "emoji-test.txt"
    with pytest.raises(InputError, match=r"emoji-test.txt is missing or damaged"):
        read_list(path)
    for text, sentence in (
        (LINES + "1F600 ; fully", "line 20 is no emoji of a group"),
        (LINES.replace("# group: Smileys & Emotion\n", ""), "line 3 is no emoji of a group"),
        ("# group: Flags", "has no emoji"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            read_list(path)


def test_what_the_list_lacks_belongs_to_the_concept_that_it_begins_with():
    known = {(1,): "runner", (1, JOINER, 2): "woman running", (3,): "man"}
    assert beginning((1, SKIN, JOINER, 2, JOINER, ARROW), known) == "woman running"
    assert beginning((1, SKIN, JOINER, ARROW), known) == "runner"
    assert beginning((4, 1), known) is None


def test_pictures_are_named_by_characters_and_ligatures_whatever_their_direction(root):
    found = drawings(read_font(root / FONT), read_list(root / LIST))
    by_name = {each.name: each for each in found}
    assert len(found) == len(by_name) == len(sequences())
    by_picture = {each.png: each.name for each in found}
    for number, codes in enumerate(sequences()):
        name = by_picture[picture(number)]
        assert name.split(" thing")[0].split(" flag")[0] == " ".join(f"{code:X}" for code in codes)
    assert by_name["1F900 thing 0"].emoji and by_name["1F900 1F3FB thing 0: light skin tone"].emoji is None
    assert by_name["1F900 1F3FB 200D 27A1"].concept == "thing 0"
    assert by_name["1F1E9 1F1EA flag: Germany"].emoji is None and by_name["30"].concept is None


def test_of_equal_pictures_the_first_of_the_list_counts():
    listed = [Emoji((2,), "two", "Food", "a"), Emoji((1,), "one", "Food", "a")]
    found = drawings([([(1,)], b"same"), ([(2,)], b"same"), ([(3,)], b"other")], listed)
    assert [(each.name, each.concept) for each in found] == [("2 two", "two"), ("3", None)]


@pytest.mark.parametrize("labels", ["group", "subgroup"])
def test_no_variant_of_what_is_held_out_is_trained_on(root, labels):
    source = NotoEmoji(labels, root=root)
    loaded = source.load()
    train, validation, test, others = loaded.in_order()
    assert [len(part) for part in (train, validation, test)] == [29, 3, 8]
    assert loaded.classes == (
        ["Food", "Animals"] if labels == "group" else ["Food-0", "Food-1", "Animals-0", "Animals-1"]
    )
    assert test.labels.bincount().tolist() == ([6, 2] if labels == "group" else [3, 3, 1, 1])
    assert set(others.labels.tolist()) == {-1} and len(others) == 3 * 29 + 2
    names = list(loaded.names)
    things = [name.split(" ")[0] for name in names]
    assert len(set(names)) == len(names) and set(things[:29]).isdisjoint(things[29:40])
    assert set(things[29:40]).isdisjoint(things[40:]) and set(things[:29]) <= set(things[40:])
    assert names == list(NotoEmoji("subgroup", root=root).load().names)
    assert loaded.identity == NotoEmoji(labels, root=root).load().identity


def test_drawings_stand_on_their_background_without_their_margins(root):
    white, grey = NotoEmoji(root=root).load(), NotoEmoji(background="#808080", root=root).load()
    image = white.train.original(0)
    number = sequences().index((int(next(iter(white.names)).split()[0], 16),))
    assert image.shape == (3, 8, 8) and image.dtype == torch.uint8
    assert image[:, 0, 0].tolist() == [number % 16 * 16, number // 16 * 16, 0]
    assert image[:, 7, 7].tolist() == [255, 127, 127]
    assert grey.train.original(0)[:, 7, 7].tolist() == [192, 64, 64]
    assert white.identity != grey.identity


def test_the_data_module_pretrains_on_variants_too(root):
    data = ImageData(NotoEmoji(root=root), image_size=8)
    data.setup()
    assert [len(part) for part in (data.train_set, data.validation_set, data.test_set)] == [29, 3, 8]
    assert len(data.pretrain_set) == 4 * 29 + 2
    assert data.train_set.__getitems__([0, 3]).inputs.shape == (2, 3, 8, 8)


def test_mistakes_end_in_a_sentence(root, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="choose group or subgroup"):
        NotoEmoji("kind")  # type: ignore[arg-type]  # a user's mistake
    with pytest.raises(InputError, match="give a colour such as white or #ff8800"):
        NotoEmoji(background="paper")
    with pytest.raises(InputError, match="unpack fonts-noto-color-emoji and unicode-data into the source's root"):
        NotoEmoji(root=tmp_path)
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / FONT).write_bytes((root / FONT).read_bytes()[:300])
    with pytest.raises(InputError, match=r"NotoColorEmoji.ttf is missing or damaged .*: fetch it again"):
        NotoEmoji(root=tmp_path).load()
    monkeypatch.setattr(shutil, "which", lambda command: None)
    monkeypatch.setattr(debian, "CACHE", tmp_path / "empty")
    monkeypatch.setattr("ssl_zoo.data.sources.debian.Path.is_dir", lambda path: False)
    with pytest.raises(InputError, match="package fonts-noto-color-emoji cannot be fetched: there is no apt-get"):
        NotoEmoji().load()


@pytest.mark.slow  # fetches 18 MB
def test_the_packages_have_what_they_should():
    loaded = NotoEmoji().load()
    train, validation, test, others = loaded.in_order()
    labels = torch.cat([part.labels for part in (train, validation, test)])
    assert dict(zip(loaded.classes, labels.bincount().tolist(), strict=True)) == {
        "Smileys & Emotion": 166,
        "People & Body": 362,
        "Animals & Nature": 152,
        "Food & Drink": 133,
        "Travel & Places": 218,
        "Activities": 85,
        "Objects": 261,
        "Symbols": 223,
    }
    assert "1F600 grinning face" in loaded.names and len(NotoEmoji("subgroup").load().classes) == 96
    data = ImageData(NotoEmoji(), image_size=32)
    data.setup()
    assert [len(part) for part in (data.train_set, data.validation_set, data.test_set)] == [1152, 128, 320]
    assert len(data.pretrain_set) == 1152 + len(others) == 2947
