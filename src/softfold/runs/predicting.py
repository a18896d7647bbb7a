"""Predicting new items with the model that a run kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from softfold.align import as_frame
from softfold.data.columns import ITEM, row_keys
from softfold.data.delimited import is_delimited
from softfold.data.finding import PATH_NAMES, columns_in_words, usual_column
from softfold.data.folders import image_files
from softfold.data.frames import read_frame
from softfold.data.item_features import as_item_features, read_item_features
from softfold.data.leaving_out import ON_ERROR, LeftOut, note_of, refusal, rows_with
from softfold.data.places import renumbered
from softfold.data.rows import image_column
from softfold.data.table import Data, LabelTable
from softfold.errors import InputError
from softfold.files import told_if_damaged
from softfold.multilabel.table import of_several
from softfold.pixels.images import Images
from softfold.pixels.views import in_words
from softfold.runs.folder import Run
from softfold.runs.given_features import known_features
from softfold.runs.members import chosen_models, load_members

_ADVICE = "mend them or leave them out"


class Predictor:
    """The better model of a run, ready for new items.

    own_features: the model was trained on features that were given, and wants those of new items.
    tta, flip, seed: the views of an image that are averaged where nobody says how many.
    multi_label: items may have several labels; delimiter: what stands between them in a cell.
    """

    def __init__(
        self,
        model: Any,
        vocab: Sequence[str],
        kind: str,
        names: Mapping[str, str] | None = None,
        own_features: bool = False,
        *,
        tta: int = 1,
        flip: bool = True,
        seed: int = 0,
        multi_label: bool = False,
        delimiter: str | None = None,
    ) -> None:
        self.model, self.vocab, self.kind = model, tuple(vocab), kind
        self.names = names or {}
        self.own_features = own_features
        self.tta, self.flip, self.seed = tta, flip, seed
        self.multi_label, self.delimiter = multi_label, delimiter or ", "

    def predict(
        self,
        items: str | Path | pd.DataFrame | Iterable[str | Path] | None = None,
        features: Any = None,
        *,
        on_error: Literal["stop", "skip"] = "stop",
        tta: int | None = None,
        flip: bool | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Predictions for a folder, a CSV or Parquet file, a data frame or a list of image files.

        Args:
            items: what to predict. None, where there are features with item keys: all of those.
            features: of the items, where the model was trained on features that were given: a
                file, a data frame whose index has the item keys, or `ItemFeatures`. Rows of a
                .npy file are those of `items`.
            on_error: what to do about images that cannot be read: `stop` names them all, `skip`
                warns and leaves them out.
            tta: how many views of an image to average over: the image, its mirror image, crops
                (`softfold.pixels.views.views`). 1 is the image alone; None: as the run does it.
            flip: whether some views are mirrored; not for letters and digits.
            seed: of the crops.

        Returns:
            A frame with item, predicted, confidence and one column of probabilities a class. Where
            items may have several labels, `predicted` are lists of the classes of at least one
            half, and there is no confidence. Where
            classes have names for people, predicted_name beside predicted. Rows are in the order of
            the items; `frame.attrs["skipped"]` lists (item, reason) of those left out, and
            `frame.attrs["views"]` says what was averaged over, None where nothing was.

        Raises:
            InputError: items that cannot be read, or that are not of the kind of the training's.
        """
        from softfold.trainers.ensemble import Views

        if on_error not in ON_ERROR:
            raise InputError(f"on_error {on_error!r}: there are {', '.join(ON_ERROR)}")
        if not self.own_features and features is not None:
            raise InputError(
                "the run's model was not trained on features that were given: leave --features out"
            )
        if not self.own_features and items is None:
            raise InputError("say which items to predict: an image, a folder, a table")
        if self.own_features and features is None:
            raise InputError(
                "the run's model was trained on features that were given: give those of the items "
                "to predict (--features FILE)"
            )
        if self.own_features:
            table = _on_features(items, features, self.vocab)
        else:
            table = unlabelled(items, self.vocab, self.kind)
        if self.multi_label:
            table = of_several(table)
        asked = {"flip": flip, "seed": seed}
        known: dict[str, Any] = {k: getattr(self, k) if v is None else v for k, v in asked.items()}
        n_views = self.tta if tta is None else tta
        model = Views(self.model, n_views, **known)
        frame = self._predicted(model, table, on_error)
        frame.attrs["views"] = in_words(n_views, flip=known["flip"]) if n_views > 1 else None
        if self.names:
            shown = [self._shown(each) for each in frame["predicted"]]
            frame.insert(2, "predicted_name", shown)
        return frame

    def in_one_cell(self, frame: pd.DataFrame) -> pd.DataFrame:
        """What `predict` gave, as a CSV file holds it: several labels of an item in one cell."""
        if not self.multi_label:
            return frame
        lists = [c for c in ("predicted", "predicted_name") if c in frame and c not in self.vocab]
        return frame.assign(**{c: frame[c].map(self.delimiter.join) for c in lists})

    def _shown(self, label: Any) -> Any:
        """A class as people read it, or a list of them."""
        if isinstance(label, list):
            return [self.names.get(each, each) for each in label]
        return self.names.get(label, label)

    def _predicted(self, model: Any, table: LabelTable, on_error: str) -> pd.DataFrame:
        from softfold.trainers import predict_frame

        # images are looked at one by one only where some cannot be read: that takes its time
        if not table.left_out:
            try:
                return predict_frame(model, table)
            except InputError:
                broken = _broken(table)
                if not broken:
                    raise
        else:
            broken = _broken(table)
        kept = table.take(np.setdiff1d(np.arange(len(table)), list(broken)))
        left_out = [*table.left_out, *broken.values()]
        if on_error == "stop" or not len(kept):
            advice = _ADVICE
            if on_error == "stop":
                advice += "; --on-error skip (on_error='skip') goes on without them"
            n = len(table) + len(table.left_out)
            raise refusal(table.name, left_out, n, advice)
        frame = predict_frame(model, kept)
        warnings.warn(note_of(left_out, None), stacklevel=3)
        frame.attrs["skipped"] = [(each.shown, each.reason) for each in left_out]
        return frame


def _broken(table: LabelTable) -> dict[int, LeftOut]:
    """The rows of images that cannot be read."""
    if not isinstance(table.data, Images):
        return {}
    from softfold.pixels.copies import broken_images

    found = broken_images(table.data)
    return {i: LeftOut(table.item[i], reason) for i, reason in sorted(found.items())}


def _on_features(items: Any, features: Any, vocab: tuple[str, ...]) -> LabelTable:
    """A table of items without labels whose data are the features that were given."""
    keys = None if items is None else _keys_of(items, vocab)
    read = isinstance(features, str | Path)
    known = read_item_features(features, keys) if read else as_item_features(features)
    if known is None:
        raise InputError("features: none were given")
    keys = known.item if keys is None else keys
    zeros = np.zeros(len(keys), dtype=np.int64)
    return LabelTable(keys, zeros, vocab, zeros.astype(bool), data=known.of(keys), name="new items")


def _keys_of(items: Any, vocab: tuple[str, ...]) -> np.ndarray:
    """Item keys as a label table of these items has them."""
    items = as_frame(items)
    if not (isinstance(items, pd.DataFrame) or _is_table(items)):
        return unlabelled(items, vocab, "image").item
    frame, name, _ = read_frame(items)
    column = usual_column(frame, PATH_NAMES)
    if column is None and list(frame.columns) == [ITEM]:
        column = ITEM  # the keys are all that there is
    if column is None:
        return row_keys(frame, None, set(), "", name)[1]
    return np.array([str(key) for key in frame[column]], dtype=object)


def unlabelled(items: Any, vocab: tuple[str, ...], kind: str) -> LabelTable:
    """A table of items without labels, to predict."""
    left_out: list[LeftOut] = []
    keys: Any
    data: Data
    items = as_frame(items)
    if isinstance(items, LabelTable):
        return replace(items, left_out=())  # was said when it was read
    if isinstance(items, (str, Path)) and Path(items).is_dir():
        files = image_files(Path(items))
        if not files:
            raise InputError(f"{items}: no images in this folder")
        keys, data = [str(p.relative_to(items)) for p in files], Images(files)
    elif isinstance(items, np.ndarray) and items.ndim == 2:
        keys, data = range(len(items)), items
    elif isinstance(items, pd.DataFrame) or _is_table(items):
        frame, name, base = read_frame(items)
        if kind == "image":
            column = usual_column(frame, PATH_NAMES)
            if column is None:
                raise InputError(
                    f"{name}: no column with image paths ({', '.join(PATH_NAMES)}); "
                    f"{columns_in_words(frame)}"
                )
            frame, left_out = rows_with(renumbered(frame), column)
            keys, data = image_column(frame[column], base)
        else:
            _, keys = row_keys(frame, None, set(), "", name)
            data = renumbered(frame)
    else:
        if isinstance(items, (str, Path)) and not Path(items).is_file():
            raise InputError(f"{items}: no such image, folder or table")
        files = [Path(f) for f in ([items] if isinstance(items, (str, Path)) else items)]
        keys, data = [str(f) for f in files], Images(files)
    keys = np.array([str(k) for k in keys], dtype=object)
    zeros = np.zeros(len(keys), dtype=np.int64)
    table = LabelTable(keys, zeros, vocab, zeros.astype(bool), data=data, name="new items")
    return replace(table, left_out=tuple(left_out))


def _is_table(items: Any) -> bool:
    if not isinstance(items, (str, Path)):
        return False
    return is_delimited(items) or Path(items).suffix.lower() in {".parquet", ".pq"}


def load(run: str | Path, models: str | None = None) -> Predictor:
    """The soft model of a run, or the mean of its fold models, to predict new items with.

    Torch models are read from model.safetensors; scikit-learn ones are fitted again from the
    run's items and soft labels.

    Args:
        run: the run folder.
        models: "single": the soft model that was trained on all items. Of a run with fold models
            (`--ensemble`) "all" of them, which is the default there, or those that were trained on
            "given" or on "soft" labels alone.
    """
    from softfold.trainers import create_trainer, load_model
    from softfold.trainers.per_class import for_multi_label

    folder = Run.open(run, several=True)
    config = folder.config
    own_features = "features" in config["trainer_settings"]
    settings, models = folder.settings, chosen_models(folder, models)
    seen: Any = {"tta": settings.tta, "flip": settings.flip, "seed": settings.seed}
    seen |= {"multi_label": folder.multi_label, "delimiter": settings.label_delim}
    about: Any = (folder.vocab, config["kind"], folder.names, own_features)
    if models != "single":
        return Predictor(load_members(folder, models, config), *about, **seen)
    if folder.has("model.safetensors"):
        model = load_model(folder.path / "model.safetensors", config)
        return Predictor(model, *about, **seen)
    with told_if_damaged(folder.path / "config.json"):
        given = {"features": known_features(folder, config["trainer_settings"])}
        trainer = create_trainer(config["trainer"], **{**config["trainer_settings"], **given})
        trainer = for_multi_label(trainer) if folder.multi_label else trainer
    if trainer.saves_models:
        raise InputError(f"{run}: the run keeps no model (softfold train {run} makes one)")
    train, soft = folder.table().train, folder.soft_labels
    model = trainer.fit(train, soft.aligned(train.item, train.vocab), seed=folder.settings.seed)
    if own_features:
        vars(model)["given"] = None  # new items come with features of their own
    return Predictor(model, *about, **seen)
