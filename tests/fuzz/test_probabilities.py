"""Odd labels and predictions: every public function answers with soft numbers, or refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from fuzz.strategies import labels, probabilities
from fuzz.watching import Shift, many, watched
from hypothesis import given
from hypothesis import strategies as st

from softfold import LabelTable, combine_votes, compare, estimate_noise, rank_issues, soften

STRATEGIES = ("auto", "posterior", "blend", "gate", "people", "given")


def distributions(values: Any) -> None:
    values = np.asarray(values)
    fine = np.isfinite(values).all() and (values >= 0).all()
    if not fine or not np.allclose(values.sum(axis=-1), 1, atol=1e-2):
        raise Shift(f"no probabilities: {values[:2]}")


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    odd = draw(st.sampled_from([None, None, "p", "labels", "both"]))
    p: Any = draw(probabilities(odd=odd in ("p", "both")))
    n, k = (*p.shape, 0, 0)[:2]
    given = draw(labels(n, k, odd=odd in ("labels", "both")))
    form = draw(st.sampled_from(["", "", "", "frame", "list", "numbered"]))
    if form == "frame" and p.ndim == 2:
        p = pd.DataFrame(p, index=[f"i{i}" for i in range(n)], columns=[f"c{i}" for i in range(k)])
    elif form == "numbered" and p.ndim == 2:
        p = pd.DataFrame(p)
    elif form == "list" and p.size < 1000:
        p = p.tolist()
        if p and isinstance(p[0], list) and odd:
            p[0] = p[0][:-1]
    return given, p


@given(pair=pairs(), strategy=st.sampled_from(STRATEGIES), data=st.data())
@many("probabilities", 0.6)
def test_soft_labels_and_issues_of_odd_predictions(pair, strategy, data):
    options = data.draw(
        st.fixed_dictionaries(
            {},
            optional={}
            if data.draw(st.integers(0, 2))
            else {
                "given_weight": st.sampled_from([-1.0, 0.0, 0.5, 1.0, float("nan")]),
                "threshold": st.sampled_from([0.0, 0.5, 1.0, 2.0, float("nan"), None]),
                "vocab": st.sampled_from([["a", "b"], ["a", "a"], [], [1, 2, 3], "ab", None]),
                "noise": st.sampled_from(
                    [None, np.eye(2), np.eye(3), np.full((2, 2), np.nan), np.zeros((0, 0)), "x"]
                ),
            },
        )
    )

    def call():
        soft = soften(*pair, strategy, **options)
        distributions(soft)

    watched("probabilities", call)


@given(pair=pairs(), top=st.sampled_from([None, 0, 1, 10**9, -1]))
@many("probabilities", 0.2)
def test_the_noise_of_odd_predictions(pair, top):
    def call():
        noise = estimate_noise(*pair)
        low, high = noise.rate_interval
        # useless predictions give no rate
        if not 0 <= low <= (low if np.isnan(noise.rate) else noise.rate) <= high <= 1:
            raise Shift(f"rate {noise.rate} in {noise.rate_interval}")
        distributions(noise.transition)
        ranked = rank_issues(*pair, top, noise=noise)
        if not ranked["suspicion"].between(0, 1).all():
            raise Shift(f"suspicion {ranked['suspicion'].tolist()}")

    watched("probabilities", call)


VOTES = st.one_of(
    st.lists(st.lists(st.integers(-2, 3), min_size=3, max_size=3), max_size=8),
    st.lists(
        st.lists(st.sampled_from(["a", "b", None, "", 1]), min_size=2, max_size=2), max_size=8
    ),
    st.lists(st.lists(st.floats(), min_size=2, max_size=2), min_size=1, max_size=4),
    st.just("nowhere.csv"),
    st.just(np.zeros((3, 0), int)),
    st.just(np.zeros((2, 2, 2), int)),
)


@given(
    votes=VOTES,
    p=st.one_of(st.none(), probabilities(4), probabilities(4, odd=False)),
    form=st.sampled_from(["", "frame"]),
)
@many("probabilities", 0.15)
def test_odd_votes(votes, p, form):
    if isinstance(votes, list):
        votes = pd.DataFrame(votes) if form else np.array(votes, dtype=None)

    def call():
        distributions(combine_votes(votes, p).targets)

    watched("probabilities", call)


@given(
    p=st.one_of(probabilities(), probabilities(9, odd=False)),
    form=st.sampled_from(["", "frame", "several"]),
)
@many("probabilities", 0.05)
def test_comparing_odd_soft_labels(p, form):
    n, k = 12, 3
    given = np.arange(n) % k
    item = np.array([f"i{i}" for i in range(n)], dtype=object)
    table = LabelTable(item, given, ("a", "b", "c"), np.arange(n) >= 9, data=np.eye(n))
    soft: Any = p
    if form == "frame" and p.ndim == 2 and p.shape[1] <= 26:
        soft = pd.DataFrame(p, columns=[*"abcdefghijklmnopqrstuvwxyz"][: p.shape[1]])
    elif form == "several":
        soft = [p, p]
    watched("probabilities", lambda: compare(table, soft, train, seeds=1))


def train(table, targets):
    """Predicts every class alike: training is not what is tried here."""
    distributions(targets)
    return lambda items: np.full((len(items), 3), 1 / 3, np.float32)
