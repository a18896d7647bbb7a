"""The numbers and sentences of a report, from what a run holds."""

import json

import numpy as np
import pandas as pd
import pytest
from decision_rows import row
from example_runs import synthetic_run

from softfold.decisions.audit import draw
from softfold.decisions.log import LOG, DecisionLog
from softfold.markup import almost
from softfold.noise.model import as_noise_model
from softfold.report.measures import (
    calibration,
    evenly_spread,
    expected_wrong,
    percent,
    points,
    soft_examples,
    suspicion_curve,
    verdict,
    worst_pairs,
)
from softfold.runs.folder import Run

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")


@pytest.fixture
def folder(tmp_path):
    return synthetic_run(tmp_path / "run", 200, 4, rate=0.2)


def change(folder, name, **fields):
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return Run.open(folder)


@pytest.mark.parametrize(
    ("fraction", "said"),
    [(1.0, ">99%"), (0.9949, "99%"), (0.995, ">99%"), (0.0051, "1%"), (0.005, "<1%"), (0.0, "<1%")],
)
def test_a_probability_is_never_rounded_to_certainty(fraction, said):
    assert almost(fraction) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [(0.0, "+0.00"), (0.00004, "+0.004"), (-0.00004, "−0.004"), (0.2, "+20.00")],
)
def test_a_difference_that_is_there_is_never_written_as_none(fraction, said):
    assert points(fraction) == said


def test_percent_has_the_digits_asked_for():
    assert [percent(0.12345, digits) for digits in (0, 1, 2)] == ["12%", "12.3%", "12.35%"]


MEASURED = {
    "baseline": {"accuracy": [0.9, 0.92]},
    "soft": {"accuracy": [0.89, 0.95]},
    "data": {"n_valid": 1200},
}


@pytest.mark.parametrize(
    ("mean", "low", "high", "tone", "begins"),
    [
        (0.01, 0.002, 0.018, "good", "Soft labels gained 1.00 points: "),
        (-0.02, -0.03, -0.01, "bad", "Soft labels cost 2.00 points: "),
        (0.001, -0.01, 0.012, "even", "Soft labels made no measurable difference: "),
        (0.01, 0.0, 0.02, "even", "Soft labels made no measurable difference: "),
    ],
)
def test_worse_is_said_as_plainly_as_better(folder, mean, low, high, tone, begins):
    difference = {"mean": mean, "low": low, "high": high}
    found = verdict(change(folder, "metrics", **MEASURED, difference=difference))
    assert found.tone == tone and found.sentence.startswith(begins)
    assert "91.0% with the given labels, 92.0% with soft ones on 1,200 hold-out" in found.sentence
    assert f"95% interval {points(low)} to {points(high)}" in found.sentence


def test_a_run_that_compared_nothing_does_not_say_that_soft_labels_help(folder):
    found = verdict(Run.open(folder))
    assert found.sentence == "About 40 of 200 given labels (20.0%) look wrong."
    assert found.tone == "none" and "is not known" in found.note


def test_a_rate_that_is_not_known_is_not_stated(folder):
    fields = json.loads((folder / "noise.json").read_text())
    del fields["rate"]
    (folder / "noise.json").write_text(json.dumps(fields))
    run = Run.open(folder)
    assert expected_wrong(run) is None
    assert verdict(run).sentence == "200 items have been cross-fitted."


def test_wrong_labels_are_counted_by_the_noise_model_else_by_suspicion(folder):
    run = Run.open(folder)
    found = expected_wrong(run)
    assert found.count == pytest.approx(40)
    assert (found.low, found.high) == pytest.approx((36, 44))
    (folder / "noise.json").unlink()
    found = expected_wrong(Run.open(folder))
    assert found.count == pytest.approx(run.suspicion.sum()) and found.low is None


def test_an_audit_has_the_last_word(folder):
    run = Run.open(folder)
    items = run.train["item"].tolist()
    given = dict(zip(items, run.train["given"]))
    drawn = draw(folder, items, 40)
    log = DecisionLog(folder / LOG)
    log.append(
        {**row("ann", f"stroke {i}", item, "keep", given[item], given[item]), "audit": True}
        for i, item in enumerate(drawn)
    )
    log.close()
    found = expected_wrong(Run.open(folder))
    assert found.low <= found.count <= found.high and found.count < 30


def with_noise(folder, transition, prior=None):
    noise = as_noise_model(np.asarray(transition), 4, prior)
    (folder / "noise.json").write_text(json.dumps(noise.to_json()))
    return Run.open(folder)


def test_the_worst_pairs_come_first_with_their_share_and_their_items(folder):
    transition = np.eye(4)
    transition[0, :2], transition[2, 2:] = [0.7, 0.3], [0.9, 0.1]
    run = with_noise(folder, transition, prior=[0.1, 0.1, 0.6, 0.2])
    pairs = worst_pairs(run)
    names = [(run.vocab[a], run.vocab[b]) for a, b in ((2, 3), (0, 1))]
    assert list(zip(pairs["truth"], pairs["given"])) == names  # more items, though a lesser share
    assert pairs["share"].tolist() == pytest.approx([0.1, 0.3])
    assert pairs["items"].tolist() == pytest.approx([200 * 0.6 * 0.1, 200 * 0.1 * 0.3])
    assert len(worst_pairs(run, top=1)) == 1
    assert not evenly_spread(pairs, run)


def test_even_noise_has_no_worst_pair_worth_naming(folder):
    run = with_noise(folder, np.full((4, 4), 0.1) + 0.6 * np.eye(4))
    assert evenly_spread(worst_pairs(run), run)


def test_without_a_noise_model_there_are_no_pairs(folder):
    (folder / "noise.json").unlink()
    run = Run.open(folder)
    assert len(worst_pairs(run)) == 0 and not evenly_spread(worst_pairs(run), run)


def test_calibration_is_against_the_truth_only_where_all_of_it_is_known(folder):
    run = Run.open(folder)
    bins = calibration(run)
    assert bins.attrs["against"] == "truth" and bins["items"].sum() == 200
    p, truth = np.asarray(run.probabilities), run.codes("truth")
    right = p.argmax(1) == truth
    assert np.average(bins["accuracy"], weights=bins["items"]) == pytest.approx(right.mean())
    assert np.average(bins["confidence"], weights=bins["items"]) == pytest.approx(p.max(1).mean())
    items = pd.read_parquet(folder / "items.parquet")
    items.loc[0, "truth"] = None
    items.to_parquet(folder / "items.parquet")
    assert calibration(Run.open(folder)).attrs["against"] == "given label"


def test_wrong_labels_found_add_up_along_the_ranking(folder):
    run = Run.open(folder)
    curve = suspicion_curve(run)
    assert curve.total_expected == pytest.approx(run.suspicion.sum())
    assert (np.diff(curve.looked_at) > 0).all() and curve.looked_at[0] == 1
    wrong = (run.codes("truth") != run.codes("given"))[run.ranking]
    assert curve.measured.tolist() == [wrong[:n].sum() for n in curve.looked_at]
    np.testing.assert_allclose(
        curve.expected, [run.suspicion[run.ranking][:n].sum() for n in curve.looked_at]
    )


def test_an_unknown_truth_is_not_measured(folder):
    items = pd.read_parquet(folder / "items.parquet").drop(columns="truth")
    items.to_parquet(folder / "items.parquet")
    assert suspicion_curve(Run.open(folder)).measured is None


def test_examples_of_soft_labels_are_different_items_moved_in_doubt_and_kept(folder):
    run = Run.open(folder)
    rows = soft_examples(run, top=6)
    assert len(rows) == len(set(rows)) == 6
    on_given = np.asarray(run.targets)[rows, run.codes("given")[rows]]
    assert on_given[:2].max() < 0.05 and on_given[4:].min() > 0.5
    (folder / "soft_labels.safetensors").unlink()
    assert len(soft_examples(Run.open(folder))) == 0
