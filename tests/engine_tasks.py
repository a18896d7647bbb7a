"""Work that processes of an engine can import, and what shows that they are at it or gone."""

import os
import time
from pathlib import Path

import numpy as np

from softfold.crossfit.engines import Task


def sleep(shared, folder, name, seconds, others=None):
    """Leave the number of this process in a file, and the GPUs that it sees; sleep, or wake when so
    many others have begun; the name.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    Path(folder, name).write_text(f"{os.getpid()} {visible}")
    until = time.monotonic() + seconds
    while time.monotonic() < until and len(list(Path(folder).iterdir())) != others:
        time.sleep(0.02)
    return name


def spoil(shared):
    """What is behind an array that tasks share, and its sum with 1 added to each number."""
    (array,) = shared
    root = array
    while isinstance(root, np.ndarray):
        root = root.base
    array += 1
    return type(getattr(root, "obj", root)).__name__, float(array.sum(dtype=float))


def fail(shared, error):
    raise error


def fail_oddly(shared):
    raise Two("the first", "word")


def sleepers(folder, *seconds, others=None):
    own = [
        {"folder": str(folder), "name": f"{i}", "seconds": s, "others": others}
        for i, s in enumerate(seconds)
    ]
    return [Task(each["name"], sleep, each) for each in own]


def begun(folder, count):
    """The processes of `count` sleepers, as soon as so many sleep: {pid: GPUs that it sees}."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        said = [file.read_text().split(" ", 1) for file in Path(folder).iterdir()]
        if len(said) >= count and all(len(words) == 2 for words in said):
            return {int(pid): visible for pid, visible in said}
        time.sleep(0.05)
    raise AssertionError("nothing began")


def gone(pids):
    """Whether all of these processes are gone within a few seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not any(_lives(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _lives(pid):
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Two(Exception):
    """An error that pickle cannot make again: it asks for two things, and keeps one."""

    def __init__(self, one, two):
        super().__init__(one)


class Unreadable:
    """What can be pickled and not read again."""

    def __reduce__(self):
        return getattr, (Path, "no such thing")
