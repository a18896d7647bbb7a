"""Exact copies and broken files among images, by their pixels."""

import numpy as np
import pytest

from softfold.cache import folder
from softfold.errors import InputError
from softfold.pixels import copies, decoding
from softfold.pixels.images import Images

pytest.importorskip("PIL")
from pictures import encode, photo

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("broken", [b"", b"no image", encode(photo())[:300]])
def test_broken_images_are_counted_and_named(broken):
    data = Images(encoded=[encode(photo()), broken, broken])
    found = copies.broken_images(data)
    assert list(found) == [1, 2] and found[1] == found[2] and "\n" not in found[1]
    with pytest.raises(InputError, match="image 1 does not decode"):
        decoding.decoded(data, 16)
    kept = {entry["kind"]: entry["rows"] for entry in folder.cache_info()["entries"]}
    assert kept == {"images": 0, "scans": 1}


def test_sound_images_are_decoded_once_and_broken_ones_tried_again(tmp_path, monkeypatch):
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file in files:
        file.write_bytes(encode(photo()))
    read = Images.__getitem__

    def denied(images, i):
        if images.path(i) == files[1]:
            raise PermissionError(13, "Permission denied")
        return read(images, i)

    with monkeypatch.context() as rights:
        rights.setattr(Images, "__getitem__", denied)
        assert copies.broken_images(Images(files)) == {1: "Permission denied"}
    decoded = []
    decode = copies.decode
    monkeypatch.setattr(copies, "decode", lambda *a: (decoded.append(1), decode(*a))[1])
    assert copies.broken_images(Images(files)) == {} and len(decoded) == 1
    assert copies.broken_images(Images([*files, tmp_path / "absent.png"])) == {3: "no such file"}
    assert len(decoded) == 1


def test_exact_copies_have_the_same_pixels_in_whatever_file():
    first, second = photo(), photo()
    data = Images(
        encoded=[
            encode(first),
            encode(second),
            encode(first, compress_level=1),
            encode(first, "BMP"),
            encode(first[:, ::-1].copy()),
            b"broken",
            b"broken too",
        ]
    )
    assert copies.exact_copies(data).tolist() == [0, 1, 0, 0, 4, 5, 6]
    assert copies.exact_copies(data).tolist() == [0, 1, 0, 0, 4, 5, 6]  # out of the cache


def test_same_bytes_of_another_shape_are_no_copies():
    flat = np.zeros((4, 9, 3), np.uint8)
    data = Images(encoded=[encode(flat), encode(flat.reshape(9, 4, 3))])
    assert copies.exact_copies(data).tolist() == [0, 1]
