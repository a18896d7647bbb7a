"""A noise model a class: what is known of each, and what rare classes leave open."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from several_labels import answers

import softfold
from softfold import multilabel
from softfold.errors import InputError
from softfold.multilabel.noise import problems
from softfold.noise.estimation import estimate_checked
from softfold.noise.model import posterior


@pytest.fixture(scope="module")
def made():
    return answers()


def log_loss(has, truth):
    return -np.log(np.where(truth, has, 1 - has).clip(1e-4)).mean()


def test_each_class_has_the_model_that_it_would_have_alone(made):
    _, given, p = made
    noise = multilabel.estimate_noise(given, p, vocab="abcd")
    assert len(noise) == 4
    for k, name in enumerate("abcd"):
        alone = softfold.estimate_noise(given[:, k].astype(int), np.c_[1 - p[:, k], p[:, k]])
        assert np.allclose(noise[name].transition, alone.transition, atol=1e-6)
        assert noise[k] is noise[name]
    frame = noise.frame()
    assert list(frame.columns) == ["class", "rate", "low", "high", "missing", "extra"]
    assert frame["class"].tolist() == list("abcd")
    assert 0.1 < frame["missing"][0] < 0.2 and frame["extra"][0] < 0.05


def test_the_rate_is_the_mean_of_the_known_ones_and_is_written_as_json(made):
    _, given, p = made
    noise = multilabel.estimate_noise(given, p)
    assert noise.rate == pytest.approx(np.nanmean(noise.rates))
    low, high = noise.rate_interval
    assert low <= noise.rate <= high
    again = multilabel.MultiLabelNoise.from_json(noise.to_json())
    assert again.vocab == ("0", "1", "2", "3")
    assert np.allclose(again.transition, noise.transition, atol=1e-6)
    assert "4 classes, " in repr(noise) and "of their labels wrong" in repr(noise)
    assert "missing where it is" in noise._repr_html_()


def test_predictions_that_tell_nothing_of_a_class_give_it_no_rate(made):
    _, given, p = made
    p = p.copy()
    p[:, 1] = np.random.default_rng(0).permutation(p[:, 1])
    noise = multilabel.estimate_noise(given, p)
    assert np.isnan(noise.rates[1]) and noise[1].rate_interval == (0.0, 1.0)
    assert "1 class without a rate" in repr(noise)
    soft = multilabel.soften(given, p, noise=noise)
    assert (soft[:, 1] == given[:, 1]).all(), "its given labels stay"
    given[:, 3] = False
    assert np.isnan(multilabel.estimate_noise(given, p).rates[3]), "nobody was given it"


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_class_stays_wide_and_is_not_told_what_holds_for_others(seed):
    """A model of all classes together takes the noise of frequent ones for that of a rare one."""
    truth, given, p = answers(seed=seed, shares=(0.5, 0.4, 0.3, 0.01), missing=0.3, extra=0.1)
    given[:, 3] = truth[:, 3]
    noise = multilabel.estimate_noise(given, p)
    low, high = noise[3].rate_interval
    assert low == 0 and high > 4 * given[:, 3].mean()
    soft = multilabel.soften(given, p, noise=noise)[:, 3]
    stacked = list(problems(given.astype(int), p))
    common = estimate_checked(
        np.concatenate([y for y, _ in stacked]), np.concatenate([q for _, q in stacked])
    )
    shared = posterior(*stacked[3], common)[:, 1]
    assert log_loss(soft, truth[:, 3]) < 0.01
    assert log_loss(soft, truth[:, 3]) < log_loss(shared, truth[:, 3])


def test_a_noise_model_given_is_matched_by_the_names_of_classes(made):
    _, given, p = made
    frame, other = pd.DataFrame(given, columns=list("abcd")), list("dbca")
    noise = multilabel.estimate_noise(frame, p)
    moved = multilabel.MultiLabelNoise(tuple(other), tuple(noise[name] for name in other))
    for one in (multilabel.soften, multilabel.rank_issues):
        assert np.array_equal(one(frame, p, noise=moved), one(frame, p, noise=noise))
    by_number = multilabel.estimate_noise(given, p)
    soft = multilabel.soften(frame, p, noise=by_number)
    assert np.array_equal(soft, multilabel.soften(given, p, noise=by_number))
    strange = multilabel.MultiLabelNoise(tuple("abce"), noise.models)
    with pytest.raises(InputError, match="classes differ: the noise lacks 'd'"):
        multilabel.soften(frame, p, noise=strange)


def test_what_does_not_belong_together_is_one_line(made):
    _, given, p = made
    with pytest.raises(InputError, match="no class 'e': there are a, b, c, d"):
        multilabel.estimate_noise(given, p, vocab="abcd")["e"]
    with pytest.raises(InputError, match=r"several labels an item: softfold\.multilabel"):
        softfold.estimate_noise(given.astype(int), p)
    with pytest.raises(InputError, match="expected the MultiLabelNoise of 4 classes"):
        multilabel.soften(given, p, noise=softfold.estimate_noise(given[:, 0].astype(int), _two(p)))
    frame = pd.DataFrame(given.astype(int), columns=list("abcd"))
    with pytest.raises(InputError, match="classes differ: the predictions lack"):
        multilabel.estimate_noise(frame, pd.DataFrame(p, columns=list("abce")))


def _two(p):
    return np.c_[1 - p[:, 0], p[:, 0]]
