"""The numbers a report states, computed from what a run holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from softfold.decisions.audit import AuditState, audit_state
from softfold.runs.folder import Run

SAMPLE = 200_000
"""Items that a curve over all items looks at, drawn evenly where there are more."""


@dataclass(frozen=True)
class Verdict:
    """One sentence, how it reads ("good", "bad", "even", "none"), and the caution beside it."""

    sentence: str
    tone: str
    note: str = ""


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction of 1 in percent.

    >>> percent(0.9337), percent(0.00004, 2)
    ('93.4%', '0.00%')
    """
    return f"{100 * fraction:.{digits}f}%"


def points(fraction: float) -> str:
    """A difference of two fractions in percentage points, with its sign.

    >>> points(0.0123), points(-0.004), points(-0.00002)
    ('+1.23', '−0.40', '−0.002')
    """
    text = f"{100 * fraction:+.2f}"
    if text in ("+0.00", "-0.00") and fraction != 0:
        text = f"{100 * fraction:+.1g}"
    return text.replace("-", "−")


def signed(value: float) -> str:
    """A difference of two measures, with its sign.

    >>> signed(0.0123), signed(-0.004)
    ('+0.0123', '−0.0040')
    """
    return f"{value:+.4f}".replace("-", "−")


def verdict(run: Run) -> Verdict:
    """What the run found, in one sentence, also when it is not in our favour."""
    metrics = run.get("metrics", {})
    difference = metrics.get("difference") or {}
    if {"mean", "low", "high"} <= difference.keys() and "baseline" in metrics and "soft" in metrics:
        before = float(np.mean(metrics["baseline"]["accuracy"]))
        after = float(np.mean(metrics["soft"]["accuracy"]))
        mean, low, high = (float(difference[key]) for key in ("mean", "low", "high"))
        n = int((metrics.get("data") or {}).get("n_valid", 0))
        on = f" on {n:,} hold-out items" if n else " on the hold-out"
        interval = f"95% interval {points(low)} to {points(high)}"
        figures = f"accuracy is {percent(before)} with the given labels, "
        figures += f"{percent(after)} with soft ones{on}"
        size = points(abs(mean))[1:]
        if low > 0:
            return Verdict(f"Soft labels gained {size} points: {figures} ({interval}).", "good")
        if high < 0:
            return Verdict(f"Soft labels cost {size} points: {figures} ({interval}).", "bad")
        return Verdict(
            f"Soft labels made no measurable difference: {figures} ({interval}).",
            "even",
        )
    wrong = expected_wrong(run)
    if wrong is None:
        return Verdict(f"{len(run.train):,} items have been cross-fitted.", "none")
    return Verdict(
        f"About {wrong.count:,.0f} of {len(run.train):,} given labels "
        f"({percent(wrong.count / max(1, len(run.train)))}) look wrong.",
        "none",
        "Nothing was trained to compare, so whether soft labels help here is not known.",
    )


@dataclass(frozen=True)
class ExpectedWrong:
    """How many given labels of the training items are expected to be wrong."""

    count: float
    low: float | None = None
    high: float | None = None


def expected_wrong(run: Run) -> ExpectedWrong | None:
    """From the run's audit, else the noise model's rate; without both, the sum of suspicions.

    None where nothing can be said.
    """
    n = len(run.train)
    noise = run.get("noise")
    checked = audit_of(run)
    if checked is not None:
        shares = [s for s in (checked.rate, checked.low, checked.high) if s is not None]
        if len(shares) == 3:
            return ExpectedWrong(*(n * share for share in shares))
    if noise is not None and noise.rate != noise.rate:
        return None
    if noise is not None:
        low, high = noise.rate_interval
        return ExpectedWrong(n * noise.rate, n * low, n * high)
    if len(run.ranking):
        return ExpectedWrong(float(np.nansum(run.suspicion)))
    return None


def audit_of(run: Run) -> AuditState | None:
    """What the run's audit says, None where fewer than two items are checked."""
    if not len(run.ranking):
        return None
    items = run.train["item"].to_numpy(dtype=object)
    suspicion = np.nan_to_num(run.suspicion)
    state = audit_state(
        run.path, items, run.vocab, run.codes("given"), suspicion, suspicion_of=run.suspicion_of
    )
    return None if state.rate is None else state


def worst_pairs(run: Run, top: int = 10) -> pd.DataFrame:
    """The class pairs where most labels are expected to be wrong.

    Columns truth, given (class names), share (T[truth, given]) and items (expected number,
    N * prior[truth] * T[truth, given]); most items first.
    """
    noise = run.get("noise")
    if noise is None:
        return pd.DataFrame(columns=["truth", "given", "share", "items"])
    matrix = noise.transition
    items = len(run.train) * noise.prior[:, None] * matrix
    np.fill_diagonal(items, -1)
    order = np.argsort(-items, axis=None, kind="stable")[:top]
    rows, columns = np.unravel_index(order, items.shape)
    keep = items[rows, columns] > 0
    rows, columns = rows[keep], columns[keep]
    names = np.array(run.vocab, dtype=object)
    return pd.DataFrame(
        {
            "truth": names[rows],
            "given": names[columns],
            "share": matrix[rows, columns],
            "items": items[rows, columns],
        }
    )


def evenly_spread(pairs: pd.DataFrame, run: Run) -> bool:
    """Whether the worst class pair is hardly worse than any other."""
    noise = run.get("noise")
    if noise is None or len(pairs) == 0:
        return False
    matrix = noise.transition
    errors = matrix[~np.eye(len(matrix), dtype=bool)]
    return bool(matrix.size > 4 and pairs["share"].max() < 2 * np.median(errors))


def calibration(run: Run, bins: int = 10) -> pd.DataFrame | None:
    """How often a prediction of a given confidence is right, out of fold.

    Columns confidence, accuracy, items; bins of equal width, empty ones left out. Right means
    equal to the truth where it is known for the items, else equal to the given label (`against`
    in the frame's attrs says which).
    """
    predictions = run.get("probabilities")
    if predictions is None or not len(run.train):
        return None
    rows = _sample(len(run.train))
    p = np.asarray(predictions[rows])
    truth = run.codes("truth")[rows]
    known = bool((truth >= 0).all())
    right = p.argmax(axis=1) == (truth if known else run.codes("given")[rows])
    confidence = p.max(axis=1)
    which = np.clip((confidence * bins).astype(int), 0, bins - 1)
    frame = pd.DataFrame({"confidence": confidence, "accuracy": right.astype(float), "bin": which})
    out = frame.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), items=("bin", "size")
    )
    out["items"] = (out["items"] * (len(run.train) / len(rows))).round().astype(int)
    out.attrs["against"] = "truth" if known else "given label"
    return out.reset_index(drop=True)


@dataclass(frozen=True)
class SuspicionCurve:
    """Wrong labels found when the first `looked_at` items of the ranking have been looked at."""

    looked_at: np.ndarray
    expected: np.ndarray
    measured: np.ndarray | None
    total_expected: float


def suspicion_curve(run: Run, length: int = 200) -> SuspicionCurve | None:
    """Expected (sum of suspicions) and, where the truth is known, measured wrong labels found."""
    order = run.ranking
    if not len(order):
        return None
    expected = np.cumsum(run.suspicion[order])
    total = float(expected[-1])
    stop = min(len(order), max(20, int(3 * max(total, 1))))
    at = np.unique(np.linspace(1, stop, min(length, stop)).round().astype(int))
    measured = None
    truth = run.codes("truth")
    if (truth[order] >= 0).all():
        wrong = np.cumsum((truth != run.codes("given"))[order])
        measured = wrong[at - 1].astype(float)
    return SuspicionCurve(at, expected[at - 1], measured, total)


def soft_examples(run: Run, top: int = 6) -> np.ndarray:
    """Rows of training items whose soft labels show what softening does.

    A third each: labels moved to another class, labels left in doubt, labels kept.
    """
    targets = run.get("targets")
    if targets is None or not len(run.train):
        return np.array([], dtype=int)
    rows = _sample(len(run.train), 20_000)
    q = np.asarray(targets[rows], dtype=np.float64)
    given = run.codes("given")[rows]
    on_given = q[np.arange(len(rows)), given]
    doubt = -np.sum(q * np.log(np.maximum(q, 1e-12)), axis=1)
    moved = np.argsort(on_given, kind="stable")
    doubtful = np.argsort(-doubt, kind="stable")
    kept = (
        np.argsort(np.abs(on_given - np.median(on_given[on_given > 0.5])))
        if (on_given > 0.5).any()
        else moved[::-1]
    )
    chosen: list[int] = []
    for order in (moved, doubtful, kept):
        fresh = [int(i) for i in order[: 3 * top] if int(i) not in chosen]
        chosen += fresh[: top // 3]
    return rows[np.array(chosen, dtype=int)]


def _sample(n: int, most: int = SAMPLE) -> np.ndarray:
    """At most `most` of n rows, evenly spread and in order."""
    if n <= most:
        return np.arange(n)
    return np.linspace(0, n - 1, most).round().astype(int)
