"""The demo goes from noisy labels to a report, and may be run twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("fastai")
from softfold import demo


def test_the_demo_ends_with_a_report_and_replaces_an_earlier_one(tmp_path, monkeypatch):
    small = replace(demo.SETTINGS, seeds=1, epochs=1, folds=2)
    monkeypatch.setattr(demo, "SETTINGS", small)
    for _ in range(2):
        run = demo.run_demo(tmp_path / "demo", quiet=True)
    assert run.has("report.html") and run.has("model.safetensors")
    assert abs(run.metrics["noise"]["rate_truth"] - 0.3) < 1e-3
