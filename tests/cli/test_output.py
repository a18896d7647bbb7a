"""What commands print, and where they write when nobody says where."""

import json

import pytest

from softfold.cli.output import default_out, print_comparison, print_json, print_rate
from softfold.files import shell_word


@pytest.mark.parametrize(
    ("labels", "variant", "out"),
    [
        ("digits", None, "runs/digits"),
        ("digits", "5", "runs/digits-5"),
        ("imagewoof", "post", "runs/imagewoof-post"),
        ("labels.csv", None, "runs/labels"),
        ("deep/my.labels.csv", None, "runs/my.labels"),
        ("deep", None, "runs/deep"),
        (".", None, "runs/here"),
    ],
)
def test_a_run_is_named_after_its_labels(tmp_path, monkeypatch, labels, variant, out):
    here = tmp_path / "here"
    (here / "deep").mkdir(parents=True)
    for name in ("labels.csv", "deep/my.labels.csv"):
        (here / name).write_text("")
    monkeypatch.chdir(here)
    assert default_out(labels, variant) == out


def test_metrics_are_printed_as_json(capsys):
    metrics = {"noise": {"rate_estimate": 0.1}, "seeds": [1, 2]}
    print_json(metrics)
    assert json.loads(capsys.readouterr().out) == metrics


RATE = {"rate_estimate": 0.08, "rate_low": 0.04, "rate_high": 0.13}


def test_the_rate_comes_with_the_truth_where_it_is_known(capsys):
    print_rate({**RATE, "rate_truth": 0.1}, "runs/a")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "between 4.0% and 13.0% of labels are wrong (best guess 8.0%); in truth 10.0%"
    )
    assert lines[1].endswith("softfold audit runs/a") and len(lines) == 2


def test_a_finished_run_ends_with_where_to_look(capsys):
    metrics = {
        "noise": RATE,
        "data": {"n_valid": 1200},
        "accuracy_against": "given",
        "baseline": {"accuracy": [0.9, 0.91], "roc_auc": [0.99, 0.99]},
        "soft": {"accuracy": [0.92, 0.93], "roc_auc": [0.99, 0.99], "strategy": "posterior"},
        "difference": {"mean": 0.02, "low": 0.01, "high": 0.03, "p_value": 0.01},
        "seconds": {"total": 75.4},
    }
    print_comparison(metrics, "runs/my photos")
    lines = capsys.readouterr().out.splitlines()
    assert "on 1,200 hold-out items, against their given labels:" in lines
    assert lines[-2:] == [
        "took 75 s",
        f"look at runs/my photos/report.html; next: softfold review {shell_word('runs/my photos')}",
    ]
