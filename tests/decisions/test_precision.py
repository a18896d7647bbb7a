"""How many of the labels that people looked at were wrong."""

import pytest
from decision_rows import row

from softfold.decisions.precision import measured_precision, precision_sentence


def test_precision_counts_confirmed_items_only(log, tmp_path):
    log.append(row("ann", f"s{k}", f"i{k}", "accept", "dog") for k in range(3))
    log.append([row("ann", "t0", "j0", "keep", "cat"), row("ann", "t1", "j1", "exclude")])
    log.append([row("ann", "t2", "j2", "unsure")])
    found = measured_precision(tmp_path)
    assert (found.wrong, found.right, found.share) == (3, 1, 0.75)
    assert found.promised == pytest.approx(3.6)
    low, high = found.interval
    assert low < 0.75 < high


def test_what_was_expected_is_said_where_the_log_has_every_suspicion(log, tmp_path):
    log.append([row("ann", "s0", "i0", "accept", "dog")])
    assert precision_sentence(tmp_path).endswith("; by their suspicions 1 were expected.")
    log.append([row("ann", "s1", "i1", "keep", "cat", suspicion=None)])
    assert precision_sentence(tmp_path).endswith(").")
