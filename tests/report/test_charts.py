"""Charts: SVG that takes the page's colours, and shows names as they are written."""

from functools import cache
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from softfold.report import charts
from softfold.report.measures import SuspicionCurve

CURVE = SuspicionCurve(np.array([1, 10, 20]), np.array([0.9, 6, 8]), np.array([1.0, 7, 9]), 8.0)
BINS = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.4, 0.95], "items": [10, 90]})
HISTORY = pd.DataFrame(
    [
        {"model": model, "seed": seed, "epoch": epoch, "accuracy": 0.5 + 0.1 * epoch}
        for model in ("baseline", "soft")
        for seed in range(2)
        for epoch in range(3)
    ]
)
DRAWN = {
    "comparison": lambda: charts.comparison(
        [0.9, 0.91], [0.92, 0.93], {"low": -0.01, "mean": 0.02, "high": 0.03}
    ),
    "heat_map": lambda: charts.heat_map(np.full((3, 3), 0.1) + 0.7 * np.eye(3), ["a", "b", "c"]),
    "calibration": lambda: charts.calibration(BINS),
    "suspicion": lambda: charts.suspicion(CURVE, (12, 5)),
    "learning": lambda: charts.learning(HISTORY, "accuracy", "accuracy, %"),
    "seconds": lambda: charts.seconds({"load": 0.5, "crossfit": 130.0, "total": 130.5}),
}


@cache
def drawn(name):
    return DRAWN[name]()


def texts(svg):
    elements = ElementTree.fromstring(svg).iter()
    return ["".join(e.itertext()) for e in elements if e.tag.endswith("text")]


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_has_the_colours_and_the_font_of_the_page_alone(name):
    svg = drawn(name)
    for stand_in, variable in charts.PALETTE.items():
        assert stand_in not in svg
        assert variable.startswith("var(--")
    assert "var(--" in svg and "DejaVu" not in svg and "<style" not in svg
    assert ElementTree.fromstring(svg).get("aria-hidden") == "true"


def test_a_chart_drawn_again_is_the_same():
    assert DRAWN["heat_map"]() == drawn("heat_map")


def test_ids_of_charts_on_one_page_differ_and_what_they_refer_to_is_there():
    seen = []
    for name in DRAWN:
        root = ElementTree.fromstring(drawn(name))
        ids = [e.get("id") for e in root.iter() if e.get("id")]
        for element in root.iter():
            for key, value in element.attrib.items():
                if key.endswith("href"):
                    assert value.lstrip("#") in ids
                if value.startswith("url(#"):
                    assert value[5:-1] in ids
        seen += ids
    assert len(seen) == len(set(seen))


def test_classes_are_written_as_they_are_called():
    names = ["<b>&amp;</b>", "$x^{2$", "#010101", 'id="a', "url(#a)", "'DejaVu Sans'", "<!-- a"]
    said = texts(charts.heat_map(np.eye(7), names))
    assert [said.count(name) for name in names] == [2] * 7


def test_long_names_are_cut():
    svg = charts.heat_map(np.eye(2), ["a name that is far too long", "b"])
    assert "a name that i…" in texts(svg)


def test_the_figures_are_in_the_chart():
    said = texts(drawn("comparison"))
    assert {"90.5%", "92.5%", "+2.00"} <= set(said)
    assert {"cross-fit", "2 min 10 s", "0.50 s"} <= set(texts(drawn("seconds")))
    assert "8 expected" in texts(drawn("suspicion"))


def test_a_model_without_learning_curves_is_left_out():
    both = texts(drawn("learning"))
    alone = texts(charts.learning(HISTORY[HISTORY["model"] == "soft"], "accuracy", "accuracy, %"))
    assert {"given labels", "soft labels"} <= set(both)
    assert "given labels" not in alone and "soft labels" in alone
