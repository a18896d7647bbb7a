"""The probe: frozen features and a regularised softmax regression, all folds solved together.

Features come from a pretrained backbone (images) or are given (a matrix, or a frame of numbers).
Of images, the means of the backbone's last stages join its pooled features where held-out given
labels become likelier by them: on data unlike ImageNet's. The strength of the L2 penalty is the one
whose out-of-fold predictions make the targets likeliest; no truth and no hold-out is looked at.
Standardisation uses the features of all items that are cross-fitted, and none of their labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from softfold.arrays import row_blocks
from softfold.data.item_features import as_item_features
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.large_arrays import scratch, taken
from softfold.pixels.images import Images
from softfold.pixels.views import WHOLE
from softfold.tensors import read_tensors
from softfold.trainers.probe.features import inner_folds, numbers, stages_help
from softfold.trainers.probe.fold_solver import FoldSolver, Solved
from softfold.trainers.probe.model import ProbeModel
from softfold.trainers.probe.softmax_regression import Design, Targets, hard_labels, solve
from softfold.trainers.protocol import BaseTrainer, Fold, Progress


class Probe(BaseTrainer):
    """Softmax regression on frozen features.

    arch, weights, size: of the backbone, as `softfold.vision.features.image_features` takes them;
        not used where the items are numbers.
    device: torch device of the backbone and the solver; the one that `setup` chose where None.
    strength: of the L2 penalty; chosen by out-of-fold likelihood where None.
    stages: whether features of images include the backbone's stages; chosen by out-of-fold
        likelihood of the given labels where None.
    features: made elsewhere, and used in place of the backbone's, of images as of any other items:
        a data frame whose index has the item keys, or a .parquet or .safetensors file (see
        `softfold.data.item_features`).
    """

    name = "probe"
    supports_noise = True
    solves_folds_together = True
    saves_models = True
    uses_torch = True
    takes_labels = True
    prepares = "features"
    of_classes = staticmethod(ProbeModel.of_classes)

    def __init__(
        self,
        arch: str = "efficientnet_lite0",
        weights: str | Path | None = None,
        size: int = 224,
        strength: float | None = None,
        device: str | None = None,
        stages: bool | None = None,
        features: Any = None,
    ) -> None:
        if strength is not None and not strength > 0:
            raise InputError(f"strength is {strength}; it must be above 0")
        self.arch, self.size, self.strength, self.device = arch, size, strength, device
        self.weights = None if weights is None else str(weights)
        self.stages = stages
        self._given = as_item_features(features)
        self._known: dict[Any, int] = {}
        self._images: Images | None = None
        self._features: np.ndarray | None = None
        self._stages: np.ndarray | None = None
        self._design: tuple[Any, Any, Design] | None = None
        self._solver: tuple[Any, FoldSolver] | None = None
        self.chosen_strength: float | None = None
        """Strength of the last fit."""
        self.uses_stages = False
        """Whether the last fit's features include the stages."""

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: features, and nothing that was solved."""
        return vars(self) | {"_known": {}, "_design": None, "_solver": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self._images is not None:  # images in memory are known by the objects they are here
            self._known = {key: row for row, key in enumerate(_keys(self._images))}

    def describe(self) -> dict[str, Any]:
        """Settings, as JSON holds them; features that were given by a hash of what they are."""
        if self._given is not None:
            return {"features": self._given.digest, "strength": self.strength}
        return {
            "arch": self.arch,
            "weights": self.weights,
            "size": self.size,
            "strength": self.strength,
            "stages": self.stages,
        }

    def shards(self, table: LabelTable) -> Any:
        """What `prepare` computes, in parts for other processes; None where it computes nothing."""
        if self._given is not None or not isinstance(table.data, Images):
            return None
        from softfold.vision.features import Shards

        return Shards(table.data, self.arch, self.size, self.weights, self.device)

    def prepare(self, table: LabelTable, progress: Progress | None = None) -> None:
        """Compute the features of all items once; later fits look them up."""
        if self._given is not None:
            self._given.of(table.item)  # an item without features is said at once
        elif isinstance(table.data, Images):
            keys = _keys(table.data)
            if any(key not in self._known for key in keys):
                self._features = self._image_features(table, progress)
                self._stages = None if self.stages is False else self._image_stages(table)
                self._images = table.data
                self._known = {key: row for row, key in enumerate(keys)}

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> ProbeModel:
        """A model of all items. The strength is chosen by inner folds drawn with `seed`.

        targets: float32 (n, K), one-hot or soft, or labels int (n,); noise: T (K, K) to train
            through.
        """
        targets = np.asarray(targets)
        design = self._designed(table)
        part = inner_folds(hard_labels(targets), table.group, seed)
        folds = [
            (np.flatnonzero(part != f), np.flatnonzero(part == f)) for f in range(part.max() + 1)
        ]
        k = table.n_classes
        inner = self._solved(FoldSolver(design, targets, folds, k), noise)
        solved = solve(
            design,
            Targets(targets, noise, k),
            torch.ones(len(table), 1),
            inner.strength,
            start=inner.weights.mean(dim=0, keepdim=True),
        )[0]
        weight, bias = design.original(solved / inner.temperature)
        return ProbeModel(
            weight=weight.numpy(),
            bias=bias.numpy(),
            vocab=table.vocab,
            features=self._feature_settings(table),
            strength=inner.strength,
            features_of=self.parts,
        )

    def fit_folds(
        self,
        table: LabelTable,
        folds: Sequence[Fold],
        targets: np.ndarray,
        *,
        seed: int,
        noise: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Predictions float32 (n, K) of each fold's held-out rows, all folds solved together.

        One strength serves all folds, the one that makes the targets of held-out rows likeliest.
        Nothing here is random.
        """
        targets = np.asarray(targets)
        mark = (self._mark(table), _digest(targets, *(rows for fold in folds for rows in fold)))
        if self._solver is None or self._solver[0] != mark:
            design = self._designed(table)
            self._solver = (mark, FoldSolver(design, targets, folds, table.n_classes))
        solved = self._solved(self._solver[1], noise)
        return solved.predictions()

    def _solved(self, solver: FoldSolver, noise: np.ndarray | None) -> Solved:
        if noise is None:
            solved = solver.plain(self.strength)
        else:
            solved = solver.through(noise, self.strength)
        self.chosen_strength = solved.strength
        return solved

    def features(self, table: LabelTable) -> np.ndarray:
        """Features (N, D) of the items, row i of `table.item[i]`; of images the pooled ones."""
        if self._given is not None:
            return self._given.of(table.item)
        if isinstance(table.data, Images):
            rows = self._rows(table)
            if rows is None or self._features is None:
                return self._image_features(table)
            return taken(self._features, rows)
        return numbers(table)

    def fitted_features(self, table: LabelTable) -> np.ndarray:
        """Features (N, D) as fits on these items use them: with the stages where they help."""
        self._designed(table)
        parts = self.parts(table, self.uses_stages)
        if len(parts) == 1:
            return parts[0]
        out = scratch((len(table), sum(part.shape[1] for part in parts)), parts[0].dtype)
        for rows in row_blocks(*out.shape):
            out[rows] = np.concatenate([part[rows] for part in parts], axis=1)
        return out

    def parts(self, table: LabelTable, stages: bool) -> list[np.ndarray]:
        """Features (N, D) and, where they are used, those of the stages, as two arrays."""
        pooled = self.features(table)
        if not stages or self._given is not None or not isinstance(table.data, Images):
            return [pooled]
        rows = self._rows(table)
        if rows is None or self._stages is None:
            return [pooled, self._image_stages(table)]
        return [pooled, taken(self._stages, rows)]

    def _rows(self, table: LabelTable) -> slice | np.ndarray | None:
        """Where the items are among those that were prepared; None where some are not."""
        if self._features is None or not isinstance(table.data, Images):
            return None
        rows = [self._known.get(key, -1) for key in _keys(table.data)]
        if min(rows, default=0) < 0:
            return None
        every = rows == list(range(len(self._features)))
        return slice(None) if every else np.array(rows, dtype=np.int64)

    def _image_features(self, table: LabelTable, progress: Progress | None = None) -> np.ndarray:
        from softfold.machine.runtime import setup
        from softfold.vision.features import image_features

        setup(self.device)  # for what is computed of the features as well
        return image_features(
            table,
            self.arch,
            self.size,
            weights=self.weights,
            device=self.device,
            progress=progress,
        )

    def _image_stages(self, table: LabelTable) -> np.ndarray:
        from softfold.vision.features import image_stages

        return image_stages(table, self.arch, self.size, weights=self.weights, device=self.device)

    def _feature_settings(self, table: LabelTable) -> dict[str, Any]:
        if self._given is not None:
            return {"given": self._given.digest}
        if isinstance(table.data, Images):
            return {
                "arch": self.arch,
                "weights": self.weights,
                "size": self.size,
                "stages": self.uses_stages,
            }
        columns = list(map(str, table.data.columns)) if isinstance(table.data, pd.DataFrame) else []
        return {"columns": columns}

    def _designed(self, table: LabelTable) -> Design:
        """The features ready for the solver; kept for the next call on the same items."""
        if len(table) == 0:
            raise InputError(f"{table.name}: no items to train on")
        mark = self._mark(table)
        if self._design is None or self._design[0] != mark:
            parts = self.parts(table, stages=self.stages is not False)
            if (
                self.stages is None
                and len(parts) == 2
                and not stages_help(parts[0], parts[1], table, self.device)
            ):
                parts.pop()
            self._design = (mark, table.data, Design.of(*parts).on(self.device))
            self.uses_stages = len(parts) == 2
        return self._design[2]

    def _mark(self, table: LabelTable) -> tuple[Any, ...]:
        if self._given is not None:
            return tuple(table.item)
        return tuple(_keys(table.data)) if isinstance(table.data, Images) else (id(table.data),)


def load(path: str | Path) -> ProbeModel:
    """Read what `ProbeModel.save` wrote."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such model file")
    kept, header = read_tensors(path)
    about = json.loads(header.get("softfold", "{}"))
    if about.get("trainer") != "probe":
        raise InputError(f"{path}: not the file of a probe")
    features = about["features"]
    source = Probe(**{k: v for k, v in features.items() if k not in ("columns", "given")})
    return ProbeModel(
        weight=kept["weight"],
        bias=kept["bias"],
        vocab=about["vocab"],
        features=features,
        strength=about["strength"],
        features_of=source.parts,
        multi_label=bool(about.get("multi_label")),
    )


def _keys(images: Images) -> list[Any]:
    """What an image is known by: its path or the very bytes object, and its view."""
    paths = images.paths
    keys: list[Any] = [id(images[i]) for i in range(len(images))] if paths is None else paths
    return keys if images.view == WHOLE else [(key, images.view) for key in keys]


def _digest(*arrays: np.ndarray) -> bytes:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
