"""Training with decisions: confirmed labels are final, and the noise model learns from them."""

import numpy as np
import pandas as pd
import pytest

from softfold.data.table import LabelTable
from softfold.decisions.applying import apply_decisions
from softfold.decisions.correcting import confirm_soft_labels, learn_noise
from softfold.noise.estimation import estimate_noise
from softfold.noise.matrices import symmetric
from softfold.noise.model import as_noise_model
from softfold.noise.scoring import score
from softfold.soft_labels import SoftLabels

VOCAB = ("cat", "dog", "fox")


def keys(n):
    return np.array([f"i{k}" for k in range(n)], dtype=object)


def test_a_confirmed_item_gets_a_hard_final_target():
    decisions = pd.DataFrame(
        {
            "item": ["i2", "i0", "other"],
            "state": ["confirmed", "unsure", "confirmed"],
            "label": ["fox", None, "dog"],
        }
    )
    soft = SoftLabels(keys(3), np.full((3, 3), 1 / 3, np.float32), VOCAB, "posterior")
    hard = confirm_soft_labels(soft, decisions)
    assert hard.targets[2].tolist() == [0, 0, 1]
    assert np.allclose(hard.targets[:2], 1 / 3) and np.allclose(soft.targets, 1 / 3)


@pytest.fixture
def confused():
    """600 items; a third of the dogs are given as cats, where the predictions waver too."""
    rng = np.random.default_rng(0)
    n = 600
    truth = rng.integers(0, 3, n)
    given = np.where((truth == 1) & (rng.random(n) < 0.33), 0, truth)
    p = np.full((n, 3), 0.02)
    p[np.arange(n), truth] = 0.96
    unclear = truth < 2
    p[unclear] = [0.49, 0.49, 0.02]
    table = LabelTable(keys(n), given, VOCAB, np.zeros(n, dtype=bool), truth=truth)
    return table, p.astype(np.float32)


def decide(table, rows):
    names = np.array(VOCAB, dtype=object)
    return pd.DataFrame(
        {
            "item": table.item[rows],
            "state": "confirmed",
            "label": names[table.truth[rows]],
            "given": names[table.given[rows]],
        }
    )


def test_what_people_find_in_some_items_raises_the_suspicion_of_the_rest(confused):
    table, p = confused
    cats = np.flatnonzero(table.given == 0)
    decisions = decide(table, cats[:100])
    after = apply_decisions(table, decisions)
    before = as_noise_model(symmetric(3, 0.02), 3)
    learned = learn_noise(before, after, p, decisions)
    true_share = (table.given[table.truth == 1] == 0).mean()
    assert learned.transition[1, 0] == pytest.approx(true_share, abs=0.1)
    rest = cats[100:]
    old = score(after.given[rest], p[rest], before)
    new = score(after.given[rest], p[rest], learned)
    assert new.suspicion.mean() > 2 * old.suspicion.mean()
    assert (new.suggested == 1).all()
    assert np.allclose(learned.transition.sum(axis=1), 1)


def test_confirmed_labels_count_as_right_in_the_rate(confused):
    table, p = confused
    everything = decide(table, np.arange(len(table)))
    learned = learn_noise(
        estimate_noise(table.given, p), apply_decisions(table, everything), p, everything
    )
    assert learned.rate == pytest.approx(0, abs=1e-9)
    assert learned.rate_interval == pytest.approx((0, 0), abs=1e-9)


def test_without_confirmed_items_the_model_stays(confused):
    table, p = confused
    noise = estimate_noise(table.given, p)
    nothing = pd.DataFrame({"item": ["i0"], "state": ["unsure"], "label": [None]})
    assert learn_noise(noise, table, p, nothing) is noise


def test_an_audit_tilts_the_suspicions_of_what_is_still_open(confused):
    table, p = confused
    rows = np.random.default_rng(2).choice(len(table), 100, replace=False)
    decisions = decide(table, rows).assign(audited=True, none_of_these=False)
    after = apply_decisions(table, decisions)
    # a model that finds hardly any label wrong, though a ninth of them is
    blind = as_noise_model(symmetric(3, 1e-4), 3)
    learned = learn_noise(blind, after, p, decisions)
    low, _ = learned.rate_interval
    assert learned.audited == 100 and low > 0.02
    assert low <= score(after.given, p, learned).suspicion.mean() * 1.1
