"""Loaders, and processes without softfold, for the tests of fastai."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastai.torch_core import defaults


@pytest.fixture(scope="module", autouse=True)
def loaders_start_no_workers() -> Iterator[None]:
    """Loaders have worker processes where a test asks for them: each costs a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "cpus", 0)
        yield


LOAD_WITHOUT = """
import json, sys, traceback, warnings
sys.modules["softfold"] = None
warnings.simplefilter("ignore")
import pandas
from fastai.learner import load_learner
import fastai.vision.all, fastai.text.all, fastai.tabular.all

def predicted(model, frame):
    learn = load_learner(model)
    frame = pandas.DataFrame(**frame)
    with learn.no_bar():
        p, _ = learn.get_preds(dl=learn.dls.test_dl(frame))
        first = str(learn.predict(frame.iloc[0])[0]) if "path" in frame else None
    return {"first": first, "classes": p.argmax(1).tolist()}

answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    try:
        answer = predicted(**json.loads(line))
    except Exception:
        answer = {"error": traceback.format_exc()[-2000:]}
    print(json.dumps(answer), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def predicted_without_softfold() -> Iterator[Callable[[Any, Any], dict[str, Any]]]:
    """What a Learner's file predicts of a frame in a process where softfold cannot be imported.

    Gives the `classes` (codes) of the rows, and of images the `first` class by `predict`.
    """
    with subprocess.Popen(
        [sys.executable, "-c", LOAD_WITHOUT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def ask(model, frame):
            asked = {"model": str(model), "frame": json.loads(frame.to_json(orient="split"))}
            print(json.dumps(asked), file=process.stdin, flush=True)
            answer = json.loads(process.stdout.readline())
            assert "error" not in answer, answer["error"]
            return answer

        yield ask
        process.kill()
