"""Means of models and of views: what each part gives, averaged."""

import numpy as np
import pytest

pytest.importorskip("fastai")
from pictures import encode
from small_tables import table_of

from softfold.arrays import one_hot
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.pixels.views import View, views
from softfold.trainers import BaseModel
from softfold.trainers.ensemble import Ensemble, Views
from softfold.trainers.finetune import FineTune
from softfold.trainers.probe import Probe


class Left(BaseModel):
    """How light the left half of each image is."""

    sees_views = True

    def predict(self, table):
        from softfold.pixels.decoding import decode_batches

        batches = decode_batches(table.data, 8, batch_size=4, threads=1)
        light = np.concatenate([b[:, :, :4].mean((1, 2, 3)) / 255 for b in batches])
        return np.stack([1 - light, light], 1).astype(np.float32)


def pictures(n=24):
    """Images whose left or right half is lit; the class is the half."""
    rng, encoded = np.random.default_rng(0), []
    for i in range(n):
        pixels = rng.integers(0, 40, (32, 32, 3), dtype=np.uint8)
        pixels[:, 16 * (i % 2) : 16 * (i % 2) + 16] += 200
        encoded.append(encode(pixels))
    item = np.array([f"i{i}" for i in range(n)], object)
    return LabelTable(item, np.arange(n) % 2, ("left", "right"), np.arange(n) >= 16,
                      data=Images(encoded=encoded))  # fmt: skip


def test_an_ensemble_is_the_mean_of_its_models():
    class Always(BaseModel):
        def __init__(self, p):
            self.p = p

        def predict(self, table):
            return np.tile(np.float32([self.p, 1 - self.p]), (len(table), 1))

    mean = Ensemble([Always(0.9), Always(0.6), Always(0.0)]).predict(table_of(9))
    np.testing.assert_allclose(mean, np.tile([0.5, 0.5], (9, 1)), atol=1e-6)
    assert mean.dtype == np.float32
    with pytest.raises(InputError, match="at least one"):
        Ensemble([])


def test_one_view_is_the_model_and_two_see_both_halves():
    table = pictures()
    alone, both = (Views(Left(), n).predict(table) for n in (1, 2))
    assert (alone.argmax(1) == 1 - table.given).all()
    assert abs(both - 0.5).max() < 0.1  # the mirror image has the other half lit


@pytest.mark.parametrize("trainer", [Probe(size=32), FineTune("small_cnn", size=16, epochs=0)])
def test_models_of_images_see_each_view_as_pixels_of_its_own(trainer):
    table = pictures()
    train, holdout = table.train, table.holdout
    trainer.prepare(table)
    model = trainer.fit(train, one_hot(train.given, 2), seed=0)
    mirrored = encode_again(holdout)
    by_hand = (model.predict(holdout) + model.predict(mirrored)) / 2
    np.testing.assert_allclose(Views(model, 2).predict(holdout), by_hand, atol=1e-5)
    assert abs(model.predict(holdout) - model.predict(mirrored)).max() > 1e-3


def encode_again(table):
    """The images mirrored, as files of their own."""
    from softfold.pixels.decoding import decode

    encoded = [encode(decode(each)[:, ::-1]) for each in table.data]
    return LabelTable(table.item, table.given, table.vocab, table.valid,
                      data=Images(encoded=encoded))  # fmt: skip


def test_views_of_what_is_no_image_or_of_who_sees_none_are_refused():
    with pytest.raises(InputError, match="views of images, not of table items"):
        Views(Left(), 2).predict(table_of(9))
    with pytest.raises(InputError, match="BaseModel does not look at views"):
        Views(BaseModel(), 2)
    assert views(2)[1] == View(flip=True)
