"""Groups of similar items: the same mistake on things that look alike, and nothing else."""

import numpy as np
import pytest
from example_runs import synthetic_run

from softfold.review.desk import Desk, Filter
from softfold.review.similar import GROUP_SIZE, groups_of

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")


@pytest.fixture
def desk(tmp_path):
    return Desk(synthetic_run(tmp_path / "run", 300, 4, rate=0.3))


def test_similar_items_stand_together_and_share_given_label_and_suggestion(desk):
    rows, total = desk.listing(Filter(similar=True), "ann")
    assert total == 300 and sorted(rows) == list(range(300))
    groups = desk.groups[rows]
    assert len(np.flatnonzero(np.diff(groups))) == len(np.unique(groups)) - 1
    for number in np.unique(groups):
        members = np.flatnonzero(desk.groups == number)
        assert len(set(desk.given[members])) == len(set(desk.suggested[members])) == 1
    assert max(np.bincount(desk.groups)) > 1


def test_features_split_what_has_the_same_labels_but_looks_different(tmp_path):
    from safetensors.numpy import save_file

    run = synthetic_run(tmp_path / "run", 300, 2, rate=0.4)
    looks = np.arange(300) % 2
    features = np.eye(2, 8, dtype=np.float32)[looks] + 0.01
    save_file({"features": features}, run / "features.safetensors")
    desk = Desk(run)
    groups = [np.flatnonzero(desk.groups == number) for number in np.unique(desk.groups)]
    assert max(len(members) for members in groups) > 5
    assert all(len(set(looks[members])) == 1 for members in groups)


def test_a_group_has_no_more_items_than_one_looks_at_together(tmp_path):
    run = synthetic_run(tmp_path / "run", 300, 2, rate=0.5)  # most look alike to two classes
    sizes = np.bincount(Desk(run).groups)
    assert sizes.max() == GROUP_SIZE


def test_a_group_is_named_by_its_most_suspicious_item(desk):
    for number in np.unique(desk.groups):
        members = np.flatnonzero(desk.groups == number)
        assert desk.suspicion[number] == desk.suspicion[members].max()


def test_without_predictions_and_features_the_same_mistake_is_alike_enough(tmp_path):
    run = synthetic_run(tmp_path / "run", 40, 2, rate=0.3)
    (run / "oof.safetensors").unlink()
    desk = Desk(run)
    pairs = set(zip(desk.given, desk.suggested))
    assert len(np.unique(desk.groups)) <= len(pairs) * -(-40 // GROUP_SIZE)


def test_only_the_most_suspicious_are_grouped_where_there_are_very_many(desk, monkeypatch):
    monkeypatch.setattr("softfold.review.similar.MOST_GROUPED", 50)
    groups = groups_of(desk.run, desk.looks, desk.asked)
    rest = desk.run.ranking[50:]
    assert (groups[rest] == rest).all()
    assert len(np.unique(groups[desk.run.ranking[:50]])) < 50
