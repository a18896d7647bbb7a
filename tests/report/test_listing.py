"""The ranked list of suspicious labels: of a run, or of somebody's predictions."""

import shutil

import numpy as np
import pandas as pd
import pytest
from decision_rows import row
from example_runs import synthetic_run

from softfold.data.reading import read_table
from softfold.decisions.log import LOG, DecisionLog
from softfold.errors import InputError
from softfold.report.listing import COLUMNS, Listing, predicted_issues, run_issues
from softfold.runs.folder import Run

pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
VOCAB = ("ant", "bee", "cow", "dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("listing") / "run", 500, 4, rate=0.2, vocab=VOCAB)


@pytest.fixture(scope="module")
def table(folder):
    return read_table(folder.parent / "run.parquet").train


def predictions(folder):
    return np.round(np.asarray(Run.open(folder).probabilities, dtype=np.float64), 6)


def listing_of(**columns):
    base = {
        "item": ["a", "b", "c"],
        "given": ["x", "x", "y"],
        "suggested": ["y", "z", "x"],
        "suspicion": [0.999, 0.5, 0.001],
        "p_given": [0.001, 0.5, np.nan],
        "p_suggested": [0.9, np.nan, 0.04],
        "evidence": ["", "", ""],
    }
    return Listing(pd.DataFrame({**base, **columns}), 1000, 30.4, (12.2, 50.0))


def test_a_run_is_listed_from_the_most_suspicious_with_what_speaks_for_it(folder):
    run, listing = Run.open(folder), run_issues(folder)
    frame = listing.frame
    assert list(frame) == COLUMNS and len(frame) == listing.items == 500
    assert frame["suspicion"].is_monotonic_decreasing
    first = frame.iloc[0]
    row = run.train["item"].tolist().index(first["item"])
    p = dict(zip(VOCAB, run.probabilities[row]))
    assert first["p_given"] == pytest.approx(p[first["given"]])
    assert first["p_suggested"] == pytest.approx(p[first["suggested"]])
    share = run.noise.transition[VOCAB.index(first["suggested"]), VOCAB.index(first["given"])]
    assert first["evidence"].startswith(f"predicted {first['suggested']} >99%")
    assert first["evidence"].endswith(f"{100 * share:.1f}% of {first['suggested']} given so")


def test_pairs_thresholds_and_a_top_narrow_it_and_the_whole_is_still_told(folder):
    listing = run_issues(folder)
    part = listing.select(given="ant", threshold=0.5, top=3)
    assert set(part.frame["given"]) == {"ant"} and len(part.frame) == 3
    assert part.frame["suspicion"].min() >= 0.5 and part.frame.index.tolist() == [0, 1, 2]
    assert (part.expected, part.items) == (listing.expected, 500)
    pair = listing.select(given="bee", suggested="dog").frame
    assert len(pair) and set(pair["given"] + pair["suggested"]) == {"beedog"}


def test_what_people_decided_on_is_listed_no_more(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    before = run_issues(tmp_path / "run")
    first = before.frame["item"][:3]
    log = DecisionLog(tmp_path / "run" / LOG)
    actions = [("keep", "ant"), ("exclude", None), ("unsure", None)]
    log.append(row("ann", item, item, *what) for item, what in zip(first, actions, strict=True))
    log.close()
    after = run_issues(tmp_path / "run")
    assert after.frame["item"].tolist() == before.frame["item"][2:].tolist()
    assert (after.items, after.expected) == (before.items, before.expected)
    left = after.frame["suspicion"].sum()
    assert after.to_json()["expected_wrong_listed"] == pytest.approx(left)
    assert after.summary().endswith(
        f"this list has 498 items, of which about {left:,.0f} are; 2 items that people decided on "
        "not listed"
    )


@pytest.mark.parametrize("column", ["given", "suggested"])
def test_a_class_that_nothing_has_is_refused_with_those_there_are(folder, column):
    with pytest.raises(InputError, match=f"--{column} 'eel': no item has it; there are ant, bee,"):
        run_issues(folder).select(**{column: "eel"})


@pytest.mark.parametrize("name", ["issues.csv", "issues.parquet", "ISSUES.CSV"])
def test_a_written_list_is_read_again(folder, tmp_path, name):
    part = run_issues(folder).select(top=20)
    out = part.write(tmp_path / name)
    again = pd.read_parquet(out) if name.endswith("parquet") else pd.read_csv(out)
    assert list(again) == COLUMNS
    assert again["item"].astype(str).tolist() == part.frame["item"].tolist()
    np.testing.assert_allclose(again["suspicion"], part.frame["suspicion"], rtol=1e-6)


def test_a_list_goes_to_no_other_file(folder, tmp_path):
    with pytest.raises(InputError, match=r"--out .*x\.txt: the name must end in \.csv or \.par"):
        run_issues(folder).write(tmp_path / "x.txt")
    assert not list(tmp_path.iterdir())


def test_a_terminal_is_told_where_to_stop():
    lines = listing_of().text().splitlines()
    assert lines[0].split() == [
        "item",
        "given",
        "suggested",
        "suspicion",
        "p(given)",
        "p(suggested)",
    ]
    assert lines[1].split() == ["a", "x", "y", ">99%", "<1%", "90%"]
    assert lines[2].split() == ["b", "x", "z", "50%", "50%"]
    assert lines[-1] == (
        "about 30 of 1,000 labels (3.0%), 95% interval 12 to 50 labels, are expected to be wrong; "
        "this list has 3 items, of which about 2 are"
    )
    assert "this list has 1 item, of which about 1 are" in listing_of().select(top=1).summary()
    assert len(listing_of().text(top=1).splitlines()) == 4


def test_long_names_are_cut_so_that_lines_fit_and_the_ends_of_keys_stay():
    listing = listing_of(item=[f"{'folder/' * 30}{i}.png" for i in range(3)], given=["k" * 90] * 3)
    lines = listing.text(width=80).splitlines()
    assert max(len(line) for line in lines[:4]) <= 80
    assert [line.split()[0][-5:] for line in lines[1:4]] == ["0.png", "1.png", "2.png"]


def test_control_characters_do_not_reach_the_terminal():
    listing = listing_of(item=["\x1b[31mred", "b\nb", "c\u202e"], given=["\a", "x", "x"])
    text = listing.text()
    assert all(c.isprintable() or c == "\n" for c in text)
    assert len(text.splitlines()) == 6 and "?[31mred" in text


def test_issues_from_someones_predictions_are_those_of_the_run(folder, table, tmp_path):
    p = predictions(folder)
    np.save(tmp_path / "p.npy", p)
    frame = pd.DataFrame(p[:, ::-1], columns=list(VOCAB)[::-1])
    frame.insert(0, "item", table.item)
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "p.csv", index=False)
    frame.sample(frac=1, random_state=1).to_parquet(tmp_path / "p.parquet")
    listings = [
        predicted_issues(table, source)
        for source in (p, tmp_path / "p.npy", tmp_path / "p.csv", tmp_path / "p.parquet")
    ]
    tops = [listing.frame["item"][:50].tolist() for listing in listings]
    assert tops[0] == tops[1] == tops[2] == tops[3]
    assert len(set(tops[0]) & set(run_issues(folder).frame["item"][:50])) > 40
    low, high = listings[0].interval
    assert low <= listings[0].expected <= high


def test_columns_without_the_names_of_classes_go_by_position(folder, table, tmp_path):
    p = predictions(folder)
    pd.DataFrame(p, columns=["p0", "p1", "p2", "p3"]).to_csv(tmp_path / "p.csv", index=False)
    found = predicted_issues(table, tmp_path / "p.csv").frame
    pd.testing.assert_frame_equal(found, predicted_issues(table, p).frame)


def test_columns_some_of_which_have_no_name_of_a_class_do_not_go_by_position(
    folder, table, tmp_path
):
    frame = pd.DataFrame(predictions(folder), columns=["ant", "bee", "Cow", "dog"])
    line = r"predictions lack 'cow' \(there are dog, Cow, bee, ant\), and 'Cow' is no class of the"
    for columns in ({}, {"item": table.item}):
        frame.iloc[:, ::-1].assign(**columns).to_csv(tmp_path / "p.csv", index=False)
        with pytest.raises(InputError, match=line):
            predicted_issues(table, tmp_path / "p.csv")
    frame[["ant", "bee", "dog"]].to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=r"predictions lack 'cow' \(there are ant, bee, dog\)"):
        predicted_issues(table, tmp_path / "p.csv")


def test_predictions_that_do_not_fit_are_refused(table, tmp_path):
    np.save(tmp_path / "p.npy", np.full((5, 4), 0.25))
    np.save(tmp_path / "o.npy", np.array([object()]), allow_pickle=True)
    pd.DataFrame(np.full((500, 3), 1 / 3)).to_csv(tmp_path / "three.csv", index=False)
    (tmp_path / "p.txt").write_text("0.5")
    for name, line in (
        ("p.npy", "do not fit"),
        ("o.npy", "not a NumPy array of numbers"),
        ("three.csv", "it has 3 columns of numbers, .* has 4 classes; name the columns by class"),
        ("p.txt", r"predictions are read from \.npy, \.parquet and \.csv files"),
        ("gone.npy", "no such file"),
    ):
        with pytest.raises(InputError, match=line):
            predicted_issues(table, tmp_path / name)


def test_a_run_that_is_not_cross_fitted_has_no_list(tmp_path):
    run = synthetic_run(tmp_path / "run", 30, 3)
    items = pd.read_parquet(run / "items.parquet")
    items.assign(split="valid").to_parquet(run / "items.parquet")
    with pytest.raises(InputError, match=r"no suspicion yet \(softfold crossfit first\)"):
        run_issues(run)


def test_a_column_that_is_no_class_is_not_passed_over(table, folder, tmp_path):
    frame = pd.DataFrame(predictions(folder), columns=list(VOCAB))
    frame.assign(id=table.item).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match="column 'id' is no class; rows are found by a column"):
        predicted_issues(table, tmp_path / "p.csv")
    frame.assign(item=table.item).iloc[::-1].to_csv(tmp_path / "p.csv", index=False)
    found = predicted_issues(table, tmp_path / "p.csv").frame
    pd.testing.assert_frame_equal(found, predicted_issues(table, predictions(folder)).frame)


def test_predictions_that_tell_nothing_give_no_number_of_wrong_labels(table):
    flat = np.random.default_rng(0).dirichlet(np.ones(4) * 30, len(table))
    found = predicted_issues(table, flat)
    assert "no number of wrong ones can be given" in found.summary()
    assert found.to_json()["expected_wrong"] is None
