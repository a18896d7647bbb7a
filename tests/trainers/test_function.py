"""A function as a trainer: what it is given, what it may give, and when it is the same one."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from small_tables import table_of

from softfold.crossfit.plain import cross_fit
from softfold.errors import InputError
from softfold.trainers.function import FunctionTrainer

TABLE = table_of(30).train
TARGETS = np.random.default_rng(0).dirichlet(np.ones(3), len(TABLE))


def prior(table, targets):
    mean = targets.mean(axis=0)
    return lambda other: np.tile(mean, (len(other), 1))


def test_soft_targets_reach_a_function_row_by_row_with_the_seed():
    seen = []

    def watch(table, targets, seed):
        seen.append((list(table.item), targets, seed))
        return prior(table, targets)

    FunctionTrainer(watch).fit(TABLE, TARGETS, seed=7)
    items, got, seed = seen[0]
    assert items == list(TABLE.item) and got.dtype == np.float32 and seed == 7
    np.testing.assert_allclose(got, TARGETS, atol=1e-6)


def test_what_the_function_gives_is_the_model():
    p = FunctionTrainer(prior).fit(TABLE, TARGETS, seed=0).predict(TABLE.take(np.arange(4)))
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, np.tile(TARGETS.mean(axis=0), (4, 1)), atol=1e-6)


class Callable:
    def __init__(self, weight=1):
        self.weight = weight

    def __call__(self, table, targets):
        return prior(table, targets)

    def method(self, table, targets):
        return prior(table, targets)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (prior, "prior"),
        (partial(prior), "prior"),
        (lambda table, targets: prior(table, targets), "<lambda>"),
        (Callable(), "Callable"),
        (Callable().method, "method"),
        (lambda table, targets, *more, scale=1.0: prior(table, targets), "<lambda>"),
    ],
)
def test_whatever_takes_items_and_targets_is_a_trainer_with_a_name(function, name):
    trainer = FunctionTrainer(function)
    assert trainer.name == name == trainer.describe()["function"]
    assert trainer.fit(TABLE, TARGETS, seed=0).predict(TABLE).shape == (len(TABLE), 3)


def needs_more(table, targets, labels):
    return prior(table, targets)


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda table: None, r"a function <lambda>\(table\): want a function \(table, targets\)"),
        (needs_more, r"a function needs_more\(table, targets, labels\): want"),
        (lambda table, targets, *, seed, rate: None, "want a function"),
        (max, "trainer is (a function )?max.*: want a function"),
    ],
)
def test_a_function_that_takes_something_else_is_named_in_what_is_refused(function, line):
    with pytest.raises(InputError, match=line):
        FunctionTrainer(function)


@pytest.mark.parametrize(
    ("gives", "line"),
    [
        (lambda n: np.ones((n, 2)) / 2, r"gave shape \(30, 2\); want \(30, 3\), a row an item"),
        (lambda n: np.ones((n - 1, 3)) / 3, r"gave shape \(29, 3\); want \(30, 3\)"),
        (lambda n: np.ones(n), r"gave shape \(30,\); want"),
        (lambda n: np.ones((n, 3)), "predict of function 'odd': 30 of 30 rows .* sums to 3"),
        (lambda n: np.full((n, 3), np.nan), "predict of function 'odd': .* is not finite"),
    ],
)
def test_predictions_that_are_none_are_refused_with_the_functions_name(gives, line):
    def odd(table, targets):
        return lambda other: gives(len(other))

    table = table_of(30)
    with pytest.raises(InputError, match=line):
        FunctionTrainer(odd).fit(table, np.eye(3)[table.given], seed=0).predict(table)


def test_a_function_that_gives_no_function_is_refused():
    with pytest.raises(InputError, match="the function '<lambda>' gave a float: want a function"):
        FunctionTrainer(lambda table, targets: 1.0).fit(TABLE, TARGETS, seed=0)


CALLS = []
"""Weights that `flattened` was called with; not carried by the function, so no part of it."""


def flattened(weight):
    def function(table, targets):
        CALLS.append(weight)
        predict = prior(table, targets)
        return lambda other: (predict(other) + weight) / (1 + 3 * weight)

    return function


def test_a_function_that_carries_another_value_is_trained_again(tmp_path):
    pytest.importorskip("safetensors")
    CALLS.clear()
    for weight, called in ((1, [1] * 3), (1, [1] * 3), (2, [1] * 3 + [2] * 3)):
        cross_fit(table_of(60), flattened(weight), n_folds=3, out=tmp_path)
        assert called == CALLS


def carrying(value):
    def function(table, targets, kept=value):
        return value

    return function


def described(function):
    return FunctionTrainer(function).describe()["code"]


VALUES = [1, 2.0, "a", None, (1, 2), {"a", "b"}, {"a": 1}, {"a": 2}, np.zeros(3), np.ones(3)]


def test_values_that_differ_make_functions_that_differ_and_equal_ones_do_not():
    codes = [described(carrying(value)) for value in VALUES]
    assert len(set(codes)) == len(VALUES)
    assert codes == [described(carrying(value)) for value in VALUES]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (partial(needs_more, labels=1), partial(needs_more, labels=2)),
        (partial(prior), lambda table, targets: prior(table, targets)),
        (lambda table, targets: 1, lambda table, targets: 2),
        (lambda table, targets: table.item, lambda table, targets: table.given),
        (lambda table, targets: lambda t: 1, lambda table, targets: lambda t: 2),
        (lambda table, targets, *, k=1: k, lambda table, targets, *, k=2: k),
        (Callable(1), Callable(2)),
        (Callable(1).method, Callable(2).method),
    ],
    ids=["partial", "other", "constant", "attribute", "inner", "default", "object", "method"],
)
def test_another_code_is_another_function(one, other):
    assert described(one) != described(other)
    assert described(one) == described(one)


def test_a_function_with_the_same_code_is_described_alike_in_another_process():
    script = (
        "from softfold.trainers.function import FunctionTrainer\n"
        "def f(table, targets, names={'x', 'y', 'z'}, scale=2.0):\n"
        "    g = lambda t: t in {'a', 'b', 'c'}\n"
        "    return g\n"
        "code = FunctionTrainer(f).describe()['code']\n"
    )
    here = {}
    exec(script, here)
    there = subprocess.run(
        [sys.executable, "-c", script + "print(code)"], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here["code"]
