"""Items that several explanations read: what they all ask for is made once."""

from __future__ import annotations

import numpy as np

from softfold.noise.matrices import MANY_CLASSES, column_of_most


class Block:
    """Given labels of some items, and logarithms of their predictions.

    labels: int (n,).
    plain: float32 (n,), log of the prediction of the given label.
    logs: float32 (n, K), laid out as `by_columns`, the largest of each row 0.
    columns: each T that was asked for, by its id, with its columns of the labels.
    """

    def __init__(self, labels: np.ndarray, logs: np.ndarray) -> None:
        """logs: float32 (n, K), laid out as `by_columns`, of any largest value; overwritten."""
        self.labels = labels
        self._cells = given_cells(labels, logs.shape[1])
        self.plain = self.given(logs)
        self.logs = top(logs)
        self.columns: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def given(self, values: np.ndarray) -> np.ndarray:
        """values[i, labels[i]] of values (n, K) laid out as `by_columns`: (n,)."""
        return values.ravel(order="K")[self._cells]

    def put_given(self, values: np.ndarray, new: np.ndarray | float) -> None:
        """Writes what `given` reads."""
        values.ravel(order="K")[self._cells] = new

    def empty(self, count: int) -> np.ndarray:
        """Room for so many matrices as `logs` is: float32 (count, n, K)."""
        n, k = self.logs.shape
        if k < MANY_CLASSES:
            return np.empty((count, k, n), np.float32).transpose(0, 2, 1)
        return np.empty((count, n, k), np.float32)


def top(logs: np.ndarray) -> np.ndarray:
    """logs (n, K), changed so that the largest of each row is 0: no temperature makes it underflow.

    Laid out as `by_columns`.
    """
    if logs.shape[1] < MANY_CLASSES:
        most = logs.max(axis=1)
    else:  # here NumPy finds where the largest is faster than what it is
        most = logs.ravel()[given_cells(column_of_most(logs), logs.shape[1])]
    logs -= most[:, None]
    return logs


def powers(logs: np.ndarray, temperature: float, out: np.ndarray | None = None) -> np.ndarray:
    """p^(1 / temperature) of logs float32 (n, K), the largest of a row about 0: (n, K)."""
    z = np.multiply(logs, np.float32(1 / temperature), out=out)
    return np.exp(z, out=z)


def given_cells(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Where [i, labels[i]] of (n, K) laid out as `by_columns` is in its memory: int64 (n,)."""
    here = np.arange(len(labels))
    if n_classes < MANY_CLASSES:
        return labels * len(labels) + here
    return here * n_classes + labels
