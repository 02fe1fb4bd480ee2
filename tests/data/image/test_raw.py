"""Images as a user has them in Python."""

from pathlib import Path

import pytest

from ssl_zoo.data.image.raw import images_of
from ssl_zoo.data.image.sources.pixels import PixelFormat
from ssl_zoo.errors import InputError


def test_a_path_without_an_image_is_named_with_what_can_be_done_in_python(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*nowhere\.png: give the path of an image"):
        images_of(str(tmp_path / "nowhere.png"), PixelFormat(3), 8)
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(InputError, match=r"a\.png is no image that can be read: mend it or leave it out\.$"):
        images_of([tmp_path / "a.png"], PixelFormat(3), 8)
