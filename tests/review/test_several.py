"""Items with several labels under review: asked class by class, kept, corrected, exported."""

import re
import shutil

import pandas as pd
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
pytest.importorskip("safetensors")
pytest.importorskip("fasthtml")
from browsing import has_text, needs_browser, saved
from decision_rows import row
from serving import Server
from several_labels import digits_run

from softfold.decisions.applying import read_decisions
from softfold.decisions.log import LOG, DecisionLog
from softfold.decisions.questions import question_keys
from softfold.errors import InputError
from softfold.job.several import several_of_run
from softfold.multilabel import read_table
from softfold.review import export_labels
from softfold.review.desk import Desk
from softfold.runs.folder import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return digits_run(tmp_path_factory.mktemp("several"))


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def stroke(name, action, rows=(), **more):
    return {"stroke": f"stroke-{name}", "action": action, "rows": list(rows), **more}


def test_an_item_and_class_that_people_decided_on_is_listed_no_more(run):
    before = several_of_run(run).frame.reset_index(drop=True)
    first = before.iloc[0]
    (key,) = question_keys([first["item"]], [first["class"]])
    log = DecisionLog(run / LOG)
    log.append([row("ann", "s", key, "class", "yes")])
    log.close()
    assert (
        several_of_run(run).frame.reset_index(drop=True).equals(before[1:].reset_index(drop=True))
    )


@needs_browser
def test_classes_are_asked_one_by_one_in_the_order_of_suspicion(run, open_page, tmp_path):
    issues = Run.open(run, several=True).issues.to_dict("records")
    with Server(run) as server:
        page = open_page(server.url)
        for key, issue in zip("ynuyn", issues):
            has_text(page, "#asked", f"Does it have {issue['class']}?")
            has_text(page, "#key", f"{issue['item']} ·")
            given = "yes" if issue["given"] else "no"
            has_text(page, "#labels .given", re.compile(f"^{given}$"))
            assert {*page.locator("#classes kbd").all_inner_texts()} == {"y", "n"}
            page.keyboard.press(key)
        page.keyboard.press("z")
        saved(page)
        has_text(page, "#asked", f"Does it have {issues[4]['class']}?")
        has_text(page, "#numbers", re.compile("^4 reviewed"))
        name = min(issue["class"] for issue in issues)
        page.select_option("#class", label=name)
        has_text(page, "#count", re.compile(f"^{len(issues) // 4} labels$"))
        status, _, csv = server.ask("/export.csv")
        assert status == 200 and page.locator("text=Audit").count() == 0
        page.context.close()
    decided = read_decisions(run)
    states = ["confirmed", "confirmed", "unsure", "confirmed"]
    wanted = [(i["item"], i["class"], s) for i, s in zip(issues, states)]
    assert decided[["item", "class", "state"]].to_numpy().tolist() == [[*row] for row in wanted]
    assert decided["label"].dropna().tolist() == ["yes", "no", "yes"]
    (tmp_path / "page.csv").write_bytes(csv)
    assert export_labels(run, tmp_path / "corrected.csv").read_bytes() == csv


@pytest.mark.filterwarnings("ignore:.*no label in the cell")
def test_what_is_exported_is_the_table_with_what_was_answered(run, tmp_path):
    before = Run.open(run, several=True).table()
    desk = Desk(run)
    desk.strike("ann", [stroke("1", "accept", [0, 1]), stroke("2", "keep", [2])])
    desk.strike("ann", [stroke("3", "class", [3], label=1 - desk.given[3].item())])
    desk.strike("ann", [stroke("4", "accept", [4, 5])])
    desk.strike("bob", [stroke("5", "keep", [4]), stroke("6", "unsure", [6])])
    after = read_table(export_labels(run, tmp_path / "corrected.csv"), label_delim=";")
    assert after.item.tolist() == before.item.tolist() and after.vocab == before.vocab
    changed = {
        (before.item[i], before.vocab[k]) for i, k in zip(*(after.given != before.given).nonzero())
    }
    issues = desk.run.issues.iloc[[0, 1, 3, 5]]  # row 4 is in conflict
    assert changed == set(zip(issues["item"], issues["class"]))
    assert (after.valid == before.valid).all() and (after.data == before.data).all(axis=None)
    listed = pd.read_parquet(export_labels(run, tmp_path / "decisions.parquet", "decisions"))
    assert listed["state"].tolist() == ["confirmed"] * 4 + ["conflict", "confirmed", "unsure"]
    with pytest.raises(InputError, match="for one label an item"):
        export_labels(run, tmp_path / "x", "cleanlab")


def test_what_has_no_answer_of_yes_or_no_is_refused(run):
    desk = Desk(run)
    with pytest.raises(InputError, match="yes, no or unsure"):
        desk.strike("ann", [stroke("1", "none", [0])])
    with pytest.raises(InputError, match="an audit is of one label"):
        desk.draw(10)
    assert desk.log.since() == []


def test_groups_of_similar_items_are_of_one_class(run):
    desk = Desk(run)
    for members in desk.groups[:, None] == desk.groups[None, :]:
        same = {(desk.asked.of_class[r], desk.given[r]) for r in members.nonzero()[0]}
        assert len(same) == 1
    assert len(set(desk.groups.tolist())) < len(desk.item)
