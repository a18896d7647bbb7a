"""Given labels and predictions, in every form that people have them, made one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from softfold.align.frames import as_frame
from softfold.align.keys import (
    as_keys,
    as_objects,
    find,
    match_columns,
    match_rows,
    refuse_repeats,
    some,
    sort_names,
    take_part,
    unique_names,
)
from softfold.align.matrices import HasKeys, as_keyed, numbered, refuse_keys_of_one
from softfold.arrays import check_both, check_independent, check_probabilities
from softfold.errors import InputError, count_of

TRUE, PREDICTED = "y_true_", "y_pred_"
"""How the columns of a frame of one-hot labels and of predictions begin."""

_MOST_DOUBTED = 2000
"""Classes up to which the order of columns is looked at: K x K counts."""

_FEWEST_DOUBTED = 200
"""Items from which on predictions that tell nothing of the labels may be those of other items."""


@runtime_checkable
class HasGiven(Protocol):
    """Items with their given labels: a LabelTable."""

    @property
    def item(self) -> np.ndarray: ...
    @property
    def given(self) -> np.ndarray: ...
    @property
    def vocab(self) -> tuple[str, ...]: ...
    @property
    def valid(self) -> np.ndarray: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Aligned:
    """Given labels and predictions of the same items and classes, checked.

    Attributes:
        labels: (N,) int64, each in 0..K-1.
        probabilities: (N, K), row i of the item of labels[i]; not copied where it was in order.
        item: (N,) str keys where the labels came with keys, else None.
        vocab: K class names in column order where the labels have names, else None.
        columns: the same, also where the predictions alone have names.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    item: np.ndarray | None = None
    vocab: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None


def align_predictions(
    labels: Any, probabilities: Any = None, vocab: Iterable[Any] | None = None
) -> Aligned:
    """Given labels beside the predictions of the same items and classes.

    Args:
        labels: one of
            int (N,), the number of a column of `probabilities`, or of a name in `vocab`;
            names (N,), also as a Series;
            a LabelTable, of which the training part is used;
            a data frame with one-hot columns `y_true_*` and predictions `y_pred_*`, its index
            the items' keys (then there are no `probabilities`). A class that only the labels or
            only the predictions have a column of is zero in the others.
        probabilities: one of
            a matrix (N, K), rows in the order of the labels. Beside a table it may have the rows
            of the training part or of all items; the length decides. Columns are in the order of
            `vocab`, else of the table's vocab, else of the sorted names;
            an OutOfFold or SoftLabels, or a data frame whose index has the items' keys and whose
            columns have the class names: in any order, and with further items. A frame numbered
            from 0, as pandas does by itself, goes by position. A frame of polars has the keys in
            a column `item`. Beside labels without keys an OutOfFold has the order of its table;
            a frame with keys is refused there.
        vocab: K class names.

    Returns:
        Rows in the order of the labels; columns in the order of the table's vocab, else of
        `vocab`, else of the predictions, else of the sorted names.

    Raises:
        InputError: an item without a prediction, a class that only one side has, a key that
            repeats, labels or probabilities that are none; the first offender is named.
    """
    names = None if vocab is None else unique_names(vocab, "vocab")
    if not isinstance(labels, np.ndarray):
        labels = as_frame(labels)
    if isinstance(labels, pd.DataFrame):
        if probabilities is not None and not any(str(c).startswith(TRUE) for c in labels):
            raise InputError(
                "labels are a data frame: give softfold.read_table(frame), or its column of labels"
            )
        if probabilities is not None:
            raise InputError("the data frame holds the predictions as well; give it alone")
        return _of_frame(labels, names)
    if probabilities is None:
        raise InputError("probabilities are missing (N x K out-of-fold predictions)")
    # Asking a protocol is slow for what two arrays cost.
    if not isinstance(labels, np.ndarray) and isinstance(labels, HasGiven):
        return _of_table(labels, probabilities, names)
    return _of_labels(labels, probabilities, names)


def align_second(
    labels: Any, probabilities: Any, second: Any, vocab: Iterable[Any] | None = None
) -> np.ndarray:
    """Another model's predictions (N, K) of the items and classes of `align_predictions`.

    labels, probabilities and vocab are those of `align_predictions`; `second` has any form that
    `probabilities` have. It is matched by key and class name to what is known of either: the
    labels' keys and names, else those of `probabilities`.

    Raises:
        InputError: `second` and what is wrong with it, as for `probabilities`.
    """
    both = align_predictions(labels, probabilities, vocab)
    names, item = both.vocab, both.item
    try:
        if isinstance(labels, HasGiven):
            other = align_predictions(labels, second, vocab)
        else:
            own = own_keys(labels)
            item = item if own is None else own
            if not isinstance(labels, pd.DataFrame):
                first = as_keyed(probabilities, "predictions", "a prediction", None, names)
                names, item = names or first.vocab, first.item if item is None else item
            keyed = both.labels if item is None else pd.Series(both.labels, index=as_objects(item))
            other = align_predictions(keyed, second, names)
        if other.probabilities.shape != both.probabilities.shape:
            raise InputError(
                f"predictions of shape {other.probabilities.shape}; the first are of shape "
                f"{both.probabilities.shape}"
            )
    except InputError as error:
        raise InputError(f"second: {error}") from None
    return other.probabilities


def align_targets(table: HasGiven, targets: Any) -> np.ndarray:
    """Targets float32 (N, K) of the training items of a table, in its order of rows and classes.

    Args:
        table: the label table.
        targets: SoftLabels, an OutOfFold, a data frame (keys and class names), or a matrix in the
            order of the table (its training part or all items; the length decides). Those of a
            multi-label table need not sum to 1.

    Raises:
        InputError: an item or class without target, or rows that are no distributions.
    """
    item, given, train = training_part(table)
    matrix = of_training(table, item, train, targets, None, "targets", "a target")
    check = check_probabilities if given.ndim == 1 else check_independent
    return check(matrix, "targets").astype(np.float32, copy=False)


def refuse_multi_label(table: Any) -> None:
    """Raises InputError where items may have several labels and this is about one label an item."""
    if getattr(table, "multi_label", False):
        raise InputError(
            f"{table.name}: a multi-label table, and this is for one label an item; what there is "
            "for several is in softfold.multilabel (docs/multilabel.md)"
        )


def _of_table(table: HasGiven, probabilities: Any, names: tuple[str, ...] | None) -> Aligned:
    item, given, train = training_part(table)
    refuse_multi_label(table)
    matrix = of_training(table, item, train, probabilities, names, "predictions", "a prediction")
    labels, matrix = check_both(given, matrix)
    vocab = unique_names(table.vocab, "classes")
    return Aligned(labels, matrix, item, vocab, vocab)


def training_part(table: HasGiven) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Keys and given labels of the training items, and their rows (None: all are)."""
    valid = np.asarray(table.valid)
    if not valid.any():
        return as_keys(table.item), table.given, None
    train = np.flatnonzero(~valid)
    if not len(train):
        raise InputError(f"{table.name}: all its items are in the hold-out, none to learn from")
    return as_keys(table.item[train]), table.given[train], train


def of_training(
    table: HasGiven,
    item: np.ndarray,
    train: np.ndarray | None,
    value: Any,
    names: tuple[str, ...] | None,
    what: str,
    row: str,
) -> np.ndarray:
    """A matrix with the rows of a table's training items and the columns of its classes."""
    vocab = unique_names(table.vocab, f"classes of {table.name}")
    columns = None if names is None else match_columns(names, vocab, "vocab=")
    matrix = as_keyed(value, what, row, item, vocab)
    shape = matrix.values.shape
    if matrix.vocab is not None:
        columns = match_columns(matrix.vocab, vocab, matrix.what)
    if matrix.item is not None:
        lacks, of = f"without {matrix.row}", f"keys of the {matrix.what}"
        own = isinstance(value, HasKeys)
        after = "; the items of a run, with its hold-out, are run.table()" if own else ""
        rows = match_rows(matrix.item, item, lacks, noun="training item", of=of, after=after)
        return take_part(matrix.values, rows, columns)
    n = len(table.item)
    if len(shape) != 2 or shape[1] != len(vocab) or shape[0] not in (len(item), n):
        whole = "" if train is None else f" ({n:,} with the hold-out)"
        raise InputError(
            f"{matrix.what} of shape {shape} do not fit {table.name} with "
            f"{count_of(len(item), 'training item')}{whole} and {len(vocab):,} classes"
        )
    return take_part(matrix.values, None if shape[0] == len(item) else train, columns)


def _doubt_order(codes: np.ndarray, values: np.ndarray, names: Sequence[str]) -> None:
    """Warn where names were taken in sorted order and columns look like another order.

    They do where of most labels another class is predicted more often than the label itself, and
    these are different classes: a model that says one class of nearly all items tells no order.
    """
    k = len(names)
    if k > _MOST_DOUBTED or values.ndim != 2 or not len(codes):
        return
    cells = codes * k + np.asarray(values).argmax(axis=1)
    counts = np.bincount(cells, minlength=k * k).reshape(k, k)
    likeliest = counts.argmax(axis=1)[counts.any(axis=1)]
    elsewhere = likeliest != np.flatnonzero(counts.any(axis=1))
    if (
        2 * elsewhere.sum() > k
        and 2 * len(np.unique(likeliest)) > k
        and (2 * np.trace(counts) < counts.max(axis=1).sum())
    ):
        warnings.warn(
            f"the columns are taken in the sorted order of the names ({names[0]!r}, {names[1]!r}, "
            "...), and of most labels another class is predicted: if the columns have another "
            "order, say it with vocab=",
            stacklevel=4,
        )


class RowsDoubted(UserWarning):
    """Predictions tell nothing of the labels."""


def doubt_rows(n: int, so: str) -> None:
    """Warn that predictions tell nothing of n labels, and what follows: `so`; few may not tell."""
    if n >= _FEWEST_DOUBTED:
        warnings.warn(
            f"predictions tell nothing of these labels, {so}: are their rows and columns those of "
            "the labels?",
            RowsDoubted,
            stacklevel=3,
        )


def _of_labels(labels: Any, probabilities: Any, names: tuple[str, ...] | None) -> Aligned:
    """Labels without a table: rows by position, unless both sides have keys."""
    item, rows, columns = own_keys(labels), None, None
    matrix = as_keyed(probabilities, "predictions", "a prediction", item, names)
    if matrix.item is None:
        item = None
    elif item is None and _counted(labels, matrix.item):
        item = as_keys(labels.index)
    elif item is None:
        refuse_keys_of_one(probabilities, matrix)
    if item is not None:
        refuse_repeats(item, "keys of the labels")
        lacks, of = f"without {matrix.row}", f"keys of the {matrix.what}"
        rows = match_rows(matrix.item, item, lacks, noun="label", of=of)
    codes, named = _codes(labels, names or matrix.vocab)
    found = names or named
    if matrix.vocab is None and matrix.values.ndim == 2 and found:
        _check_count(found, matrix.values.shape[1], given=names is not None)
    if matrix.vocab is not None and names is not None:
        columns = match_columns(matrix.vocab, names, matrix.what, "vocab=")
    codes, values = check_both(codes, take_part(matrix.values, rows, columns))
    if named and names is None and matrix.vocab is None:
        _doubt_order(codes, values, named)
    return Aligned(codes, values, item, found, found or matrix.vocab)


def own_keys(labels: Any) -> np.ndarray | None:
    """The keys of a Series whose index is not the one that pandas gives by itself."""
    if isinstance(labels, pd.Series) and not numbered(labels.index):
        return as_keys(labels.index)
    return None


def _counted(labels: Any, keys: np.ndarray) -> bool:
    """Whether the numbers from 0 that pandas gives a Series are among the predictions' keys."""
    return isinstance(labels, pd.Series) and bool((find(keys, as_keys(labels.index)) >= 0).all())


def _codes(labels: Any, vocab: tuple[str, ...] | None) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Labels as numbers of classes; with the classes' names where they are names."""
    try:
        values = np.asarray(labels)
    except ValueError:
        raise InputError("labels: expected one label an item, got lists of other lengths") from None
    if values.ndim != 1 or values.dtype.kind not in "OUT":
        return values, None
    kind = pd.api.types.infer_dtype(as_objects(values), skipna=False)
    if kind == "integer":
        return values.astype(np.int64), None
    if not len(values):
        raise InputError("labels: there are none")
    if kind != "string":
        odd = np.array([not isinstance(value, str) for value in values], dtype=bool)
        first = int(np.argmax(odd))
        raise InputError(
            f"labels: {int(odd.sum()):,} of {len(values):,} are neither integers nor names; the "
            f"first is {values[first]!r} at row {first}"
        )
    vocab = vocab or sort_names(values)
    codes = find(vocab, values)
    if (codes < 0).any():
        first = int(np.argmax(codes < 0))
        raise InputError(
            f"labels: {count_of(int((codes < 0).sum()), 'label')} of {len(values):,} of no known "
            f"class; the first is {str(values[first])!r} at row {first} (there are {some(vocab)})"
        )
    return codes, vocab


def _check_count(vocab: tuple[str, ...], k: int, given: bool) -> None:
    if len(vocab) == k:
        return
    if given:
        raise InputError(f"vocab has {len(vocab)} names; there are {k} classes")
    raise InputError(
        f"labels have {count_of(len(vocab), 'name')}, probabilities have {k} columns: name the "
        f"columns with vocab= (the labels' names: {some(vocab)})"
    )


def _of_frame(frame: pd.DataFrame, names: tuple[str, ...] | None) -> Aligned:
    """Labels, predictions, keys and classes out of columns y_true_* and y_pred_*."""
    columns = [str(name) for name in frame.columns]
    true = [name[len(TRUE) :] for name in columns if name.startswith(TRUE)]
    predicted = [name[len(PREDICTED) :] for name in columns if name.startswith(PREDICTED)]
    if not true or not predicted:
        raise InputError(f"data frame: no columns {TRUE}* and {PREDICTED}*; it has {some(columns)}")
    unique_names(true, f"columns {TRUE}*")
    unique_names(predicted, f"columns {PREDICTED}*")
    odd = sorted(set(true) ^ set(predicted))
    # get_dummies makes no column of a class that was never predicted, or never given: that is a
    # column of zeros. Where both sides lack one, a class may have been written in two ways.
    if odd and not (set(true) < set(predicted) or set(predicted) < set(true)):
        has, lacks = (TRUE, PREDICTED) if odd[0] in true else (PREDICTED, TRUE)
        raise InputError(
            f"data frame: class {odd[0]!r} has a column {has}{odd[0]} and none named "
            f"{lacks}{odd[0]}"
        )
    item = as_keys(frame.index)
    refuse_repeats(item, "items in the data frame's index")
    if names is not None:
        match_columns(sort_names({*true, *predicted}), names, "data frame", "vocab=")
    vocab = names or sort_names({*true, *predicted})
    frame = frame.set_axis(columns, axis=1)
    for name in odd:
        frame[(PREDICTED if name in true else TRUE) + name] = 0.0
    try:
        given = frame[[TRUE + name for name in vocab]].to_numpy(np.float32)
        probabilities = frame[[PREDICTED + name for name in vocab]].to_numpy(np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"data frame: {TRUE}* and {PREDICTED}* must hold numbers: {error}"
        ) from None
    wrong = ~(((given == 0) | (given == 1)).all(axis=1) & (given.sum(axis=1) == 1))
    if wrong.any():
        raise InputError(
            f"data frame: in {wrong.sum():,} of {count_of(len(frame), 'row')} {TRUE}* is not "
            f"one-hot; the first is {item[int(np.argmax(wrong))]!r}"
        )
    return Aligned(*check_both(given.argmax(axis=1), probabilities), item, vocab, vocab)
