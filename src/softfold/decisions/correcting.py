"""Training with what people decided: final soft labels, and a noise model that learned from them.

`softfold.decisions.applying.apply_decisions` corrects the label table; this is what else follows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from softfold.align import find
from softfold.arrays import one_hot, row_blocks
from softfold.data.table import LabelTable
from softfold.decisions.applying import carried, logged, read_decisions
from softfold.decisions.audit import as_first_given, checked
from softfold.decisions.log import LOG
from softfold.large_arrays import taken
from softfold.noise.audit import FEWEST, reweighed, tilt_into
from softfold.noise.explanation import Explanation
from softfold.noise.model import LEAST_WEIGHT, NoiseModel, as_noise_model, posterior
from softfold.noise.scoring import score
from softfold.soft_labels import SoftLabels

Decisions: TypeAlias = str | Path | pd.DataFrame

ROUNDS = 5
"""EM steps from the given noise model; each is one pass over the predictions."""

SHRINKAGE = 30.0
"""Items' worth of the given transition matrix that each learned row is drawn to."""


def confirm_soft_labels(soft: SoftLabels, decisions: Decisions) -> SoftLabels:
    """Soft labels with a hard, final one for every item whose label people confirmed.

    Decisions about other items, and those that are unsure or in conflict, change nothing.
    """
    rows, codes, _ = _confirmed(soft.item, soft.vocab, decisions)
    targets = taken(soft.targets, np.arange(len(soft)))
    targets[rows] = one_hot(codes, len(soft.vocab))
    return replace(soft, targets=targets)


def learn_noise(
    noise: NoiseModel, table: LabelTable, probabilities: np.ndarray, decisions: Decisions
) -> NoiseModel:
    """The noise model with what people decided as evidence.

    Explanations are weighed again by how likely they found what people found. In each, a confirmed
    item counts in T[truth, label as first given] with certainty; every other item counts by its
    posterior, as in EM. So a class pair that people found confused more often than the model
    thought raises the suspicion of all its other items.

    Args:
        noise: the model estimated without the decisions.
        table: the training items with corrected labels, as `apply_decisions` gives them.
        probabilities: out-of-fold predictions (N, K), row i of table.item[i].
        decisions: see `softfold.decisions.applying.read_decisions`; they must know the label
            first given, as a log and an exported table do.

    Returns:
        A model whose transition matrix says how labels came about, and whose rate and joint
        counts are of the labels as they stand now: confirmed ones are right.
    """
    noise = noise.in_order(table.vocab)
    rows, truth, first = _confirmed(table.item, table.vocab, decisions)
    use = first >= 0
    rows, truth, first = rows[use], truth[use], first[use]
    if not len(rows):
        return noise
    k = table.n_classes
    settled = np.zeros(len(table), dtype=bool)
    settled[rows] = True
    known = np.zeros((k, k))
    np.add.at(known, (truth, first), 1.0)
    explanations = reweighed(noise.explanations, first, probabilities[rows], truth)
    learned = [_learned(e, known, table, probabilities, ~settled) for e in explanations]
    current = replace(noise, explanations=tuple(learned), tilt=0.0)
    found = _audited_rate(current, table, probabilities, decisions)
    if found is not None:
        current = replace(current, tilt=_tilt(current, table, probabilities, ~settled, found))
    joint = _expected(current, table.given, probabilities, ~settled)
    joint += np.diag(np.bincount(truth, minlength=k)).astype(float)
    total = max(joint.sum(), 1e-30)
    rate = float(1 - np.trace(joint) / total)
    # What is settled is certain: the interval narrows with the share that is not.
    share = 1 - len(rows) / max(1, len(table))
    low, high = (share * (bound - noise.rate) for bound in noise.rate_interval)
    low, high = max(0.0, rate + low), min(1.0, rate + high)
    if found is not None:
        rate, low, high, checked = found
        current = replace(current, audited=checked)
    return replace(
        current,
        transition=np.sum([e.weight * e.transition for e in learned], axis=0),
        prior=joint.sum(axis=1) / total,
        rate=rate,
        rate_interval=(low, high),
        joint=joint,
    )


def audited_since(
    noise: NoiseModel, table: LabelTable, probabilities: np.ndarray, run: str | Path
) -> NoiseModel:
    """The noise model of a run made with decisions, after further items were checked at random.

    Args:
        noise: as `learn_noise` gave it.
        table: the training items of the run.
        probabilities: out-of-fold predictions (N, K).
        run: the run folder, with the decisions made before it and its log.
    """
    before, since = carried(run), logged(Path(run) / LOG)
    if before is None or not since["audited"].any():
        return noise
    new = since[~since["item"].isin(before["item"])]
    rows, truth = checked(new, table.item, table.vocab)
    explanations = reweighed(noise.explanations, table.given[rows], probabilities[rows], truth)
    current = replace(noise, explanations=explanations, tilt=0.0)
    found = _audited_rate(current, table, probabilities, run)
    if found is None:
        return noise
    confirmed = before.loc[before["state"] == "confirmed", "item"].to_numpy(dtype=object)
    tilt = _tilt(current, table, probabilities, ~np.isin(table.item, confirmed), found)
    rate, low, high, n = found
    return replace(current, rate=rate, rate_interval=(low, high), audited=n, tilt=tilt)


def _audited_rate(
    noise: NoiseModel, table: LabelTable, probabilities: np.ndarray, decisions: Decisions
) -> tuple[float, float, float, int] | None:
    """Rate and interval of the labels as they stand now, from decisions on items drawn at random.

    The audit says how many labels were wrong as first given; what people corrected or took out
    since is wrong no more. None where fewer than `FEWEST` items were checked at random.
    """

    def suspicion_of(given: np.ndarray) -> np.ndarray:
        return score(given, probabilities, noise).suspicion

    found = as_first_given(decisions, table.item, table.vocab, table.given, suspicion_of)
    if len(found.rows) < min(FEWEST, len(table)):
        return None
    return (*found.rate(), len(found.rows))


def _tilt(
    noise: NoiseModel,
    table: LabelTable,
    probabilities: np.ndarray,
    open_: np.ndarray,
    found: tuple[float, float, float, int],
) -> float:
    """What brings the suspicions of items that are open, of a mask, to what the audit found."""
    if not open_.any():
        return 0.0
    _, low, high, _ = found
    of_open = len(table) / open_.sum()
    suspicion = score(table.given, probabilities, noise).suspicion[open_]
    return tilt_into(suspicion, min(1.0, low * of_open), min(1.0, high * of_open))


def _learned(
    explanation: Explanation,
    known: np.ndarray,
    table: LabelTable,
    probabilities: np.ndarray,
    open_: np.ndarray,
) -> Explanation:
    """The explanation with its T drawn to what people found, by EM over the items left open."""
    if explanation.weight < LEAST_WEIGHT or explanation.name in ("clean", "no_class"):
        return explanation
    start = explanation.transition
    for _ in range(ROUNDS):
        alone = as_noise_model(explanation.transition, len(known))
        alone = replace(alone, explanations=(replace(explanation, weight=1.0),))
        counts = _expected(alone, table.given, probabilities, open_) + known
        explanation = replace(explanation, transition=_drawn(counts, start))
    return explanation


def _drawn(counts: np.ndarray, start: np.ndarray) -> np.ndarray:
    counts = counts + SHRINKAGE * start
    return counts / counts.sum(axis=1, keepdims=True)


def _expected(
    noise: NoiseModel, given: np.ndarray, probabilities: np.ndarray, which: np.ndarray
) -> np.ndarray:
    """Expected items by truth and given label, float64 (K, K), over the items of a mask."""
    k = probabilities.shape[1]
    by_given = np.zeros((k, k))
    for block in row_blocks(len(given), k):
        part = which[block]
        y = given[block][part]
        q = posterior(y, np.asarray(probabilities[block])[part], noise)
        np.add.at(by_given, y, q)
    return by_given.T


def _confirmed(
    item: np.ndarray, vocab: tuple[str, ...], decisions: Decisions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of confirmed items, their classes, and the classes first given (-1 where unknown)."""
    frame = read_decisions(decisions)
    frame = frame[frame["state"] == "confirmed"]
    rows, codes = find(item, frame["item"]), find(vocab, frame["label"])
    first = np.full(len(frame), -1)
    if "given" in frame:
        first = find(vocab, frame["given"])
    use = (rows >= 0) & (codes >= 0)
    return rows[use], codes[use], first[use]
