"""The pieces of a report: text is escaped, numbers stand beside their bars."""

import numpy as np
import pytest
from example_runs import synthetic_run

from softfold.runs.folder import Run
from softfold.runs.looks import Looks

fastcore = pytest.importorskip("fastcore.xml")
pytest.importorskip("pyarrow")
from softfold.report.parts import (  # noqa: E402
    bar,
    chart,
    el,
    look,
    raw,
    soft_example,
    suspicious_item,
    table,
    void,
)

EVIL = "<script>\"'&amp;"


def html(part):
    return fastcore.to_xml(part)


@pytest.fixture
def run(tmp_path):
    return Run.open(synthetic_run(tmp_path / "run", 60, 3, vocab=("ant", "<b>bee", "cow")))


def test_text_and_attributes_are_escaped_and_markup_made_here_is_not():
    written = html(el("p", EVIL, title=EVIL))
    assert "<script" not in written and "&lt;script&gt;" in written and "&amp;amp;" in written
    assert "<svg></svg>" in html(el("div", raw("<svg></svg>")))


def test_numbers_are_text_and_attributes_without_a_value_are_left_out():
    written = html(el("td", np.int64(3), cls=None, hidden=True))
    assert "3" in written and "class" not in written and "hidden" in written
    assert "</img>" not in html(void("img", src="a"))


@pytest.mark.parametrize(
    ("share", "width"), [(0.254, "25.4%"), (-1, "0.0%"), (7, "100.0%"), (np.float32(1), "100.0%")]
)
def test_a_bar_never_leaves_its_place(share, width):
    assert f"width:{width}" in html(bar(share))


def test_a_chart_has_words_for_who_does_not_see_it():
    written = html(chart("<svg></svg>", f"what {EVIL}", "a caption"))
    assert 'role="img"' in written and "aria-label" in written and "<script" not in written


def test_a_table_has_a_caption_heads_and_numbers_flush_right():
    written = html(table("Pairs", ["truth", "share"], [["ant", "3%"], [EVIL, "1%"]], numbers=(1,)))
    assert written.count("<caption>") == 1 and written.count('scope="col"') == 2
    assert written.count('class="number"') == 3 and "<script" not in written


def test_an_item_that_cannot_be_shown_says_so():
    assert "no picture" in html(look(Looks(None), 0, "an item"))


def test_a_suspicious_item_shows_both_classes_with_their_probabilities(run):
    row = int(run.ranking[0])
    written = html(suspicious_item(run, Looks.of(run), row))
    record = run.train.iloc[row]
    for name in (record["given"], record["suggested"], record["truth"]):
        assert name.replace("<", "&lt;") in written
    assert "<b>bee" not in written
    assert "suspicion &gt;99%" in written and "truth: " in written
    assert written.count('aria-hidden="true"') == 2  # a bar each


def test_without_predictions_there_are_names_and_no_bars(run):
    (run.path / "oof.safetensors").unlink()
    written = html(suspicious_item(run, Looks.of(run), 0))
    assert 'aria-hidden="true"' not in written and "suspicion" in written


def test_a_soft_label_stands_beside_prediction_and_given_label(run):
    row = int(run.ranking[0])
    written = html(soft_example(run, Looks.of(run), row, classes=2))
    given = run.train["given"][row].replace("<", "&lt;")
    assert written.count('scope="row"') == 2
    # the given class is there, marked, however small its share of the soft label
    head = next(part for part in written.split("<th") if 'class="given"' in part)
    assert given in head
    assert "predicted" in written
    (run.path / "oof.safetensors").unlink()
    assert "predicted" not in html(soft_example(Run.open(run.path), Looks.of(run), row))
