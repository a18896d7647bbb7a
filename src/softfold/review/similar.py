"""Groups of similar items, so that a whole cluster of the same mistake goes in one stroke."""

from __future__ import annotations

import json

import numpy as np

from softfold.cache.folder import cache_dir
from softfold.cache.rows import RowStore
from softfold.data.item_features import read_item_features
from softfold.errors import InputError
from softfold.pixels.decoding import image_keys
from softfold.pixels.images import Images
from softfold.review.questions import Questions
from softfold.runs.folder import Run
from softfold.runs.looks import Looks
from softfold.tensors import memory_map

MOST_GROUPED = 20_000
"""Only the most suspicious items are grouped; the rest are groups of one."""

GROUP_SIZE = 24
"""Most items in a group: as many as one can look at before one key decides them all."""

CLOSE_FEATURES, CLOSE_PROBABILITIES = 0.25, 0.9
"""Least cosine similarity to the first item of a group."""


def groups_of(run: Run, looks: Looks, asked: Questions) -> np.ndarray:
    """(N,) group numbers. Those of a group share class, given label and suggestion and look alike.

    Likeness is the cosine of features, less their mean: those that the run's own probe left in
    the cache, or `features.safetensors` in the run (features, float32 (N, D)). Without features
    it is the cosine of the square roots of the out-of-fold probabilities (the Bhattacharyya
    coefficient). Groups are grown from the most suspicious item down.
    """
    groups = np.arange(len(asked.key))
    top = asked.order[:MOST_GROUPED]
    vectors, close = _vectors(run, looks, asked, top)
    labels = len(asked.vocab) + 1
    pair = (asked.of_class[top] * labels + asked.given[top]) * labels + asked.suggested[top]
    order = np.argsort(pair, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
        if len(part) > 1:
            for members in _leaders(vectors[part], close):
                groups[top[part[members]]] = top[part[members[0]]]
    return groups


def _vectors(
    run: Run, looks: Looks, asked: Questions, rows: np.ndarray
) -> tuple[np.ndarray, float]:
    """Unit vectors (n, D) that say how items look, and how close counts as similar."""
    items = asked.item[rows]
    features = _features(run, looks, items)
    if features is not None:
        vectors, close = features - features.mean(axis=0), CLOSE_FEATURES
    elif (probabilities := run.get("probabilities")) is not None:
        vectors = np.sqrt(np.asarray(probabilities[items], dtype=np.float32))
        close = CLOSE_PROBABILITIES
    else:
        vectors, close = np.ones((len(items), 1), np.float32), 0.0
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), close


def _features(run: Run, looks: Looks, rows: np.ndarray) -> np.ndarray | None:
    """Features float32 (n, D) of training items where they are known already, else None."""
    file = run.path / "features.safetensors"
    if file.is_file() and run.config.get("oof_trainer_settings", {}).get("features"):
        keys = run.train["item"].to_numpy(dtype=object)
        return read_item_features(file).of(keys[rows])
    if file.is_file():
        return np.asarray(memory_map(file, "features")[rows], dtype=np.float32)
    probe = run.config.get("oof_trainer_settings") or {}
    if run.config.get("oof_trainer") != "probe" or not isinstance(looks.data, Images):
        return None
    try:
        keys = image_keys(looks.data.take(run.train_rows[rows]))
    except InputError:
        return None
    for described in sorted((cache_dir() / "features").glob("*/settings.json")):
        settings = json.loads(described.read_text())
        if settings["backbone"] == probe.get("arch") and settings["size"] == probe.get("size"):
            found, missing = RowStore("features", settings).find(keys)
            if found is not None and not missing.any():
                return found[np.arange(len(rows))].astype(np.float32)
    return None


def _leaders(vectors: np.ndarray, close: float) -> list[np.ndarray]:
    """Groups as positions: the first item left leads, the closest others join."""
    left = np.arange(len(vectors))
    out = []
    while len(left):
        likeness = vectors[left] @ vectors[left[0]]
        likeness[0] = np.inf
        near = np.argsort(-likeness, kind="stable")[:GROUP_SIZE]
        near = np.sort(near[likeness[near] >= close])
        out.append(left[near])
        left = np.delete(left, near)
    return out
