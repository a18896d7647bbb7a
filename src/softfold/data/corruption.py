"""Label noise made to order: how many labels are wrong is exact, which ones depends on the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from softfold.data.delimited import csv_text
from softfold.errors import InputError, count_of
from softfold.files import write_parquet, write_text

if TYPE_CHECKING:
    from softfold.data.table import LabelTable

KINDS = ("symmetric", "pair", "transition", "instance")


def corrupt(
    labels: Any,
    rate: float | None,
    kind: str = "symmetric",
    *,
    n_classes: int | None = None,
    features: np.ndarray | None = None,
    transition: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Labels of which exactly `round(rate * N)` are wrong.

    Args:
        labels: (N,) right labels, integers or class names; list, array or Series. The classes are
            the sorted distinct labels, or 0 to n_classes - 1.
        rate: fraction of labels to make wrong, 0 to 1. None with `transition`: as its matrix says.
        kind: "symmetric" (into any other class alike), "pair" (each class into the next one, the
            last into the first), "transition" (by `transition`) or "instance" (by `features`).
            All but "instance" spread the wrong labels over the classes, and over the cells of
            the transition matrix, by largest remainder.
        n_classes: K, for integer labels 0 to K-1 of which some class may have no item.
        features: (N, D) float features of the items, for kind "instance".
        transition: (K, K) matrix P(given | truth), rows truth, columns given, each row summing to
            1. Where `rate` is a number, the off-diagonal is scaled so that it comes out.
        seed: the same seed gives the same labels.

    Returns:
        (N,) array of the dtype of `labels`.

    Raises:
        InputError: a rate, kind, matrix or features that do not fit the labels.

    Kind "instance" follows Xia et al. 2020 (Part-dependent label noise, algorithm 2): flip rates
    from a normal distribution around `rate` (standard deviation 0.1, cut to 0..1), the other class
    from a softmax over a random projection of the item's features, one projection a class. Two
    things differ: columns are standardised first, so that units do not matter, and the number of
    flips is fixed (Pareto sampling, Rosén 1997, keeps the items' own rates as the chances).

    >>> corrupt([0, 0, 1, 1, 2, 2], 0.5, "pair")
    array([1, 0, 2, 1, 0, 2])
    >>> corrupt(["cat", "dog", "cat", "dog"], 0.5, seed=1)
    array(['dog', 'dog', 'cat', 'cat'], dtype='<U3')
    """
    values = np.asarray(labels)
    classes, codes = _classes(values, n_classes)
    _check(kind, rate, len(codes), len(classes), features, transition)
    rng = np.random.default_rng(seed)
    if kind == "instance":
        assert features is not None and rate is not None
        noisy = _by_instance(codes, len(classes), rate, np.asarray(features), rng)
    else:
        noisy = _by_transition(codes, _matrix(kind, len(classes), transition), rate, rng)
    out = values.copy()
    changed = noisy != codes
    out[changed] = classes[noisy[changed]]
    return out


def corrupt_table(
    table: LabelTable,
    rates: Sequence[float | None],
    kind: str = "symmetric",
    *,
    features: np.ndarray | None = None,
    transition: np.ndarray | None = None,
    holdout: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """The table with noisy labels, in the layout of Imagewoof's own `noisy_imagewoof.csv`.

    The truth is the table's own where it knows it, else its given labels.

    Args:
        table: label table of N items.
        rates: fractions of wrong labels, one a column; None with a transition matrix: its own.
        kind, features, transition, seed: as in `corrupt`; features in the order of `table.item`.
        holdout: corrupt the hold-out's labels too; they stay right by default.

    Returns:
        N rows: `path` (or `image` with encoded bytes, or the feature columns of tabular data),
        `noisy_labels_0` (the truth), `noisy_labels_<percent>` for every rate, `is_valid`.
    """
    truth = table.given.copy()
    if table.truth is not None:
        truth = np.where(table.truth >= 0, table.truth, truth)
    if features is not None and len(features) != len(table):
        raise InputError(f"{table.name}: {len(features):,} feature rows for {len(table):,} items")
    names = np.asarray(table.vocab, dtype=object)
    columns = _item_columns(table)
    columns["noisy_labels_0"] = names[truth]
    parts = [~table.valid, table.valid] if holdout else [~table.valid]
    for rate in rates:
        noisy = truth.copy()
        for rows in parts:
            if rows.any():
                noisy[rows] = corrupt(
                    truth[rows],
                    rate,
                    kind,
                    n_classes=table.n_classes,
                    features=None if features is None else features[rows],
                    transition=transition,
                    seed=seed,
                )
        shown = (noisy != truth)[~table.valid].mean() if rate is None else rate
        columns[f"noisy_labels_{100 * shown:.4g}"] = names[noisy]
    columns["is_valid"] = table.valid
    return pd.DataFrame(columns)


def corrupt_file(
    table: LabelTable,
    out: str | Path,
    rates: Sequence[float | None],
    kind: str = "symmetric",
    *,
    features: str | Path | None = None,
    transition: str | Path | None = None,
    holdout: bool = False,
    seed: int = 0,
) -> str:
    """Write the noisy table of `corrupt_table` to a CSV or Parquet file; what was done in a line.

    `features` is a .npy file (N, D) in the order of the table; `transition` a .npy, .csv (numbers
    only) or .json file (K, K), the `noise.json` of a run included.
    """
    out = Path(out)
    if out.suffix not in {".csv", ".parquet"}:
        raise InputError(f"--out {out}: write the noisy labels to a .csv or .parquet file")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: no such folder {out.parent}")
    frame = corrupt_table(
        table,
        rates,
        kind,
        features=None if features is None else _read_matrix(features, "features"),
        transition=None if transition is None else _read_matrix(transition, "transition"),
        holdout=holdout,
        seed=seed,
    )
    if out.suffix == ".parquet":
        write_parquet(out, frame)
    elif "image" in frame and isinstance(frame["image"].iloc[0], bytes):
        raise InputError(f"--out {out}: images that came as bytes need a .parquet file")
    else:
        write_text(out, csv_text(frame))
    columns = [c for c in frame if str(c).startswith("noisy_labels_") and c != "noisy_labels_0"]
    scope = np.ones(len(table), dtype=bool) if holdout else ~table.valid
    wrong = ", ".join(
        f"{(frame[c] != frame['noisy_labels_0'])[scope].sum():,} wrong in {c}" for c in columns
    )
    what = "item" if holdout or not table.valid.any() else "training item"
    return f"{out}: of {count_of(int(scope.sum()), what)} {wrong} ({kind}, seed {seed})"


def _classes(values: np.ndarray, n_classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The classes and (N,) int64 positions of the labels in them."""
    if values.ndim != 1:
        raise InputError(f"labels have shape {values.shape}; want one label an item, shape (N,)")
    if len(values) == 0:
        raise InputError("labels are empty: there is nothing to corrupt")
    missing = pd.isna(values)
    if missing.any():
        raise InputError(
            f"{missing.sum():,} of {count_of(len(values), 'label')} are missing; the first is "
            f"row {int(np.argmax(missing))}"
        )
    if n_classes is not None and np.issubdtype(values.dtype, np.integer):
        outside = (values < 0) | (values >= n_classes)
        if outside.any():
            row = int(np.argmax(outside))
            raise InputError(
                f"{outside.sum():,} of {count_of(len(values), 'label')} are not in 0 to "
                f"{n_classes - 1}; the first is {values[row]} in row {row}"
            )
        return np.arange(n_classes, dtype=values.dtype), values.astype(np.int64)
    try:
        classes, codes = np.unique(values, return_inverse=True)
    except TypeError:
        raise InputError("labels mix types that have no order: make them all text") from None
    if n_classes is not None and n_classes != len(classes):
        raise InputError(f"n_classes={n_classes}, but the labels name {len(classes)} classes")
    return classes, codes.astype(np.int64)


def _check(
    kind: str,
    rate: float | None,
    n: int,
    k: int,
    features: np.ndarray | None,
    transition: np.ndarray | None,
) -> None:
    if kind not in KINDS:
        raise InputError(f"unknown kind of noise {kind!r}: choose {', '.join(KINDS)}")
    if rate is None and kind != "transition":
        raise InputError(f"kind {kind!r} needs a rate: the fraction of labels to make wrong")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, Real)):
        raise InputError(f"rate {rate!r} is {type(rate).__name__}, not a number from 0 to 1")
    if rate is not None and not 0 <= rate <= 1:
        raise InputError(f"rate {rate} is not a fraction from 0 to 1 (25 percent is 0.25)")
    if k < 2:
        raise InputError("all labels are of one class: there is no other class to flip into")
    for given, name, wanted in (
        (features, "features", "instance"),
        (transition, "transition", "transition"),
    ):
        if given is None and kind == wanted:
            raise InputError(f"kind {kind!r} needs {name}=...")
        if given is not None and kind != wanted:
            raise InputError(f"{name} are used by kind {wanted!r} only, not by {kind!r}")
    if features is not None:
        shape = np.shape(features)
        if len(shape) != 2 or shape[0] != n:
            raise InputError(f"features have shape {shape}; want ({n}, D), one row a label")
        if not np.isfinite(np.asarray(features, dtype=float)).all():
            raise InputError("features hold NaN or infinite values: fill them in first")
    if transition is not None:
        matrix = np.asarray(transition, dtype=float)
        if matrix.shape != (k, k):
            raise InputError(f"transition has shape {matrix.shape}; want ({k}, {k})")
        if not (matrix >= 0).all():
            raise InputError("transition has negative or missing entries: they are probabilities")
        off = np.abs(matrix.sum(axis=1) - 1)
        if off.max() > 1e-4:
            row = int(off.argmax())
            raise InputError(
                f"transition's rows (truth) must sum to 1; row {row} sums to "
                f"{matrix[row].sum():.4g}"
            )


def _matrix(kind: str, k: int, transition: np.ndarray | None) -> np.ndarray:
    """(K, K) chances of the wrong labels relative to each other, zero diagonal."""
    if kind == "symmetric":
        matrix = np.full((k, k), 1 / (k - 1))
    elif kind == "pair":
        matrix = np.roll(np.eye(k), 1, axis=1)
    else:
        matrix = np.array(transition, dtype=float)
    np.fill_diagonal(matrix, 0)
    return matrix


def _largest_remainder(expected: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers nearest to `expected` that sum to `total`; ties go by lot."""
    counts = np.floor(expected + 1e-9).astype(np.int64)
    remainder = np.round(expected - counts, 9)
    order = np.lexsort((rng.random(len(expected)), -remainder))
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def _by_transition(
    codes: np.ndarray, matrix: np.ndarray, rate: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Labels flipped by a matrix of off-diagonal chances, its counts met by largest remainder."""
    k = len(matrix)
    sizes = np.bincount(codes, minlength=k)
    leaving = sizes * matrix.sum(axis=1)
    asked = leaving.sum() if rate is None else rate * len(codes)
    if asked == 0:
        return codes.copy()
    if leaving.sum() == 0:
        raise InputError("transition moves no label of a class that occurs: the rate must be 0")
    expected = leaving * (asked / leaving.sum())
    if (expected > sizes + 1e-9).any():
        row = int(np.argmax(expected - sizes))
        raise InputError(
            f"this rate asks for {expected[row]:.0f} wrong labels of class {row}, which has "
            f"{sizes[row]:,}: lower the rate, or spread transition over more classes"
        )
    noisy = codes.copy()
    flips = _largest_remainder(expected, round(float(asked)), rng)
    for truth in np.flatnonzero(flips):
        share = matrix[truth] / matrix[truth].sum()
        per_class = _largest_remainder(flips[truth] * share, int(flips[truth]), rng)
        rows = rng.permutation(np.flatnonzero(codes == truth))[: flips[truth]]
        noisy[rows] = np.repeat(np.arange(k), per_class)
    return noisy


def _by_instance(
    codes: np.ndarray,
    k: int,
    rate: float,
    features: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Labels flipped by the items' own rates and features (Xia et al. 2020, algorithm 2)."""
    noisy = codes.copy()
    n_wrong = round(rate * len(codes))
    if n_wrong == 0:
        return noisy
    scale = features.std(axis=0, dtype=float)
    x = (features - features.mean(axis=0, dtype=float)) / np.where(scale > 0, scale, 1)
    flip_rates = _truncated_normal(rate, 0.1, len(codes), rng)
    flipped = _pareto_sample(flip_rates, n_wrong, rng)
    for truth in np.unique(codes[flipped]):
        rows = flipped[codes[flipped] == truth]
        scores = x[rows] @ rng.standard_normal((x.shape[1], k))
        scores[:, truth] = -np.inf
        # the largest score after Gumbel noise is a draw from the softmax of the scores
        noisy[rows] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return noisy


def _truncated_normal(mean: float, sd: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) draws from a normal distribution cut to 0..1, by rejection."""
    out = rng.normal(mean, sd, n)
    while (outside := (out < 0) | (out > 1)).any():
        out[outside] = rng.normal(mean, sd, int(outside.sum()))
    return out


def _pareto_sample(chances: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a sample of fixed size with inclusion chances in proportion (Rosén 1997)."""
    chances = np.clip(chances * (size / chances.sum()), 1e-9, 1 - 1e-9)
    uniform = rng.random(len(chances))
    ranking = uniform / (1 - uniform) * (1 - chances) / chances
    return np.argsort(ranking, kind="stable")[:size]


def _item_columns(table: LabelTable) -> dict[str, Any]:
    """The columns that say what the items are, so that the written table can be read again."""
    from softfold.pixels.images import Images

    if isinstance(table.data, pd.DataFrame):
        return {str(c): table.data[c].to_numpy() for c in table.data}
    if isinstance(table.data, np.ndarray):
        return {f"feature_{j}": table.data[:, j] for j in range(table.data.shape[1])}
    if isinstance(table.data, Images) and len(table) and table.data.path(0) is None:
        return {"image": [table.data[i] for i in range(len(table))]}
    return {"path": table.item}


def _read_matrix(file: str | Path, what: str) -> np.ndarray:
    """(rows, columns) float64 from a .npy, .csv or .json file."""
    file = Path(file)
    if not file.is_file():
        raise InputError(f"--{what} {file}: no such file")
    try:
        if file.suffix == ".npy":
            matrix = np.load(file, allow_pickle=False)
        elif file.suffix == ".csv":
            matrix = pd.read_csv(file, header=None).to_numpy()
        elif file.suffix == ".json":
            content = json.loads(file.read_text())
            matrix = np.asarray(content["transition"] if isinstance(content, dict) else content)
        else:
            raise InputError(f"--{what} {file}: want a .npy, .csv or .json file")
        matrix = np.asarray(matrix, dtype=float)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, OSError, pd.errors.ParserError) as error:
        raise InputError(f"--{what} {file}: it holds no matrix of numbers ({error})") from None
    if matrix.ndim != 2:
        raise InputError(f"--{what} {file}: want a matrix of two dimensions, not {matrix.ndim}")
    return matrix
