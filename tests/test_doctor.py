"""The doctor: says what was chosen and what each choice buys, in lines that can be pasted."""

import pytest

from softfold import doctor
from softfold.machine.runtime import setup

pytest.importorskip("torch")
pytest.importorskip("timm")


def test_each_choice_is_told_with_its_measured_worth(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    measured = doctor.measure("resnet10t")
    kinds = ("float32", "bfloat16") if setup().bfloat16 else ("float32",)
    rates = {f"{use}_{kind}" for use in ("gflops", "predict", "train") for kind in kinds}
    assert set(measured) == rates | {"copy_gb", "decoded"}
    assert all(value > 0 for value in measured.values())

    asked = []
    monkeypatch.setattr(
        doctor, "_measure_apart", lambda *a, **env: (asked.append(env), measured)[1]
    )
    text = doctor.diagnose("cpu")
    for word in ("machine", "chosen", "arithmetic", "precision", "threads", "cache"):
        assert f"\n{word} " in f"\n{text}"
    assert {"OMP_WAIT_POLICY": "ACTIVE"} in asked
