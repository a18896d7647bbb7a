"""From a run to decisions and back into training, on digits as a table of pixels."""

import numpy as np
import pandas as pd
import pytest

import softfold
from softfold import read_table
from softfold.decisions.applying import read_decisions
from softfold.decisions.precision import measured_precision
from softfold.review import export_labels
from softfold.review.desk import Desk, Filter


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    from sklearn.datasets import load_digits

    pixels, truth = (part[:800] for part in load_digits(return_X_y=True))
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(pixels, columns=[f"p{i}" for i in range(64)])
    valid = np.arange(len(frame)) % 4 == 0
    wrong = (rng.random(len(frame)) < 0.2) & ~valid
    # As people err: each class is taken for the one after it.
    frame["label"] = np.where(wrong, (truth + 1) % 10, truth)
    frame["truth"], frame["is_valid"] = truth, valid
    folder = tmp_path_factory.mktemp("retrain")
    frame.to_csv(folder / "digits.csv", index=False)
    settings = {"truth": "truth", "trainer": "estimator", "seeds": 1, "folds": 3, "quiet": True}
    settings["arch"] = "sklearn.linear_model.LogisticRegression"
    run = softfold.run(str(folder / "digits.csv"), folder / "first", **settings)
    return folder, run, settings


def test_a_run_reviewed_by_someone_who_knows_trains_a_model_on_what_they_decided(first):
    folder, run, settings = first
    desk = Desk(run.path)
    truth = desk.run.codes("truth")
    rows = desk.listing(Filter(), "ann")[0][:100]
    strokes = [
        {"stroke": f"stroke-{row}", "action": "class", "rows": [row], "label": int(truth[row])}
        for row in rows
    ]
    strokes[0] = {"stroke": "stroke-out", "action": "exclude", "rows": [rows[0]]}
    for start in range(0, 100, 50):
        desk.strike("ann", strokes[start : start + 50])
    precision = measured_precision(run.path)
    assert precision.wrong + precision.right == 99 and precision.share > 0.7

    again = softfold.run(
        str(folder / "digits.csv"), folder / "second", decisions=str(run.path), **settings
    )
    items = again.items.set_index("item")
    confirmed = [desk.item[row] for row in rows[1:]]
    assert desk.item[rows[0]] not in items.index
    assert (items.loc[confirmed, "given"] == items.loc[confirmed, "truth"]).all()
    assert (items.loc[confirmed, "suspicion"] == 0).all()
    soft = again.soft_labels.aligned(confirmed, again.vocab)
    hard = pd.Index(again.vocab).get_indexer(items.loc[confirmed, "truth"])
    assert np.array_equal(soft.argmax(axis=1), hard) and (soft.max(axis=1) == 1).all()
    assert again.metrics["noise"]["rate_truth"] < run.metrics["noise"]["rate_truth"] / 2
    assert again.metrics["noise"]["rate_estimate"] < run.metrics["noise"]["rate_estimate"]


def test_over_several_rounds_no_decision_is_lost_and_the_audit_goes_on(first, tmp_path):
    folder, _, settings = first
    table = str(folder / "digits.csv")
    runs = [softfold.run(table, tmp_path / "0", **settings)]
    for n in (40, 80):
        desk = Desk(runs[-1].path)
        truth = desk.run.codes("truth")
        desk.draw(n)
        ask = [row for row, how in desk.audit() if how == "open"]
        assert not {desk.item[row] for row in ask} & desk.decided
        desk.strike("ann", [stroke(f"blind {row}", row, truth, audit=True) for row in ask])
        top = desk.listing(Filter(state="open"), "ann")[0][:30]
        desk.strike("ann", [stroke(f"review {row}", row, truth) for row in top])
        assert desk.audit_state().checked == n and desk.audit_state().left == 0
        runs.append(
            softfold.run(table, tmp_path / str(n), decisions=str(runs[-1].path), **settings)
        )
        decided = read_decisions(runs[-2].path)
        items = runs[-1].items.set_index("item").loc[decided["item"]]
        assert (items["given"] == items["truth"]).all() and decided["audited"].sum() == n
        state = Desk(runs[-1].path).audit_state()
        noise = runs[-1].noise
        assert state.checked == state.before == n == noise.audited
        assert state.rate == pytest.approx(noise.rate, abs=0.01)
        still = runs[-1].train
        assert state.low <= (still["given"] != still["truth"]).mean() <= state.high
        exported = pd.read_csv(export_labels(runs[-1].path, tmp_path / "out.csv", "decisions"))
        assert len(exported) == len(decided) and (exported["state"] == "confirmed").all()
    assert len(read_decisions(runs[2].path)) > len(read_decisions(runs[0].path)) >= 70
    # a run that goes on hears of its own further audit
    before = runs[1].noise
    again = softfold.run(
        table, tmp_path / "40", decisions=str(runs[0].path), resume=True, **settings
    ).noise
    assert (before.audited, again.audited) == (40, 80)
    still = runs[1].train
    low, high = again.rate_interval
    assert low <= (still["given"] != still["truth"]).mean() <= high
    assert high - low < before.rate_interval[1] - before.rate_interval[0]


def stroke(name, row, truth, **more):
    return {
        "stroke": f"a {name}",
        "action": "class",
        "rows": [row],
        "label": int(truth[row]),
        **more,
    }


def test_the_exported_table_of_a_tabular_run_is_its_label_table_corrected(first):
    folder, run, _ = first
    out = read_table(export_labels(run.path, folder / "corrected.csv"))
    before = run.table()
    decided = read_decisions(run.path)
    assert list(out.data.columns) == [f"p{i}" for i in range(64)]
    assert len(out) == len(before) - (decided["state"] == "excluded").sum()
    kept = before.take(~np.isin(before.item, decided["item"][decided["state"] == "excluded"]))
    given = np.array(kept.vocab, dtype=object)[kept.given]
    labels = decided[decided["state"] == "confirmed"].set_index("item")["label"]
    wanted = pd.Series(given, index=kept.item)
    wanted[labels.index] = labels
    assert [out.vocab[code] for code in out.given] == wanted.tolist()
    assert np.array_equal(out.data.to_numpy(float), kept.data.to_numpy(float))
