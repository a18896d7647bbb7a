"""What each explanation is believed, on labels whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
from made_noise import pair, people, problem, weak_model

from softfold.noise.classwise import by_class, even
from softfold.noise.clean import clean
from softfold.noise.matrices import symmetric
from softfold.noise.no_class import no_class
from softfold.noise.sample import Sample
from softfold.noise.surest import surest
from softfold.noise.weighing import evidence, weighed, with_weights

MADE = {
    "right labels": lambda: weak_model(4000),
    "by people": lambda: people(4000)[1:],
    "by class": lambda: problem(pair(6, 0.3), n=4000)[1:],
    "even": lambda: problem(symmetric(8, 0.3), n=4000)[1:],
}
BELIEVED = {
    "right labels": ("clean", "no_class"),
    "by people": ("surest",),
    "by class": ("by_class",),
    "even": ("even", "by_class"),
}


def parts(name):
    given, p = MADE[name]()
    sample = Sample.of(given, p, np.arange(len(given)))
    all_of_them = [clean(sample), no_class(sample), *surest(sample), even(sample), by_class(sample)]
    return sample, all_of_them, [0.01, 0.05, 0.2, 0.22, 0.24, 0.3, 0.3]


@pytest.mark.parametrize("name", MADE)
def test_what_made_the_labels_is_believed_most(name):
    found = weighed(*parts(name))
    weights = [e.weight for e in found]
    assert sum(weights) == pytest.approx(1) and weights == sorted(weights, reverse=True)
    assert sum(e.weight for e in found if e.name in BELIEVED[name]) > 0.5
    assert found[0].name in BELIEVED[name]


def test_each_keeps_its_own_rate():
    sample, explanations, rates = parts("by people")
    wanted = {e.name: r for e, r in zip(explanations, rates) if e.name != "surest"}
    found = {e.name: e.rate for e in weighed(sample, explanations, rates) if e.name != "surest"}
    assert found == wanted


def test_saying_the_same_thing_twice_makes_it_no_more_believed():
    sample, explanations, _ = parts("by people")
    one = [explanations[0], explanations[2], explanations[5]]
    many = [explanations[0], *[explanations[2]] * 4, explanations[5]]

    def belief(several):
        found = weighed(sample, several, [0.1] * len(several))
        return sum(e.weight for e in found if e.name == "surest")

    assert belief(many) == pytest.approx(belief(one), abs=1e-9)


def test_of_two_that_fit_alike_the_one_with_fewer_wrong_labels_is_believed_more():
    sample, explanations, _ = parts("by people")
    low = weighed(sample, explanations[:3], [0.1, 0.1, 0.1])
    high = weighed(sample, explanations[:3], [0.1, 0.1, 0.5])
    surest_of = [sum(e.weight for e in w if e.name == "surest") for w in (low, high)]
    assert surest_of[1] < surest_of[0]


def test_a_rate_of_one_is_believed_least_and_breaks_nothing():
    sample, explanations, rates = parts("right labels")
    found = weighed(sample, explanations, [*rates[:-1], 1.0])
    assert found[-1].rate == 1.0 and all(np.isfinite(e.weight) for e in found)


def test_weights_follow_from_logarithms_however_large():
    _, explanations, _ = parts("right labels")
    logs = np.array([-1e6, -1e6 + np.log(3)])
    found = with_weights(explanations[:2], [0.1, 0.2], logs)
    assert [e.name for e in found] == ["no_class", "clean"]
    assert [e.weight for e in found] == pytest.approx([0.75, 0.25])
    assert [e.rate for e in found] == [0.2, 0.1]


def test_gains_count_only_where_they_are_certain():
    rng = np.random.default_rng(0)
    nothing = rng.normal(0, 1, 400)
    assert evidence(nothing - nothing.mean(), 10) == 0
    assert evidence(rng.normal(-0.1, 0.5, 400), 10) == 0
    assert evidence(np.full(400, 0.02), 10) == pytest.approx(100 * 0.02)
    some = rng.normal(0.1, 0.5, 400)
    assert 0 < evidence(some, 10) < 100 * some.mean()
    # of many classes a likelihood says more nats an item
    assert evidence(some, 1000) < evidence(some, 10)
