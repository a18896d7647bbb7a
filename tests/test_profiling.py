"""A profile tells the seconds of each step by function, and names no folder of the machine."""

import time

import pytest

from softfold.profiling import Profile
from softfold.progress import Progress


def slow(seconds):
    time.sleep(seconds)


def test_seconds_are_those_of_the_step_and_of_the_function():
    profile = Profile()
    progress = Progress(quiet=True, profile=profile)
    for _ in range(2):
        with progress.step("fit", "training"):
            slow(0.03)
    with progress.step("load", "reading"), progress.step("inner", "of it"):
        slow(0.02)
    slow(0.01)
    steps = {step["step"]: step for step in profile.close()["steps"]}
    assert list(steps) == ["rest", "fit", "load", "inner"]
    assert 0.06 <= steps["fit"]["seconds"] < steps["fit"]["processor_seconds"] + 5
    assert steps["load"]["seconds"] < 0.02 <= steps["inner"]["seconds"]
    found = {f["function"]: f for f in steps["fit"]["functions"]}
    assert found["built-in method time.sleep"]["own_seconds"] >= 0.05
    named = [f for f in found if f.endswith(" slow")]
    assert found[named[0]]["calls"] == 2 and found[named[0]]["seconds"] >= 0.05
    assert not any(name.startswith(("/", "\\")) or "home" in name for name in found)


def test_seconds_of_imports_are_those_of_the_step_that_needs_the_module(tmp_path, monkeypatch):
    (tmp_path / "slow_inner.py").write_text("import time; time.sleep(0.03)")
    (tmp_path / "slow_outer.py").write_text("import time, slow_inner; time.sleep(0.03)")
    monkeypatch.syspath_prepend(tmp_path)
    profile = Profile()
    with profile.step("fit"):
        import slow_outer  # noqa: F401
    steps = {step["step"]: step for step in profile.close()["steps"]}
    assert 0.06 <= steps["fit"]["import_seconds"] <= steps["fit"]["seconds"] + 0.001
    assert steps["rest"]["import_seconds"] < 0.03


def test_a_step_that_fails_leaves_nothing_running():
    profile = Profile()
    progress = Progress(quiet=True, profile=profile)
    with pytest.raises(ValueError), progress.step("fit", "training"):
        raise ValueError
    profile.close()
    again = Profile()  # two at a time are refused by Python
    again.close()
