"""A function as a trainer: `(table, targets) -> predict`, with `predict(table) -> (n, K)`."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

import numpy as np

from softfold.arrays import check_independent, check_probabilities
from softfold.data.table import LabelTable
from softfold.errors import InputError
from softfold.trainers.protocol import BaseModel, BaseTrainer

Predict = Callable[[LabelTable], np.ndarray]
"""Label table of n items in, probabilities (n, K) out."""


class FunctionTrainer(BaseTrainer):
    """A trainer that calls a function.

    Args:
        function: called as `function(table, targets)` with the n items to train on and their
            targets float32 (n, K). It returns `predict`, a function of another table that gives
            probabilities (m, K), columns as in `table.vocab`. A function with a parameter `seed`
            is given the seed.

    Finished folds are used again only where the function itself is the same. What it calls is not
    looked at: give another `out` after a change there.

    Raises:
        InputError: the function does not take two arguments, or gives back something else.

    >>> def prior(table, targets):
    ...     mean = targets.mean(axis=0)
    ...     return lambda other: np.tile(mean, (len(other), 1))
    >>> FunctionTrainer(prior).name
    'prior'
    """

    multi_label = "together"

    def __init__(self, function: Callable[..., Predict]) -> None:
        self.function = function
        inner = function.func if isinstance(function, partial) else function
        self.name = getattr(inner, "__name__", type(inner).__name__)
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # built in, or a wrapper that does not tell
            raise InputError(
                f"trainer is {self.name}, which does not say what it takes: want a function "
                "(table, targets) -> predict"
            ) from None
        self._takes_seed = "seed" in signature.parameters
        try:
            signature.bind(None, None, **({"seed": 0} if self._takes_seed else {}))
        except TypeError:
            raise InputError(
                f"trainer is a function {self.name}{signature}: want a function "
                "(table, targets) -> predict"
            ) from None

    def describe(self) -> dict[str, Any]:
        """The function's name and a hash of its code and of the values it carries."""
        return {"function": self.name, "code": code_hash(self.function)}

    def fit(
        self,
        table: LabelTable,
        targets: np.ndarray,
        *,
        seed: int,
        holdout: LabelTable | None = None,
        noise: np.ndarray | None = None,
    ) -> FunctionModel:
        """Call the function with the items and their targets float32 (n, K)."""
        extra = {"seed": seed} if self._takes_seed else {}
        predict = self.function(table, np.asarray(targets, dtype=np.float32), **extra)
        if not callable(predict):
            raise InputError(
                f"the function {self.name!r} gave a {type(predict).__name__}: want a function "
                "predict(table) that gives probabilities (n, K)"
            )
        return FunctionModel(predict, self.name, table.multi_label)


class FunctionModel(BaseModel):
    """A model that calls a function of a label table.

    multi_label: whether it was trained on items that may have several labels.
    """

    def __init__(self, function: Predict, name: str, multi_label: bool = False) -> None:
        self.function, self.name, self.multi_label = function, name, multi_label

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), as the function gives them.

        Raises:
            InputError: another shape, or rows that are no probabilities.
        """
        made = np.asarray(self.function(table))
        if made.shape != (len(table), table.n_classes):
            raise InputError(
                f"the predict of function {self.name!r} gave shape {made.shape}; want "
                f"({len(table)}, {table.n_classes}), a row an item and a column a class"
            )
        check = check_independent if self.multi_label else check_probabilities
        checked = check(made, f"the predict of function {self.name!r}")
        return np.asarray(checked, dtype=np.float32)


def code_hash(function: Any) -> str:
    """A hash of a function's code and of the values it carries; not of what it calls."""
    digest = hashlib.sha256()
    for part in _parts(function):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def _parts(function: Any) -> list[Any]:
    """What tells a function from another: its code, defaults and the plain values it carries."""
    if isinstance(function, partial):
        values = [*function.args, *function.keywords.items()]
        return [*_parts(function.func), *map(_value, values)]
    if inspect.ismethod(function):
        return [*_parts(function.__func__), _value(vars(function.__self__))]
    code = getattr(function, "__code__", None)
    if code is None:  # an object with __call__
        call = getattr(type(function).__call__, "__code__", None)
        return [type(function).__qualname__, _code(call), _value(getattr(function, "__dict__", {}))]
    carried = []
    for cell in function.__closure__ or ():
        try:
            carried.append(_value(cell.cell_contents))
        except ValueError:  # not filled yet
            carried.append(None)
    defaults = [_value(v) for v in function.__defaults__ or ()]
    named = [(k, _value(v)) for k, v in (function.__kwdefaults__ or {}).items()]
    return [_code(code), defaults, named, carried]


def _value(value: Any) -> Any:
    """A value as something whose repr is the same in another process."""
    if isinstance(value, (str, bytes, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_value(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_value(v)) for v in value)
    if isinstance(value, dict):
        return [(str(k), _value(v)) for k, v in value.items()]
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.dtype != object:
            return array.shape, str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()
    if inspect.isfunction(value):
        return _code(value.__code__)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _code(code: CodeType | None) -> Any:
    if code is None:
        return None
    constants = [_code(c) if isinstance(c, CodeType) else _value(c) for c in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, constants
