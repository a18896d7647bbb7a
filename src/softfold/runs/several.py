"""The run folder of items with several labels: what is read differently there."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from softfold.align import find
from softfold.files import told_if_damaged
from softfold.multilabel.noise import MultiLabelNoise
from softfold.multilabel.soft import MultiSoftLabels
from softfold.multilabel.table import MultiLabelTable
from softfold.runs.folder import Run


class SeveralRun(Run):
    """A run folder whose items may have several labels.

    In `items` the columns given, truth, predicted and suggested hold lists of class names; a row
    an item and class is in `issues`.
    """

    multi_label: ClassVar[bool] = True

    @cached_property
    def noise(self) -> Any:
        """The MultiLabelNoise of the first seed."""
        with told_if_damaged(self.path / "noise.json"):
            noise = MultiLabelNoise.from_json(self._json("noise.json"))
        if noise.vocab != self.vocab:
            raise self._of_different_runs("noise.json")
        return noise

    @property
    def soft_labels(self) -> MultiSoftLabels:
        """Soft labels of the first seed, with their item keys."""
        made = MultiSoftLabels.load(self.file("soft_labels.safetensors"))
        assert isinstance(made, MultiSoftLabels)
        return made

    @cached_property
    def issues(self) -> pd.DataFrame:
        """item, class, given, suggested (0 and 1), suspicion; most suspicious first."""
        return self._frame("issues.parquet")

    def codes(self, column: str) -> np.ndarray:
        """(N, K) int8 of a column of `train`, 1 where its list has the class; -1: not known."""
        return self._matrix_of(self.train, column)

    def table(self) -> MultiLabelTable:
        """The label table of the run, rows in the order of items.parquet, with its data."""
        items = self.items
        return MultiLabelTable(
            item=items["item"].to_numpy(dtype=object),
            given=self._matrix_of(items, "given"),
            vocab=self.vocab,
            valid=(items["split"] == "valid").to_numpy(),
            truth=self._matrix_of(items, "truth") if "truth" in items else None,
            group=items["group"].to_numpy(dtype=object) if "group" in items else None,
            data=self._data(),
            name=self.name,
            names=self.names,
        )

    def _matrix_of(self, frame: pd.DataFrame, column: str) -> np.ndarray:
        made = np.full((len(frame), len(self.vocab)), -1, np.int8)
        if column not in frame:
            return made
        cells = frame[column].to_list()
        known = np.array([cell is not None for cell in cells], dtype=bool)
        made[known] = 0
        rows = np.repeat(np.arange(len(cells)), [0 if c is None else len(c) for c in cells])
        columns = find(self.vocab, [word for cell in cells if cell is not None for word in cell])
        if (columns < 0).any():
            raise self._of_different_runs("vocab.json")
        made[rows, columns] = 1
        return made
