"""How good predictions are, and whether one set of them is better than another."""

from __future__ import annotations

import numpy as np

from softfold.arrays import likeliest
from softfold.errors import InputError, count_of


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of items whose most probable class is the label.

    Args:
        probabilities: (M, K) float.
        labels: (M,) int, 0 to K-1.

    >>> accuracy(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    0.5
    """
    probabilities, labels = _checked(probabilities, labels)
    return float((likeliest(probabilities) == labels).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p(label) in nats; probabilities below 1e-7 count as 1e-7.

    >>> round(log_loss(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])), 4)
    0.3466
    """
    probabilities, labels = _checked(probabilities, labels)
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-7)).mean())


def roc_auc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Area under the ROC curve: of column 1 where K is 2, else the mean over one class to the rest.

    Args:
        probabilities: (M, K) float.
        labels: (M,) int, 0 to K-1.

    Returns:
        0 to 1, or None where a class has no item (its area is not defined).

    >>> roc_auc(np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), np.array([0, 1, 1]))
    1.0
    """
    probabilities, labels = _checked(probabilities, labels)
    k = probabilities.shape[1]
    if (np.bincount(labels, minlength=k) == 0).any():
        return None
    if k == 2:
        return binary_auc(probabilities[:, 1], labels == 1)
    return float(np.mean([binary_auc(probabilities[:, j], labels == j) for j in range(k)]))


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Mean precision over the positives, ranked by score, ties as one step (no interpolation).

    Args:
        scores: (M,) float, larger for likelier positives.
        positive: (M,) bool.

    Returns:
        0 to 1, or None where nothing is positive.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True]))
    0.8333333333333333
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    if scores.shape != positive.shape or scores.ndim != 1:
        raise InputError(f"scores {scores.shape} and positive {positive.shape}: want both (M,)")
    if np.isnan(scores).any():
        raise InputError(f"{np.isnan(scores).sum():,} of {count_of(len(scores), 'score')} are NaN")
    if not positive.any():
        return None
    order = np.argsort(-scores, kind="stable")
    step_ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[step_ends]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (step_ends + 1)).sum() / positive.sum())


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3).

    The gap between the largest probability and the accuracy, averaged over `bins` equal bins of
    that probability, each with the weight of its items.

    >>> round(calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])), 3)
    0.3
    """
    probabilities, labels = _checked(probabilities, labels)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def measured_by_seed(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """`accuracy` and `roc_auc` of each seed's probabilities (S, M, K), as metrics.json has them.

    There is no `roc_auc` where the labels (M,) lack a class.

    >>> measured_by_seed(np.array([[[0.9, 0.1], [0.8, 0.2]]]), np.array([0, 1]))
    {'accuracy': [0.5], 'roc_auc': [1.0]}
    """
    out = {"accuracy": [float(accuracy(p, labels)) for p in probabilities]}
    areas = [area for p in probabilities if (area := roc_auc(p, labels)) is not None]
    if len(areas) == len(probabilities):
        out["roc_auc"] = [float(area) for area in areas]
    return out


def paired_difference(
    baseline: np.ndarray,
    soft: np.ndarray,
    labels: np.ndarray,
    *,
    n_boot: int = 10_000,
    seed: int = 0,
) -> dict[str, float | str]:
    """Accuracy of `soft` less that of `baseline` on the same items and seeds, with its doubt.

    Args:
        baseline, soft: (S, M, K) probabilities of S seeds on M items, or (S, M) predicted classes.
        labels: (M,) int, what counts as right.
        n_boot: bootstrap draws.
        seed: of the bootstrap.

    Returns:
        `mean`, `low`, `high` (95% interval) and `p_value` (two-sided, of no difference) in
        fractions of 1; `over`: "seeds and items", or "items" where S is 1: then the interval says
        nothing of what another seed would give.

    The draws resample seeds and items together (Owen 2007, the pigeonhole bootstrap). With few
    seeds they are too narrow: three seeds give a variance of only two degrees of freedom, which is
    a third too small when resampled. So the draws' deviations are scaled to the variance of the
    crossed random effects model d[s, i] = mu + seed + item + rest, and stretched to Student's t
    with Satterthwaite's degrees of freedom. The interval is symmetric and excludes 0 exactly where
    p_value is below 0.05 (but for the draws' own grain).

    >>> right = np.array([[0, 1, 1, 0]])
    >>> paired_difference(right, right, right[0])["p_value"]
    1.0
    """
    labels = np.asarray(labels)
    d = _right(soft, labels, "soft") - _right(baseline, labels, "baseline")
    if np.shape(baseline)[0] != np.shape(soft)[0]:
        raise InputError(f"baseline has {len(baseline)} seeds, soft has {len(soft)}: want pairs")
    return interval_of(d, float(d.mean()), n_boot=n_boot, seed=seed)


def interval_of(
    d: np.ndarray,
    mean: float,
    *,
    unseen: tuple[float, float] = (0.0, np.inf),
    n_boot: int = 10_000,
    seed: int = 0,
) -> dict[str, float | str]:
    """What `paired_difference` gives, of differences d (S seeds, M items) around their `mean`.

    unseen: a variance of the mean that d does not show, and the most degrees of freedom.
    """
    n_seeds = len(d)
    result: dict[str, float | str] = {"mean": mean}
    error, freedom = _standard_error(d)
    variance, freedom = unseen[0], min(freedom, unseen[1])
    if error == variance == 0:
        spread, p_value = 0.0, 1.0 if mean == 0 else 1 / (n_boot + 1)
    else:
        rng = np.random.default_rng(seed)
        deviations = np.zeros(n_boot)
        if error > 0:
            deviations += _bootstrap_means(d, n_boot, rng) - mean
            deviations *= error / deviations.std()
        if variance > 0:
            deviations += rng.normal(0, np.sqrt(variance), n_boot)
        deviations *= np.sqrt(freedom / rng.chisquare(freedom, n_boot))
        spread = float(np.quantile(np.abs(deviations), 0.95))
        p_value = float((1 + (np.abs(deviations) >= abs(mean)).sum()) / (n_boot + 1))
    result["low"], result["high"] = max(mean - spread, -1.0), min(mean + spread, 1.0)
    result["p_value"] = p_value
    result["over"] = "items" if n_seeds == 1 else "seeds and items"
    return result


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise InputError(
            f"probabilities {probabilities.shape} and labels {labels.shape}: want (M, K) and (M,)"
        )
    if len(labels) == 0:
        raise InputError("there are no items to measure on")
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise InputError(
            f"{bad.sum():,} of {count_of(len(bad), 'prediction')} are NaN or infinite; the first "
            f"is row {int(np.argmax(bad))}"
        )
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        row = int(np.argmax((labels < 0) | (labels >= probabilities.shape[1])))
        raise InputError(
            f"label {labels[row]} in row {row} is not in 0 to {probabilities.shape[1] - 1}"
        )
    return probabilities, labels


def binary_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mann-Whitney statistic by the mean ranks of the positives, so that ties count a half."""
    ordered = np.sort(scores)
    chosen = scores[positive]
    ranks = np.searchsorted(ordered, chosen, "left") + np.searchsorted(ordered, chosen, "right")
    n_positive, n_negative = len(chosen), len(scores) - len(chosen)
    mean_rank_sum = (ranks.sum() + n_positive) / 2
    return float((mean_rank_sum - n_positive * (n_positive + 1) / 2) / n_positive / n_negative)


def _right(predictions: np.ndarray, labels: np.ndarray, name: str) -> np.ndarray:
    """(S, M) int8, 1 where the prediction is right."""
    predictions = np.asarray(predictions)
    if predictions.ndim not in (2, 3) or labels.shape != predictions.shape[1:2]:
        raise InputError(
            f"{name} {predictions.shape} and labels {labels.shape}: want (S, M, K) or (S, M), (M,)"
        )
    if predictions.size == 0:
        raise InputError(f"{name} {predictions.shape} holds no predictions")
    if predictions.ndim == 3:
        if not np.isfinite(predictions).all():
            raise InputError(f"{name} holds NaN or infinite probabilities")
        predictions = predictions.argmax(axis=2)
    return (predictions == labels).astype(np.int8)


def _standard_error(d: np.ndarray) -> tuple[float, float]:
    """Standard error of the mean of (S, M) differences and its degrees of freedom.

    With variances a of seeds, b of items and e of the rest, the mean of seeds varies by
    a + e / M and the mean of items by b + e / S, so the grand mean by their sum over S and M less
    e / (S M), which both contain. Degrees of freedom by Satterthwaite 1946.
    """
    s, m = d.shape
    if m == 1:
        return 0.0, 1.0
    item_mean = d.mean(axis=0)
    of_items = item_mean.var(ddof=1) / m
    if s == 1:
        return float(np.sqrt(of_items)), m - 1.0
    seed_mean = d.mean(axis=1)
    of_seeds = seed_mean.var(ddof=1) / s
    # sum of squares about both means, without an (S, M) array of residuals in float
    total = np.square(d, dtype=np.float64).sum() - s * m * d.mean() ** 2
    rest = total - s * (m - 1) * m * of_items - m * (s - 1) * s * of_seeds
    of_rest = max(rest, 0.0) / ((s - 1) * (m - 1)) / (s * m)
    # no less than the items alone: the variance of seeds cannot be negative
    if of_seeds <= of_rest:
        return float(np.sqrt(of_items)), m - 1.0
    variance = of_items + of_seeds - of_rest
    freedom = variance**2 / (
        of_seeds**2 / (s - 1) + of_items**2 / (m - 1) + of_rest**2 / ((s - 1) * (m - 1))
    )
    return float(np.sqrt(variance)), float(freedom)


def _bootstrap_means(d: np.ndarray, n_boot: int, rng: np.random.Generator) -> np.ndarray:
    """(n_boot,) means of `d` (S, M) with its seeds and its items drawn with replacement.

    Items with the same differences in all seeds are one cell of a multinomial draw, of which there
    are few (at most 3^S), so that neither time nor memory grows with M * n_boot.
    """
    s, m = d.shape
    patterns, counts = np.unique(d, axis=1, return_counts=True)
    out = np.empty(n_boot)
    step = max(1, 10_000_000 // len(counts))
    for start in range(0, n_boot, step):
        size = min(step, n_boot - start)
        items = rng.multinomial(m, counts / m, size=size)
        seeds = rng.multinomial(s, np.full(s, 1 / s), size=size)
        seed_means = items @ patterns.T.astype(np.float64)
        out[start : start + size] = (seed_means * seeds).sum(axis=1) / (s * m)
    return out
