"""What a probe's fit gives: a linear softmax classifier on the features of items."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from softfold.data.numbers import read_numbers
from softfold.data.table import LabelTable
from softfold.errors import InputError, count_of
from softfold.tensors import write_tensors
from softfold.trainers.probe.features import numbers
from softfold.trainers.protocol import BaseModel

FeaturesOf: TypeAlias = Callable[[LabelTable, bool], list[np.ndarray]]


class ProbeModel(BaseModel):
    """A linear softmax classifier on features.

    weight (D, K), bias (K,): of the features as they are. features: how they are made.
    features_of: makes those of items, in parts, with or without the backbone's stages.
    multi_label: the classes do not exclude each other, and each has a sigmoid of its own.
    """

    sees_views = True

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        vocab: Sequence[str],
        features: dict[str, Any],
        strength: float,
        features_of: FeaturesOf,
        multi_label: bool = False,
    ) -> None:
        self.weight, self.bias, self.vocab = weight, bias, tuple(vocab)
        self.feature_settings, self.strength = features, strength
        self._features_of, self.multi_label = features_of, multi_label

    @classmethod
    def of_classes(cls, models: Sequence[ProbeModel | float], vocab: Sequence[str]) -> ProbeModel:
        """One model of K classes that do not exclude each other, out of one of two classes each.

        A number is the share of a class of which there was nothing to learn.
        """
        probes = [each for each in models if isinstance(each, ProbeModel)]
        if not probes:
            raise InputError("nothing to learn: every class is one of all items, or of none")
        weight = np.zeros((len(probes[0].weight), len(models)), np.float32)
        bias = np.empty(len(models), np.float32)
        for k, each in enumerate(models):
            if isinstance(each, ProbeModel):
                weight[:, k] = each.weight[:, 1] - each.weight[:, 0]
                bias[k] = each.bias[1] - each.bias[0]
            else:
                bias[k] = np.log(each / (1 - each))
        one = probes[0]
        about = one.feature_settings, float(np.mean([each.strength for each in probes]))
        return cls(weight, bias, vocab, *about, one._features_of, multi_label=True)

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), columns in the order of `vocab`."""
        columns = self.feature_settings.get("columns")
        if columns and isinstance(table.data, pd.DataFrame):
            lost = [c for c in columns if c not in table.data.columns]
            if lost:
                raise InputError(
                    f"{table.name}: {count_of(len(lost), 'column')} of the trained model "
                    f"missing; the first is {lost[0]!r}"
                )
            known = read_numbers(table.data[list(columns)])  # new items out of a file are text
            parts = [numbers(replace(table, data=known))]
        else:
            parts = self._features_of(table, bool(self.feature_settings.get("stages")))
        ends = np.cumsum([part.shape[1] for part in parts])
        if ends[-1] != len(self.weight):
            raise InputError(
                f"{table.name}: items have {ends[-1]} features; the model was trained "
                f"on {len(self.weight)}"
            )
        weights = np.split(self.weight, ends[:-1])
        out = np.empty((len(table), len(self.bias)), np.float32)
        for start in range(0, len(table), 65536):
            rows = slice(start, start + 65536)
            logits = np.broadcast_to(self.bias, out[rows].shape).copy()
            for part, weight in zip(parts, weights):
                logits += part[rows].astype(np.float32) @ weight
            if self.multi_label:
                out[rows] = 0.5 + 0.5 * np.tanh(0.5 * logits)
                continue
            logits -= logits.max(axis=1, keepdims=True)
            np.exp(logits, out=logits)
            out[rows] = logits / logits.sum(axis=1, keepdims=True)
        return out

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, with what is needed to rebuild the model in its header."""
        meta = {
            "trainer": "probe",
            "vocab": list(self.vocab),
            "features": self.feature_settings,
            "strength": self.strength,
            **({"multi_label": True} if self.multi_label else {}),
        }
        tensors = {
            "weight": np.ascontiguousarray(self.weight, np.float32),
            "bias": np.ascontiguousarray(self.bias, np.float32),
        }
        write_tensors(path, tensors, metadata={"softfold": json.dumps(meta)})
