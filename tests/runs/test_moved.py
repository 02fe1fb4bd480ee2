import importlib

import pytest

from ssl_zoo.runs.moved import MOVED, where_classes_are


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_what_has_moved_is_where_it_is_looked_for_and_no_longer_where_it_was(old: str, new: str) -> None:
    module = importlib.import_module(f"ssl_zoo.data.{new}")
    names = [name for name, kind in vars(module).items() if getattr(kind, "__module__", "") == module.__name__]
    assert names
    for name in names:
        assert where_classes_are({"_class_path": f"ssl_zoo.data.{old}.{name}"}) == {
            "_class_path": f"{module.__name__}.{name}"
        }


def test_classes_are_found_at_any_depth_and_others_stay() -> None:
    old = {
        "_class_path": "ssl_zoo.data.image.ImageData",
        "source": {"class_path": "ssl_zoo.data.sources.digits.Digits", "init_args": {"root": "ssl_zoo.data.image.x"}},
        "several": [{"class_path": "ssl_zoo.data.sources.wordnet.WordNet"}, {"class_path": "mine.data.image.Images"}],
        "model": {"class_path": "ssl_zoo.methods.simclr.SimCLR"},
    }
    new = where_classes_are(old)
    assert new["_class_path"] == "ssl_zoo.data.image.module.ImageData"
    assert new["source"] == {
        "class_path": "ssl_zoo.data.image.sources.digits.Digits",
        "init_args": {"root": "ssl_zoo.data.image.x"},
    }
    assert [each["class_path"] for each in new["several"]] == [
        "ssl_zoo.data.text.sources.wordnet.WordNet",
        "mine.data.image.Images",
    ]
    assert new["model"] == old["model"] and where_classes_are(new) == new
