"""Features of texts by a sentence-transformers model, kept in the cache as those of images are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from softfold.cache.rows import RowStore, content_key
from softfold.data.table import LabelTable, text_column
from softfold.errors import InputError, MissingDependency

Advance = Callable[[int, int], None]

_BATCH = 64
"""Texts that are encoded between two messages of progress."""


class TextFeatures:
    """Items' texts as features of a sentence-transformers model.

    Args:
        model: its name on the Hugging Face Hub, such as all-MiniLM-L6-v2, or a local folder.

    Raises:
        InputError: sentence-transformers is not installed.
    """

    def __init__(self, model: str) -> None:
        if find_spec("sentence_transformers") is None:  # importing it takes seconds
            raise MissingDependency(
                f"--arch {model}: a model of texts needs sentence-transformers: pip install "
                "'softfold[text]'; of tables, want a scikit-learn classifier by its dotted name, "
                "such as sklearn.ensemble.RandomForestClassifier"
            )
        self.model = model
        self._encoder: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_encoder": None}

    def on(self, table: LabelTable, progress: Advance | None = None) -> LabelTable:
        """The table with features float32 (N, D) in place of its texts.

        Raises:
            InputError: items that are no texts, a model that cannot be had.
        """
        column = None if table.data is None else text_column(table.data)
        if column is None:
            raise InputError(
                f"--arch {self.model}: want a scikit-learn classifier by its dotted name, such as "
                "sklearn.ensemble.RandomForestClassifier; only texts take the name of a "
                "sentence-transformers model"
            )
        texts = table.frame[column].fillna("").astype(str).tolist()
        return replace(table, data=self._features(texts, progress))

    def _features(self, texts: Sequence[str], progress: Advance | None) -> np.ndarray:
        """float32 (N, D), row i of texts[i]; only what the cache lacks is computed."""
        store = RowStore("texts", {"model": self._identity(), "version": 1})
        keys = np.array([content_key(text.encode()) for text in texts], "S16")
        rows, missing = store.find(keys)
        if rows is None or missing.any():
            _, first = np.unique(keys[missing], return_index=True)
            todo = np.flatnonzero(missing)[np.sort(first)]
            width = self._encode([texts[todo[0]]]).shape[1]
            with store.writer(len(todo), (width,), np.float32) as writer:
                for start in range(0, len(todo), _BATCH):
                    part = todo[start : start + _BATCH]
                    writer.write(keys[part], self._encode([texts[i] for i in part]))
                    if progress is not None:
                        progress(writer.n, len(todo))
            rows, missing = store.find(keys)
            if rows is None or missing.any():
                raise InputError(
                    "the feature cache is too small for this data: raise SOFTFOLD_CACHE_GB"
                )
        return np.asarray(rows[np.arange(len(texts))], np.float32)

    def _encode(self, texts: list[str]) -> np.ndarray:
        if self._encoder is None:
            from sentence_transformers import SentenceTransformer

            from softfold.vision.backbones import hub_without_retries

            try:
                with hub_without_retries():
                    self._encoder = SentenceTransformer(self.model)
            except Exception as error:  # its libraries have many ways to say that it is not there
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise InputError(
                    f"--arch {self.model}: no such sentence-transformers model could be had "
                    f"({reason[:120].rstrip('.')}): give a local folder, or leave --arch out for "
                    "TF-IDF, which needs no network"
                ) from None
        return np.asarray(self._encoder.encode(texts, show_progress_bar=False), np.float32)

    def _identity(self) -> str:
        """What tells the model from another: its name, of a folder the files in it."""
        folder = Path(self.model)
        if not folder.is_dir():
            return self.model
        digest = hashlib.sha256()
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                found = file.stat()
                about = (str(file.relative_to(folder)), found.st_size, found.st_mtime_ns)
                digest.update(repr(about).encode())
        return f"{folder.resolve()}:{digest.hexdigest()}"
