"""The ranked list of suspicious labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from softfold import multilabel as several
from softfold.errors import InputError
from softfold.issues import label_quality, rank_issues
from softfold.noise.estimation import estimate_noise
from softfold.softening import soften


def problem(n: int = 2000):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, n)
    p = rng.dirichlet(np.ones(4) * 0.2, n)
    p[np.arange(n), truth] += 2
    p /= p.sum(1, keepdims=True)
    wrong = rng.random(n) < 0.1
    given = np.where(wrong, (truth + rng.integers(1, 4, n)) % 4, truth)
    return truth, given, p


def test_wrong_labels_come_first_with_the_right_class_suggested():
    truth, given, p = problem()
    issues = rank_issues(given, p)
    assert list(issues.columns) == ["index", "given", "suggested", "suspicion", "none_of_these"]
    assert sorted(issues["index"]) == list(range(len(given)))
    assert (np.diff(issues["suspicion"]) <= 0).all()
    assert issues["suspicion"].between(0, 1).all()
    first = issues.head(int((truth != given).sum()))
    assert (truth[first["index"]] != first["given"]).mean() > 0.95
    assert (truth[first["index"]] == first["suggested"]).mean() > 0.95


def test_top_is_the_head_of_the_whole_list():
    _, given, p = problem()
    p[100:200], given[100:200] = p[100], given[100]  # ties
    whole = rank_issues(given, p)
    for top in (0, 1, 57, 500, 10_000):
        part = rank_issues(given, p, top=top)
        assert part.equals(whole.head(top))


def test_suspicions_are_calibrated():
    truth, given, p = problem(20_000)
    issues = rank_issues(given, p)
    unsure = issues[issues["suspicion"].between(0.2, 0.8)]
    found = (truth != given)[unsure["index"]].mean() if len(unsure) else 0.5
    assert issues["suspicion"].mean() == pytest.approx((truth != given).mean(), abs=0.02)
    assert len(unsure) < 50 or found == pytest.approx(unsure["suspicion"].mean(), abs=0.25)


def test_names_where_a_vocab_is_given():
    _, given, p = problem(50)
    issues = rank_issues(given, p, top=3, vocab=["w", "x", "y", "z"])
    assert set(issues["given"]) | set(issues["suggested"]) <= set("wxyz")
    with pytest.raises(InputError, match="vocab has 2 names; there are 4 classes"):
        rank_issues(given, p, vocab=["a", "b"])


@pytest.mark.parametrize("top", [-1, 2.5, "5"])
def test_a_top_that_is_no_number_of_rows_is_refused(top):
    _, given, p = problem(50)
    both = [(rank_issues, given), (several.rank_issues, np.eye(4, dtype=int)[given])]
    for rank, labels in both:
        with pytest.raises(InputError, match=f"top is {top!r}; it must be a whole number"):
            rank(labels, p, top=top)


def test_quality_is_in_the_order_of_the_items_and_below_a_half_means_wrong():
    truth, given, p = problem()
    quality = label_quality(given, p)
    issues = rank_issues(given, p)
    np.testing.assert_array_equal(quality[issues["index"]], 1 - issues["suspicion"])
    mask = quality < 0.5
    wrong = truth != given
    assert (mask & wrong).sum() / mask.sum() > 0.8 and (mask & wrong).sum() / wrong.sum() > 0.8
    names = np.array(["ash", "bay", "elm", "fir"])
    np.testing.assert_array_equal(label_quality(names[given], p, vocab=names), quality)


def named(order):
    """Labels by name, and predictions of them in a data frame with its columns in an order."""
    _, given, p = problem()
    keys = [f"k{i}" for i in range(len(given))]
    labels = pd.Series(np.array(list("abcd"))[given], index=keys)
    return labels, pd.DataFrame(p, index=keys, columns=list("abcd"))[list(order)]


def test_a_noise_model_is_matched_to_predictions_by_the_names_of_classes():
    labels, p = named("abcd")
    noise = estimate_noise(labels, p)
    assert noise.vocab == ("a", "b", "c", "d")
    expected = rank_issues(labels, p, noise=noise)
    other = rank_issues(*named("cbda"), noise=noise)
    pd.testing.assert_frame_equal(other, expected, atol=1e-6)
    quality = label_quality(labels, p, noise=noise)
    np.testing.assert_allclose(label_quality(*named("dabc"), noise=noise), quality, atol=1e-6)
    labels, p = named("cbda")
    numbers = labels.map("cbda".index).to_numpy()  # of the columns, whose names are known
    found = label_quality(numbers, p.reset_index(drop=True), noise=noise)
    np.testing.assert_allclose(found, quality, atol=1e-6)
    soft = soften(labels, p, noise=noise)
    by_name = soft.targets[:, [soft.vocab.index(name) for name in "abcd"]]
    np.testing.assert_allclose(by_name, soften(*named("abcd"), noise=noise).targets, atol=1e-5)


def test_a_noise_model_of_other_classes_is_refused():
    labels, p = named("abcd")
    noise = estimate_noise(labels.replace("a", "e"), p.rename(columns={"a": "e"}))
    line = "the noise model lacks 'a' .*, and 'e' is no class of the predictions"
    for asked in (rank_issues, label_quality, soften):
        with pytest.raises(InputError, match=line):
            asked(labels, p, noise=noise)
