"""Models that average: several models on the same items, one model on several views of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.pixels.images import Images
from softfold.pixels.views import views
from softfold.trainers.protocol import BaseModel, Model


class Ensemble(BaseModel):
    """The mean of several models' probabilities.

    models: of the same K classes in the same order; each counts the same.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise InputError("an ensemble of no models: give at least one")
        self.models = list(models)
        self.sees_views = all(getattr(model, "sees_views", False) for model in models)

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), columns as in `table.vocab`."""
        return _mean(np.asarray(model.predict(table)) for model in self.models)


class Views(BaseModel):
    """Test-time augmentation: the mean of a model's probabilities over views of each image.

    Args:
        model: one that looks at images as `Images.view` says: the probe, fine-tuned networks, and
            ensembles of them.
        tta, flip, seed: which views, see `softfold.pixels.views.views`; 1 is the image as it is.

    Raises:
        InputError: a model that does not look at views.
    """

    def __init__(self, model: Model, tta: int, *, flip: bool = True, seed: int = 0) -> None:
        self.model, self.history = model, getattr(model, "history", None)
        self.views = views(tta, flip=flip, seed=seed)
        if tta > 1 and not getattr(model, "sees_views", False):
            raise InputError(
                f"tta {tta}: a {type(model).__name__} does not look at views of an image; leave "
                "tta out (a Learner of your own has learn.tta)"
            )

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), columns as in `table.vocab`.

        Raises:
            InputError: several views of items that are no images.
        """
        if len(self.views) == 1:
            return np.asarray(self.model.predict(table))
        return _mean(self.model.predict(each) for each in viewed(table, self.views))


def viewed(table: LabelTable, seen: Sequence) -> list[LabelTable]:
    """The table once a view, its images looked at in that way.

    Raises:
        InputError: its items are no images.
    """
    if not isinstance(table.data, Images):
        raise InputError(f"{table.name}: tta takes views of images, not of {table.kind} items")
    return [replace(table, data=table.data.viewed(view)) for view in seen]


def _mean(predictions) -> np.ndarray:
    """float32 mean of matrices of one shape, summed in their order."""
    total, n = np.zeros(()), 0
    for matrix in predictions:
        total, n = total + np.asarray(matrix, dtype=np.float64), n + 1
    return (total / n).astype(np.float32)
