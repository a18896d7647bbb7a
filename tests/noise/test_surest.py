"""The explanation that the likeliest class is the true one."""

import numpy as np
import pytest
from made_noise import people

from softfold.noise.explanation import log_floored
from softfold.noise.sample import Sample
from softfold.noise.surest import SHARPER, surest


def made(n=4000):
    truth, given, p = people(n)
    return truth, given, p, Sample.of(given, p, np.arange(n))


def test_its_matrix_says_which_labels_the_items_predicted_as_a_class_have():
    _, given, p, sample = made()
    transition = surest(sample)[0].transition
    for k in range(8):
        labels = given[p.argmax(1) == k]
        shares = np.bincount(labels, minlength=8) / len(labels)
        np.testing.assert_allclose(transition[k], shares, atol=0.04)


def test_a_class_that_nothing_is_predicted_as_has_a_usable_row():
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]] * 50)
    transition = surest(Sample.of(np.arange(100) % 3, p, np.arange(100)))[0].transition
    assert (transition > 0).all()
    np.testing.assert_allclose(transition.sum(1), 1)


def test_it_comes_in_several_degrees_each_surer_of_the_likeliest_class():
    _, given, p, sample = made()
    found = surest(sample)
    assert len(found) == len(SHARPER) and {e.name for e in found} == {"surest"}
    contradicted = p.argmax(1) != given
    wrong = []
    for explanation in found:
        _, odds = explanation.read(given, log_floored(p))
        wrong.append((1 / (1 + np.exp(-odds.astype(float))))[contradicted].mean())
    assert wrong == sorted(wrong) and wrong[-1] > wrong[0]


def test_it_knows_which_labels_people_got_wrong():
    truth, given, p, sample = made()
    q, _ = surest(sample)[-1].read(given, log_floored(p))
    assert (q.argmax(1) == truth).mean() > (given == truth).mean() + 0.1


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_predictions_made_flatter_give_the_same_answer(scale):
    _, given, p, sample = made(2000)
    flat = p ** (1 / scale)
    flat /= flat.sum(1, keepdims=True)
    again = surest(Sample.of(given, flat, np.arange(2000)))[1]
    q, _ = again.read(given, log_floored(flat))
    expected, _ = surest(sample)[1].read(given, log_floored(p))
    assert (q.argmax(1) == expected.argmax(1)).mean() > 0.98
