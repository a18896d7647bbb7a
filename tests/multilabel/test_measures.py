"""Mean average precision, micro F1, and the interval of their differences."""

from __future__ import annotations

import numpy as np
import pytest
from several_labels import answers

from softfold.errors import InputError
from softfold.multilabel import differences, mean_average_precision, micro_f1

metrics = pytest.importorskip("sklearn.metrics")


def test_they_are_those_of_scikit_learn():
    truth, _, p = answers()
    assert mean_average_precision(p, truth) == pytest.approx(
        metrics.average_precision_score(truth, p, average="macro")
    )
    assert micro_f1(p, truth) == pytest.approx(
        metrics.f1_score(truth, p >= 0.5, average="micro"), abs=1e-12
    )
    without = truth.copy()
    without[:, 2] = False
    own = [mean_average_precision(p[:, [k]], truth[:, [k]]) for k in (0, 1, 3)]
    assert mean_average_precision(p, without) == pytest.approx(np.mean(own))
    assert np.isnan(mean_average_precision(p, np.zeros_like(truth)))
    with pytest.raises(InputError, match="want both"):
        micro_f1(p, truth[:, :2])


def test_an_interval_covers_what_the_whole_population_has():
    """Of 40 hold-outs of 300 items, where 9 have the rarest class, 19 of 20 hold the difference."""
    rng = np.random.default_rng(0)
    truth, _, p = answers(n=20_000, shares=(0.4, 0.15, 0.03))
    worse = (p + rng.random(p.shape) * 0.5) / 1.5
    real = {
        "mean_average_precision": mean_average_precision(p, truth)
        - mean_average_precision(worse, truth),
        "micro_f1": micro_f1(p, truth) - micro_f1(worse, truth),
    }
    held = dict.fromkeys(real, 0)
    for i in range(40):
        rows = rng.choice(len(p), 300, replace=False)
        made = differences(worse[None, rows], p[None, rows], truth[rows], seed=i)
        for name, difference in made.items():
            held[name] += difference["low"] <= real[name] <= difference["high"]
            assert difference["over"] == "items"
    assert min(held.values()) >= 38, held


def test_few_items_that_happen_to_agree_prove_nothing():
    """Two rankings that put all three items of a class first may differ on the next three."""
    truth = np.zeros((60, 1), dtype=bool)
    truth[:3] = True
    p = np.linspace(1, 0, 60)[:, None]
    made = differences(p[None] ** 2, p[None], truth)["mean_average_precision"]
    assert made["mean"] == 0 and made["low"] < -0.2 < 0.2 < made["high"] and made["p_value"] == 1


def test_no_difference_is_none_and_shapes_must_fit():
    truth, _, p = answers(n=100)
    for same in differences(p[None], p[None], truth).values():
        assert same["mean"] == same["low"] == same["high"] == 0 and same["p_value"] == 1
    with pytest.raises(InputError, match=r"want both \(S, M, K\)"):
        differences(p, p, truth)
