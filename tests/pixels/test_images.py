"""Encoded images: files, and bytes."""

import os

import pytest

from softfold.pixels.images import Images


def test_what_is_no_regular_file_is_never_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    images = Images([tmp_path / "pipe.png", "/dev/zero"])
    for i in range(2):
        with pytest.raises(OSError, match="no regular file"):
            images[i]
