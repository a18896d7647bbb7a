"""A second model's predictions: what they tell of the noise rate, and what they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_noise import pair, problem, two_models

from softfold import InputError, estimate_noise, rank_issues, soften
from softfold.crossfit.oof import OutOfFold
from softfold.noise.sample import Sample
from softfold.noise.witnesses import hear

ROWS = np.arange(6000)


def same(one, other) -> bool:
    """Whether two models are the same, whatever their classes are called."""
    return replace(one, vocab=None).to_json() == replace(other, vocab=None).to_json()


def test_errors_that_both_models_share_are_not_taken_for_wrong_labels():
    truth, given, p, second = two_models()
    told = hear(Sample.of(given, p, ROWS), Sample.of(given, second, ROWS))
    assert told.independent > 0.05  # that is what counting agreement alone would say
    assert told.rate < 0.02
    one, two = estimate_noise(given, p), estimate_noise(given, p, second=second)
    assert two.rate < one.rate / 2
    assert two.rate_interval[0] == 0
    assert (soften(given, p, second=second).argmax(1) == truth).mean() > 0.995


@pytest.mark.parametrize("rate", [0.2, 0.3])
def test_wrong_labels_that_both_contradict_are_heard(rate):
    truth, given, p, second = two_models(rate=rate)
    wrong = (truth != given).mean()
    one, two = estimate_noise(given, p), estimate_noise(given, p, second=second)
    assert abs(two.rate - wrong) < abs(one.rate - wrong)
    assert two.weight("surest") > one.weight("surest")
    assert two.rate_interval[0] < wrong < two.rate_interval[1]


def test_labels_and_models_that_err_apart_are_told_by_who_agrees():
    rng, rows = np.random.default_rng(0), np.arange(20_000)
    truth = rng.integers(0, 5, 20_000)

    def said(right: float) -> np.ndarray:
        return np.where(rng.random(20_000) < right, truth, rng.integers(0, 5, 20_000))

    def predicted(right: float) -> Sample:
        p = 0.6 * np.eye(5)[said(right)] + 0.3 * np.eye(5)[truth] + 0.02
        return Sample.of(given, p, rows)

    given = said(0.8)
    told = hear(predicted(0.9), predicted(0.7))
    assert told.independent == pytest.approx((given != truth).mean(), abs=0.01)


def test_noise_by_class_keeps_its_weight():
    truth, given, p = problem(pair(6, 0.3))
    rng = np.random.default_rng(1)
    second = p * np.exp(rng.normal(0, 1.5, p.shape))
    second /= second.sum(axis=1, keepdims=True)
    one, two = estimate_noise(given, p), estimate_noise(given, p, second=second)
    assert two.best.name == "by_class"
    assert two.weight("by_class") == pytest.approx(one.weight("by_class"), abs=1e-6)
    assert two.rate == pytest.approx((given != truth).mean(), abs=0.03)


def test_what_says_nothing_changes_nothing():
    _, given, p, _ = two_models(rate=0.2)
    alone = estimate_noise(given, p)
    rng = np.random.default_rng(0)
    guesses = rng.dirichlet(np.ones(8), 6000)
    assert same(estimate_noise(given, p, second=p), alone)  # the same witness twice
    assert same(estimate_noise(given, p, second=guesses), alone)
    assert same(estimate_noise(given, p, second=np.full((6000, 8), 1 / 8)), alone)


def test_with_predictions_that_tell_nothing_no_rate_is_given():
    _, given, _, second = two_models(rate=0.2)
    guesses = np.random.default_rng(0).dirichlet(np.ones(8), 6000)
    assert np.isnan(estimate_noise(given, guesses, second=second).rate)


@pytest.mark.parametrize("k", [2, 200])
def test_few_and_many_classes(k):
    truth, given, p, second = two_models(k=k, rate=0.2)
    noise = estimate_noise(given, p, second=second)
    low, high = noise.rate_interval
    assert 0 <= low < (truth != given).mean() < high <= 1
    assert sum(e.weight for e in noise.explanations) == pytest.approx(1)


def test_the_order_of_the_two_does_not_matter_where_noise_is_not_by_class():
    _, given, p, second = two_models(rate=0.3)
    one, two = (estimate_noise(given, a, second=b) for a, b in ((p, second), (second, p)))
    assert one.rate == pytest.approx(two.rate, abs=0.01)


def test_checked_items_have_the_last_word():
    truth, given, p, second = two_models(rate=0.3)
    rows = np.random.default_rng(0).choice(6000, 200, replace=False)
    noise = estimate_noise(given, p, second=second, checked=(rows, truth[rows]))
    assert noise.audited == 200
    assert noise.rate_interval[0] < (truth != given).mean() < noise.rate_interval[1]


def test_the_second_is_matched_by_key_and_class():
    _, given, p, second = two_models(rate=0.2)
    names, keys = list("abcdefgh"), [f"item {i}" for i in range(6000)]
    expected = estimate_noise(given, p, second=second)
    frame = pd.DataFrame(second, index=keys, columns=names)
    mixed = frame.iloc[np.random.default_rng(0).permutation(6000), ::-1]
    labels = pd.Series(np.array(names, dtype=object)[given], index=keys)
    first = pd.DataFrame(p, index=keys, columns=names)
    assert same(estimate_noise(labels, first, second=mixed), expected)
    assert same(estimate_noise(labels, p, second=mixed, vocab=names), expected)
    assert same(estimate_noise(labels, first, second=second), expected)
    # labels by position: the keys are those of the first predictions, which keep a table's order
    fold = np.zeros((6000, 1), np.int16)
    made = OutOfFold(np.array(keys, dtype=object), p.astype(np.float32), fold, tuple(names))
    assert same(estimate_noise(given, made, second=mixed), expected)
    both = pd.concat(
        [
            pd.DataFrame(np.eye(8)[given], index=keys, columns=[f"y_true_{n}" for n in names]),
            first.add_prefix("y_pred_"),
        ],
        axis=1,
    )
    assert same(estimate_noise(both, second=mixed), expected)


def test_soft_labels_and_issues_hear_it_too():
    _, given, p, second = two_models(rate=0.2)
    noise = estimate_noise(given, p, second=second)
    np.testing.assert_array_equal(soften(given, p, second=second), soften(given, p, noise=noise))
    pd.testing.assert_frame_equal(
        rank_issues(given, p, second=second), rank_issues(given, p, noise=noise)
    )


def test_a_second_that_cannot_be_is_named():
    _, given, p, second = two_models(n=500)
    with pytest.raises(InputError, match=r"^second: "):
        estimate_noise(given, p, second=second[:400])
    with pytest.raises(InputError, match=r"^second: "):
        estimate_noise(given, p, second=np.c_[second, np.zeros(500)])
    with pytest.raises(InputError, match=r"^second: .*'item 7'"):
        keys = [f"item {i}" for i in range(500)]
        labels, first = pd.Series(given, index=keys), pd.DataFrame(p, index=keys)
        estimate_noise(labels, first, second=pd.DataFrame(second, index=keys).drop("item 7"))
    for refuse in (soften, rank_issues):
        with pytest.raises(InputError, match="second has no use beside noise"):
            refuse(given, p, noise=np.eye(8), second=second)
    with pytest.raises(InputError, match="second belongs to strategy 'posterior'"):
        soften(given, p, "blend", second=second)
