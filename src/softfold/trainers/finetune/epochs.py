"""Finished epochs on disk, so that a training that was stopped goes on where it was.

After each epoch the network, the optimizer, all random states and the learning curve go to one
file. A fit with the same items, targets, settings and seed goes on from it, to the same weights
that it would have had without the stop.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastcore.foundation import L

from softfold.files import write_bytes
from softfold.stopping import stop_here
from softfold.trainers.checkpoints import checkpoint_folder

_DIGEST = 32
"""Bytes of the SHA-256 in front of the content."""


def kept_epochs(*made_from: Any) -> KeepEpochs | None:
    """What keeps the epochs of a fit that follows from `made_from`; None where none are kept."""
    folder = checkpoint_folder()
    if folder is None:
        return None
    digest = hashlib.sha256()
    for part in made_from:
        is_array = isinstance(part, np.ndarray)
        plain = json.dumps(None if is_array else part, sort_keys=True, default=str)
        digest.update(np.ascontiguousarray(part).data if is_array else plain.encode())
    return KeepEpochs(folder / f"{digest.hexdigest()[:32]}.epoch")


class KeepEpochs(Callback):
    """Writes each finished epoch to a file, and begins with what the file holds.

    Attributes:
        path: the file.
        start: the first epoch that is left to train; give it to `fit` as `start_epoch`.
    """

    order = 100  # after the Recorder has the epoch's row, after fastai's SkipToEpoch

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._kept = _read(path)
        self.start = 0 if self._kept is None else int(self._kept["epoch"]) + 1

    def before_fit(self) -> None:
        if self._kept is not None:
            self.learn.model.load_state_dict(self._kept["model"])
            optimizer = self._kept["optimizer"]
            self.learn.opt.load_state_dict(
                {"hypers": L(optimizer["hypers"]), "state": optimizer["state"]}
            )
            smooth = self.learn.recorder.smooth_loss
            smooth.count, smooth.val = (
                self._kept["smooth"][0],
                torch.tensor(self._kept["smooth"][1]),
            )

    def before_epoch(self) -> None:
        if self._kept is not None and self.epoch == self.start:
            self.learn.recorder.values[:] = [L(row) for row in self._kept["curve"]]
            _set_random(self._kept["random"], self.learn.dls.train)

    def after_epoch(self) -> None:
        if self.epoch < self.start or self.epoch + 1 == self.n_epoch:
            return
        optimizer, recorder = self.learn.opt.state_dict(), self.learn.recorder
        content = {
            "epoch": self.epoch,
            "model": self.learn.model.state_dict(),
            "optimizer": {
                "hypers": [_python(hyper) for hyper in optimizer["hypers"]],
                "state": [_python(state) for state in optimizer["state"]],
            },
            "smooth": [recorder.smooth_loss.count, float(recorder.smooth_loss.val)],
            "curve": [[None if v is None else float(v) for v in row] for row in recorder.values],
            "random": _random(self.learn.dls.train),
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        made = stream.getvalue()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path, hashlib.sha256(made).digest() + made)
        stop_here()

    def forget(self) -> None:
        """Delete the file: the fit is finished."""
        self.path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """What the file holds; None where there is none, or where it is damaged (a warning says so)."""
    if not path.exists():
        return None
    content = path.read_bytes()
    digest, made = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(made).digest() != digest:
        warnings.warn(f"{path}: damaged; the epochs are trained again", stacklevel=3)
        return None
    return torch.load(io.BytesIO(made), map_location="cpu", weights_only=True)


def _random(loader: Any) -> dict[str, Any]:
    """All random states that training goes on from."""
    name, keys, place, has_gauss, gauss = np.random.get_state()
    return {
        "python": _plain(random.getstate()),
        "loader": _plain(loader.rng.getstate()),
        "numpy": [name, [int(k) for k in keys], place, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random(kept: dict[str, Any], loader: Any) -> None:
    random.setstate(_state(kept["python"]))
    loader.rng.setstate(_state(kept["loader"]))
    name, keys, *rest = kept["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(kept["torch"])
    if kept["cuda"] and len(kept["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(kept["cuda"])


def _python(values: dict[str, Any]) -> dict[str, Any]:
    """With Python's numbers instead of NumPy's, which torch does not load unasked."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}


def _plain(state: tuple[Any, ...]) -> list[Any]:
    version, internal, gauss = state
    return [version, list(internal), gauss]


def _state(plain: list[Any]) -> tuple[Any, ...]:
    version, internal, gauss = plain
    return version, tuple(internal), gauss
