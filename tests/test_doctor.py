"""The doctor: says what was chosen and what each choice buys, in lines that can be pasted."""

import subprocess

import pytest

from softfold import doctor
from softfold.machine import runtime
from softfold.machine.runtime import setup

torch = pytest.importorskip("torch")
pytest.importorskip("timm")


def test_each_choice_is_told_with_its_measured_worth(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    measured = dict(doctor.measure("resnet10t"))
    kinds = ("float32", "bfloat16") if setup().bfloat16 else ("float32",)
    rates = {f"{use}_{kind}" for use in ("gflops", "predict", "train") for kind in kinds}
    assert set(measured) == rates | {"copy_gb", "decoded"}
    assert all(value > 0 for value in measured.values())

    assert set(dict(doctor.measure("resnet10t", only=kinds[-1]))) == {f"predict_{kinds[-1]}"}

    asked = []
    monkeypatch.setattr(
        doctor, "_measure_apart", lambda *a, **env: (asked.append(env), measured)[1]
    )
    text = "\n".join(doctor.diagnose("cpu"))
    for word in ("machine", "chosen", "arithmetic", "precision", "threads", "cache"):
        assert f"\n{word} " in f"\n{text}"
    assert "ACTIVE" in [env.get("OMP_WAIT_POLICY") for env in asked]


def test_what_there_is_no_time_for_is_said_and_the_rest_comes_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))
    lines = list(doctor.diagnose("cpu", seconds=0))
    told = [line for line in lines if line[0] != " " and not line.startswith("advice")]
    assert [line.split()[0] for line in told] == ["cache", "machine", "chosen", "arithmetic"]
    assert "not measured: 0 s were not enough" in told[-1] and "--seconds" in told[-1]


def test_what_was_measured_before_the_time_was_over_is_given(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTFOLD_CACHE", str(tmp_path))

    def slow(call, timeout, **_):
        known = b'{"gflops_float32": 70.0}\n{"copy_gb": 4.5}\n{"deco'
        raise subprocess.TimeoutExpired(call, timeout, known)

    monkeypatch.setattr(doctor.subprocess, "run", slow)
    lines = {line.split()[0]: line for line in doctor.diagnose("cpu", seconds=15)}
    assert lines["arithmetic"].endswith("GFLOP/s: 70 in float32; memory 4.5 GB/s copied")
    assert "predicting not measured: 15 s were not enough" in lines["precision"]


def test_gpus_that_stand_idle_are_said(monkeypatch, tmp_path):
    chosen = runtime.Runtime("cuda:0", 4, 4, True, True, "default")
    cache = {"dir": tmp_path, "bytes": 0, "limit": 1}
    monkeypatch.setattr(doctor, "has_index", lambda: True)
    for count, said in ((1, []), (8, ["--workers 8"])):
        monkeypatch.setattr(doctor, "_gpus", lambda count=count: count)
        lines = list(doctor.advice(chosen, cache, {}, 0.0))
        assert len(lines) == len(said) and all(word in line for word, line in zip(said, lines))


def test_what_is_slow_is_said_with_what_to_do_about_it(monkeypatch, tmp_path):
    chosen = runtime.Runtime("cpu", 1, 2, True, False, "default")
    cache = {"dir": tmp_path / "not yet", "bytes": 0, "limit": 1}
    monkeypatch.setattr(doctor, "has_index", lambda: True)
    monkeypatch.setattr(runtime, "available_cores", lambda: 1)
    monkeypatch.setattr(runtime, "precision", lambda device: torch.float32)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)

    def said(load=0.5, **measured):
        return list(doctor.advice(chosen, cache, measured, load))

    assert said() == []
    (line,) = said(decoded=100.0, predict_float32=500.0)
    assert "waits for its images to be decoded, about 200 a second on 2 cores" in line
    (line,) = said(decoded=100.0, predict_float32=50.0)
    assert "10,000 images take about 200 s" in line and "--size" in line

    monkeypatch.setattr(doctor, "has_index", lambda: False)
    monkeypatch.setattr(runtime, "available_cores", lambda: 4)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(doctor, "_gpus", lambda: 0)
    cache["limit"] = 1e18
    words = ("wait for them", "OMP_NUM_THREADS", "torch sees no GPU", "SOFTFOLD_CACHE", "[index]")
    lines = said(load=7.0)
    assert len(lines) == 5 and all(word in line for word, line in zip(words, lines, strict=True))
