"""Encoded images: files, and bytes."""

import os

import pytest

from softfold.pixels.images import Images
from softfold.pixels.views import View


def test_what_is_no_regular_file_is_never_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    images = Images([tmp_path / "pipe.png", "/dev/zero"])
    for i in range(2):
        with pytest.raises(OSError, match="no regular file"):
            images[i]


def test_joined_images_are_looked_at_as_before():
    view = View(flip=True)
    files = Images(["a.png"]), Images(["b.png"])
    bytes_ = Images(encoded=[b"a"]), Images(encoded=[b"b"])
    for first, second in (files, bytes_):
        both = Images.join(first.viewed(view), second.viewed(view))
        assert len(both) == 2 and both.view == view
