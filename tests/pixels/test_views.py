"""Views of an image: which part is looked at, mirrored or not, the same for the same seed."""

import numpy as np
import pytest

pytest.importorskip("PIL")
from pictures import encode, photo

from softfold.errors import InputError
from softfold.pixels.decoding import decode, image_keys
from softfold.pixels.images import Images
from softfold.pixels.views import LEAST_SIDE, WHOLE, View, views


def test_views_begin_with_the_image_and_its_mirror_image_and_follow_from_the_seed():
    some = views(8)
    assert some[0] == WHOLE and some[1] == View(flip=True)
    assert [v.flip for v in some] == [False, True] * 4
    assert all(LEAST_SIDE <= v.side < 1 and 0 <= v.x < 1 and 0 <= v.y < 1 for v in some[2:])
    assert views(8) == some and views(5) == some[:5] and views(8, seed=1)[2:] != some[2:]
    assert len({v.mark for v in some}) == 8
    assert not any(v.flip for v in views(8, flip=False)) and views(1) == [WHOLE]
    with pytest.raises(InputError, match="at least one view"):
        views(0)


def test_a_view_is_the_part_of_the_image_that_it_says():
    pixels = photo(40, 60)
    encoded = encode(pixels)
    whole = decode(encoded, 40)
    np.testing.assert_array_equal(whole, pixels[:, 10:50])
    np.testing.assert_array_equal(decode(encoded, 40, view=View(flip=True)), whole[:, ::-1])
    np.testing.assert_array_equal(decode(encoded, 40, view=View(x=0)), pixels[:, :40])
    corner = decode(encoded, 20, view=View(0.5, 1, 1, flip=True))
    np.testing.assert_array_equal(corner, pixels[20:, 40:][:, ::-1])


def test_parts_keep_the_view_and_caches_tell_views_apart(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(photo()))
    for images in (Images([tmp_path / "a.png"] * 2), Images(encoded=[encode(photo())] * 2)):
        seen = images.viewed(View(flip=True))
        assert images.view == WHOLE and seen.take(np.array([1])).view == View(flip=True)
        assert image_keys(images)[0] != image_keys(seen)[0] and images.mark(0) != seen.mark(0)
        assert image_keys(images)[0] == image_keys(images.viewed(WHOLE))[0]
