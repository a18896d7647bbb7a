"""How reviewers' words add up."""

import pytest
from decision_rows import outcome, row

from softfold.decisions.opinions import agreement, replay


def test_the_last_word_of_a_reviewer_holds_and_undo_brings_back_the_one_before(log):
    log.append([row("ann", "s1", "i0", "accept", "dog")])
    log.append([row("ann", "s2", "i0", "keep", "cat")])
    assert outcome(log, "i0") == ("confirmed", "cat")
    assert log.undo("ann", "u1") == ["i0"]
    assert outcome(log, "i0") == ("confirmed", "dog")
    assert log.undo("ann", "u2") == ["i0"]
    assert outcome(log, "i0") == ("open", None)
    assert log.undo("ann", "u3") == []


def test_reviewers_who_disagree_make_a_conflict_until_a_third_decides(log):
    log.append([row("ann", "s1", "i0", "accept", "dog"), row("bob", "s2", "i0", "keep", "cat")])
    assert outcome(log, "i0") == ("conflict", None)
    log.append([row("eve", "s3", "i0", "unsure")])
    assert outcome(log, "i0") == ("conflict", None)
    log.append([row("joe", "s4", "i0", "class", "dog")])
    assert outcome(log, "i0") == ("confirmed", "dog")


def test_agreement_counts_pairs_of_reviewers_on_shared_items(log):
    for k, second in enumerate(["dog", "dog", "dog", "cat"]):
        log.append([row("ann", f"a{k}", f"i{k}", "accept", "dog")])
        log.append([row("bob", f"b{k}", f"i{k}", "class", second)])
    log.append([row("ann", "a9", "alone", "accept", "dog")])
    items, share, kappa = agreement(replay(log.since()).values())
    assert (items, share) == (4, 0.75)
    assert kappa == pytest.approx(0.0)
