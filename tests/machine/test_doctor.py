"""The doctor: says what was chosen and what each choice buys, in lines that can be pasted."""

import pytest

from softfold.machine import doctor

pytest.importorskip("torch")
pytest.importorskip("timm")


def test_each_choice_is_told_with_its_measured_worth(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    measured = doctor.measure("resnet10t")
    assert set(measured) == {
        *("gflops_float32", "gflops_bfloat16", "copy_gb", "decoded"),
        *("predict_float32", "predict_bfloat16", "train_float32", "train_bfloat16"),
    }
    assert all(value > 0 for value in measured.values())

    asked = []
    monkeypatch.setattr(
        doctor, "_measure_apart", lambda *a, **env: (asked.append(env), measured)[1]
    )
    text = doctor.diagnose("cpu")
    for word in ("machine", "chosen", "arithmetic", "precision", "threads", "cache"):
        assert f"\n{word} " in f"\n{text}"
    assert {"OMP_WAIT_POLICY": "ACTIVE"} in asked
