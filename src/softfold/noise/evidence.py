"""What given labels and probabilities say about the transition matrix, in little memory.

Only the largest probabilities of a row matter to the noise model, with that of the given label
and the sum of the rest. `Evidence` keeps those, so that all passes of EM over predictions of 1,000
classes run on some 16 numbers a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from softfold.arrays import each_block, row_blocks

EXACT_CLASSES = 64
"""Up to this many classes all probabilities are kept."""

KEPT = 16
"""With more classes, how many probabilities of each row are kept."""

UNMIX_STEPS = 30

FLOOR = 1e-7
"""Smaller probabilities count as this: float32 softmaxes underflow, and log 0 forgives nothing."""

LEAST_SHOWN, LEAST_PLATEAU, MOST_PLATEAU, FLAT, EXPLAINED = 50, 0.1, 0.6, 0.85, 0.85
"""For a `plateau`: items at least; how much the surest predictions and their labels disagree, at
least, and at most as a part of what two random labels do; and as a part of what the next surest
do, at least. Then the part of the first that a noise model must explain."""


@dataclass(frozen=True)
class Evidence:
    """labels (n,) int64; classes (n, m) int32; logs (n, m) float32: log probabilities of those
    classes; rest (n,) float32: the mean log probability of the other K - m classes (unused when
    m = K). n_classes: K.
    """

    labels: np.ndarray
    classes: np.ndarray
    logs: np.ndarray
    rest: np.ndarray
    n_classes: int

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def cells(self) -> np.ndarray:
        """int64 (n, m): where T[class, given label] is in a flat K x K table."""
        return self.classes.astype(np.int64) * self.n_classes + self.labels[:, None]

    @cached_property
    def own(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the given labels' own entries are in (n, m): rows, columns."""
        return np.arange(len(self)), (self.classes == self.labels[:, None]).argmax(axis=1)

    def take(self, rows: np.ndarray) -> Evidence:
        """These rows."""
        return Evidence(
            self.labels[rows], self.classes[rows], self.logs[rows], self.rest[rows], self.n_classes
        )

    def unmixed(self, transition: np.ndarray) -> Evidence:
        """The same with p(k | x) in place of p(given | x), unmixed through T (all classes kept)."""
        p = np.empty_like(self.logs)
        for rows in row_blocks(len(self), self.n_classes):
            p[rows] = unmix(np.exp(self.logs[rows]), transition)
        return replace(self, logs=np.log(np.maximum(p, FLOOR)))

    def at(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """p(k | x)**(1 / temperature), normalised: float32 (n, m), and what the rest sums to."""
        logs = self.logs / np.float32(temperature)
        top = logs.max(axis=1, keepdims=True)
        p = np.exp(logs - top)
        others = self.n_classes - self.classes.shape[1]
        rest = np.zeros(len(self), np.float32)
        if others:
            rest = others * np.exp(self.rest / np.float32(temperature) - top[:, 0])
        total = p.sum(axis=1) + rest
        return p / total[:, None], rest / total


@dataclass(frozen=True)
class Plateau:
    """share: of given labels that contradict the most certain predictions; error: its standard
    error; counts float64 (K, K): items of the surer half, by predicted class and given label.
    """

    share: float
    error: float
    counts: np.ndarray

    @property
    def least(self) -> float:
        """The least share of wrong labels with which a noise model explains it."""
        return EXPLAINED * (self.share - self.error)


def plateau(evidence: Evidence) -> Plateau | None:
    """Labels that are wrong whatever the item shows: also the surest predictions meet them.

    Of the items predicted as a class, the tenth with the largest probability is compared with
    those from there to the middle. Where classes are hard to tell apart the first are right far
    more often; where labels are wrong at random, or by rules that do not follow the borders of
    classes, both disagree with their labels alike. None where the first disagree less (by a
    standard error), hardly ever, or so often that the features may tell nothing at all.
    """
    n, k = len(evidence), evidence.n_classes
    rows, column = np.arange(n), evidence.logs.argmax(axis=1)
    predicted, certain = evidence.classes[rows, column], evidence.logs[rows, column]
    order = np.lexsort((-certain, predicted))
    sizes = np.bincount(predicted, minlength=k)
    place = np.empty(n)
    place[order] = rows - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = (place + 0.5) / sizes[predicted]
    wrong = predicted != evidence.labels
    first, second = place < 0.1, (place >= 0.1) & (place < 0.5)
    if min(first.sum(), second.sum()) < LEAST_SHOWN:
        return None
    share = float(wrong[first].mean())
    error = float(np.sqrt(share * (1 - share) / first.sum()))
    chance = 1 - ((np.bincount(evidence.labels, minlength=k) / n) ** 2).sum()
    if not LEAST_PLATEAU <= share < min(0.5, MOST_PLATEAU * chance):
        return None
    if share - error < FLAT * wrong[second].mean():
        return None
    cells = predicted[place < 0.5].astype(np.int64) * k + evidence.labels[place < 0.5]
    return Plateau(share, error, np.bincount(cells, minlength=k * k).reshape(k, k).astype(float))


def gather(
    labels: np.ndarray, probabilities: np.ndarray, chosen: np.ndarray | None = None
) -> Evidence:
    """Evidence from given labels (N,) and probabilities (N, K), read once in blocks; of the rows
    `chosen` (n,) or of all.
    """
    labels = labels if chosen is None else labels[chosen]
    n, k = len(labels), probabilities.shape[1]
    m = k if k <= EXACT_CLASSES else KEPT
    classes = np.empty((n, m), np.int32)
    logs = np.empty((n, m), np.float32)
    rest = np.zeros(n, np.float32)
    classes[:] = np.arange(m, dtype=np.int32)

    def work(rows: slice) -> None:
        p = np.array(probabilities[rows if chosen is None else chosen[rows]], dtype=np.float32)
        if m < k:
            classes[rows] = _given_and_largest(labels[rows], p, m)
            here = np.arange(len(p))[:, None]
            value = p[here, classes[rows]]
            p[here, classes[rows]] = 0
            rest[rows] = np.log(np.maximum(p.sum(axis=1) / (k - m), FLOOR))
            p = value
        logs[rows] = np.log(np.maximum(p, FLOOR))

    each_block(work, n, k)
    return Evidence(labels, classes, logs, rest, k)


def _given_and_largest(labels: np.ndarray, p: np.ndarray, m: int) -> np.ndarray:
    """The given class of each row and the m - 1 likeliest others, int64 (n, m)."""
    rows, left = np.arange(len(p)), p.copy()
    kept = np.empty((len(p), m), np.int64)
    kept[:, 0] = labels
    for i in range(1, m):
        # A few passes for the largest cost less than a partial sort.
        left[rows, kept[:, i - 1]] = -1
        left.argmax(axis=1, out=kept[:, i])
    return kept


def unmix(p: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """The q (n, K) on the simplex whose q T is nearest to predictions p (n, K) of given labels.

    Nearest by Kullback-Leibler divergence, by `UNMIX_STEPS` of EM (Richardson 1972, Lucy 1974).
    """
    t = transition.astype(np.float32)
    q = p / p.sum(axis=1, keepdims=True)
    for _ in range(UNMIX_STEPS):
        q *= (p / np.maximum(q @ t, np.float32(1e-12))) @ t.T
        q /= np.maximum(q.sum(axis=1, keepdims=True), np.float32(1e-30))
    return q


def through(evidence: Evidence, transition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T[k, y_i] of the classes kept, float32 (n, m), and its mean over wrong classes (n,)."""
    transition = transition.astype(np.float32)
    background = transition.sum(axis=0) - np.diag(transition)
    background /= max(1, evidence.n_classes - 1)
    return transition.ravel()[evidence.cells], background[evidence.labels]


def log_likelihood(
    evidence: Evidence, temperature: float, transition: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """log p(given | x) of each item, float64 (n,); `transition` from `through`."""
    p, rest = evidence.at(temperature)
    p *= transition[0]
    total = p.sum(axis=1) + rest * transition[1]
    return np.log(np.maximum(total, np.float32(1e-30)), dtype=np.float64)


@dataclass(frozen=True)
class Expected:
    """One E-step. counts (K, K): expected items by truth and given label. log_likelihood (n,):
    log p(given | x) of each item. suspicion (n,): 1 - p(truth = given | x, given).
    """

    counts: np.ndarray
    log_likelihood: np.ndarray
    suspicion: np.ndarray


def expect(
    evidence: Evidence,
    p: np.ndarray,
    rest: np.ndarray,
    transition: np.ndarray,
    weights: np.ndarray | None = None,
) -> Expected:
    """r[i, k] proportional to p[i, k] T[k, y_i], summed by (k, y_i); `p`, `rest` from `at`."""
    k = evidence.n_classes
    counts = None
    levels = np.empty(len(evidence))
    suspicion = np.empty(len(evidence), np.float32)
    rest_counts = np.zeros(k)
    taken, background = through(evidence, transition)
    for rows in row_blocks(len(evidence), p.shape[1]):
        y = evidence.labels[rows]
        joint = p[rows] * taken[rows]
        beyond = rest[rows] * background[rows]
        total = np.maximum(joint.sum(axis=1) + beyond, np.float32(1e-30))
        joint /= total[:, None]
        levels[rows] = np.log(total)
        here, own = evidence.own
        suspicion[rows] = np.clip(1 - joint[here[: len(y)], own[rows]], 0, 1)
        weighted = joint if weights is None else joint * weights[rows, None]
        cells = evidence.cells[rows].ravel()
        part = np.bincount(cells, weights=weighted.ravel(), minlength=k * k)
        counts = part if counts is None else counts + part
        beyond = beyond / total
        if weights is not None:
            beyond = beyond * weights[rows]
        rest_counts += np.bincount(y, weights=beyond, minlength=k)
    counts = counts.reshape(k, k)
    if p.shape[1] < k:
        share = counts.sum(axis=1) / max(counts.sum(), 1e-30)
        counts += share[:, None] * rest_counts[None]
    return Expected(counts, levels, suspicion)


def symmetric(n_classes: int, rate: float) -> np.ndarray:
    """(1 - rate) on the diagonal, the rest spread evenly over the other classes."""
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


def maximise(counts: np.ndarray, shrink: float) -> np.ndarray:
    """T from expected counts, each row drawn to even noise at the overall rate by `shrink` items.

    With `shrink` infinite, T is symmetric: one number is estimated.
    """
    k = len(counts)
    total = max(counts.sum(), 1e-30)
    rate = float(np.clip(1 - np.trace(counts) / total, 1e-6, 1 - 1 / k))
    if np.isinf(shrink):
        return symmetric(k, rate)
    drawn = counts + shrink * (rate / (k - 1))
    np.fill_diagonal(drawn, counts.diagonal() + shrink * (1 - rate))
    drawn /= counts.sum(axis=1, keepdims=True) + shrink
    return drawn


def confident_joint(evidence: Evidence) -> np.ndarray:
    """Counts (K, K), rows truth, columns given (Northcutt et al. 2021, equation 1).

    An item counts for the likeliest class among those whose probability reaches the mean that
    the class has over the items given as it; rows are then scaled to the given labels' counts.
    """
    k, y = evidence.n_classes, evidence.labels
    p = np.exp(evidence.logs)
    own = p[evidence.own]
    given = np.bincount(y, minlength=k)
    threshold = np.bincount(y, weights=own, minlength=k) / np.maximum(given, 1)
    threshold[given == 0] = np.inf
    sure = p >= threshold[evidence.classes]
    best = np.where(sure, p, -1).argmax(axis=1)
    rows = np.arange(len(y))
    counted = sure[rows, best]
    truth = evidence.classes[rows, best]
    joint = np.bincount(truth[counted].astype(np.int64) * k + y[counted], minlength=k * k)
    joint = joint.reshape(k, k).astype(float)
    empty = np.flatnonzero(joint.sum(axis=0) == 0)
    joint[empty, empty] = given[empty]
    joint *= given / np.maximum(joint.sum(axis=0), 1e-30)
    return joint
