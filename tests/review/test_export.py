"""Exported tables: no cell runs as a formula, and what is read again is what the run had."""

import csv

import pandas as pd
import pytest

pytest.importorskip("pyarrow")
from example_runs import synthetic_run

from softfold.data.reading import read_table
from softfold.review import export_labels

VOCAB = ('=HYPERLINK("http://x")', "@cat", "-1", "01")


def test_no_cell_runs_as_a_formula_and_all_come_back(tmp_path):
    words = [f"=cmd|'/C calc'!A{i}" if i % 2 else f"word {i}" for i in range(60)]
    data = {"width": [float(-i) for i in range(60)], "note": words}
    run = synthetic_run(tmp_path / "run", 60, 4, data=data, vocab=VOCAB)
    out = export_labels(run, tmp_path / "corrected.csv")
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    starts = {cell[0] for row in rows for cell in row if cell and not _number(cell)}
    assert not starts & set("=+-@")
    table = read_table(out)
    given = pd.read_parquet(run / "items.parquet")["given"]
    assert [table.vocab[k] for k in table.given] == given.tolist()
    assert table.data["note"].tolist() == words and table.data["width"].tolist() == data["width"]


def _number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
