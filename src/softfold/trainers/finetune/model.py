"""What fine-tuning leaves: models that predict, their learning curves, their files."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.align import match_columns, take_part
from softfold.data.table import LabelTable
from softfold.errors import InputError, require
from softfold.files import told_if_damaged
from softfold.pixels.images import Images
from softfold.tensors import check_tensors, write_torch_tensors
from softfold.trainers.protocol import BaseModel

SMALL_CNN = "small_cnn"
"""The net that is trained from scratch."""

SMALL_CNN_SCALE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Scale = tuple[Sequence[float], Sequence[float]]


class ImageModel(BaseModel):
    """A fine-tuned network for images.

    Attributes:
        net: float (n, 3, size, size) to logits (n, K).
        arch: the backbone's name. scale: mean and std of its input, for pixels in 0..1.
        vocab: the K class names. size: side of the images it looks at.
        history: epoch, train_loss, valid_loss, accuracy, roc_auc; one row an epoch, the first
            the head alone where the network is pretrained.
    """

    sees_views = True

    def __init__(
        self,
        net: Any,
        arch: str,
        vocab: Sequence[str],
        size: int,
        scale: Scale,
        history: pd.DataFrame | None = None,
        device: str | None = None,
    ) -> None:
        self.net, self.arch, self.vocab, self.size = net, arch, tuple(vocab), size
        self.scale, self.history, self.device = scale, history, device

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), columns in the order of `vocab`."""
        import torch

        from softfold.machine.runtime import one_late, precision, setup, to_device
        from softfold.pixels.decoding import decoded

        if not isinstance(table.data, Images):
            raise InputError(f"{table.name}: this model predicts images, not {table.kind} items")
        device = setup(self.device).device
        net = self.net.to(device, memory_format=torch.channels_last).eval()
        # on a GPU in what it was trained in: nothing here would see float16 overflow
        trained_in, net.dtype = net.dtype, precision(device, training=device != "cpu")
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in self.scale)
        pixels = decoded(table.data, self.size)
        out = np.empty((len(table), len(self.vocab)), np.float32)
        step = 64 if device == "cpu" else 256
        with threads_for(self.arch), torch.inference_mode():

            def outputs() -> Iterator[tuple[Any, int]]:
                for start in range(0, len(out), step):
                    rows = np.arange(start, min(start + step, len(out)))
                    batch = to_device(pixels[rows], device).permute(0, 3, 1, 2)
                    yield net((batch.float() - mean) / std).softmax(1), len(rows)

            done = 0
            for part in one_late(outputs(), device):
                out[done : done + len(part)] = part
                done += len(part)
        net.dtype = trained_in
        self.net = net.to("cpu")
        return out

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: the network's tensors, and in its header all else."""
        meta = {
            "trainer": "finetune",
            "arch": self.arch,
            "vocab": list(self.vocab),
            "size": self.size,
            "mean": list(self.scale[0]),
            "std": list(self.scale[1]),
        }
        write_torch_tensors(path, self.net.state_dict(), {"softfold": json.dumps(meta)})


class LearnerModel(BaseModel):
    """The model of a Learner that the user built.

    Attributes:
        learn: the trained Learner, as fastai left it.
        vocab: the K class names of the label table.
        history: epoch, train_loss, valid_loss and the Learner's metrics.
    """

    def __init__(self, learn: Any, vocab: Sequence[str], history: pd.DataFrame) -> None:
        from softfold.fastai.callback import class_names

        self.learn, self.vocab, self.history = learn, tuple(vocab), history
        own = class_names(learn.dls)
        self._columns = match_columns(own, self.vocab, "Learner's DataLoaders")

    def predict(self, table: LabelTable) -> np.ndarray:
        """Probabilities float32 (n, K), columns in the order of `vocab`."""
        from torch.nn import Softmax

        frame, items = frame_of(table, valid=True), self.learn.dls.train_ds.items
        if not isinstance(items, pd.DataFrame):
            kind = type(items[0])
            frame = [kind(p) for p in frame["path" if "path" in frame else "item"]]
        with self.learn.no_bar(), self.learn.no_logging():
            # a loss without an activation, such as torch's own, would leave logits
            act = None if hasattr(self.learn.loss_func, "activation") else Softmax(dim=-1)
            loader = self.learn.dls.test_dl(frame)
            probabilities = self.learn.get_preds(dl=loader, act=act)[0]
        return take_part(probabilities.float().cpu().numpy(), None, self._columns)

    def save(self, path: str | Path) -> None:
        """Write the network's tensors as safetensors; `learn.export` writes the whole Learner."""
        meta = {"trainer": "finetune", "arch": None, "vocab": list(self.vocab)}
        write_torch_tensors(path, self.learn.model.state_dict(), {"softfold": json.dumps(meta)})


def load(path: str | Path) -> ImageModel:
    """Read what `ImageModel.save` wrote.

    Raises:
        InputError: no such file, another kind of model, or one whose Learner the user built.
    """
    safetensors = require("safetensors", extra="cli")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such model file")
    check_tensors(path)
    with told_if_damaged(path), safetensors.safe_open(str(path), framework="pt") as file:
        about = json.loads((file.metadata() or {}).get("softfold", "{}"))
        if about.get("trainer") != "finetune":
            raise InputError(f"{path}: not the file of a fine-tuned model")
        if about["arch"] is None:
            raise InputError(
                f"{path}: the network came from a Learner of your own: build that Learner and "
                "load these tensors into its model"
            )
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    net = build_network(about["arch"], len(about["vocab"]), about["size"])
    net.load_state_dict(tensors)
    scale = (about["mean"], about["std"])
    return ImageModel(net.eval(), about["arch"], about["vocab"], about["size"], scale)


def build_network(arch: str, n_classes: int, size: int) -> Any:
    """The network of that name with random weights."""
    from torch import nn

    from softfold.trainers.finetune.nets import BodyAndHead, small_cnn
    from softfold.vision.backbones import create_backbone

    if arch == SMALL_CNN:
        return BodyAndHead(small_cnn(), nn.Linear(256, n_classes))
    backbone = create_backbone(arch, pretrained=False, size=size)
    return BodyAndHead(backbone.body, nn.Linear(backbone.n_features, n_classes))


def frame_of(table: LabelTable, *, valid: bool) -> pd.DataFrame:
    """Items as a DataBlock reads them: item, label, is_valid; path of images, columns of tables."""
    frame = pd.DataFrame({"item": table.item, "label": np.asarray(table.vocab)[table.given]})
    frame["is_valid"] = valid
    if isinstance(table.data, Images):
        paths = [table.data.path(i) for i in range(len(table))]
        if None in paths:
            raise InputError(
                f"{table.name}: a DataBlock of your own reads image files, and these images came "
                "as bytes"
            )
        frame["path"] = [str(p) for p in paths]
    elif isinstance(table.data, pd.DataFrame):
        data = table.data.reset_index(drop=True)
        frame = frame.join(data.rename(columns={c: f"{c}_data" for c in data if c in frame}))
    elif isinstance(table.data, np.ndarray):
        columns = [f"feature_{j}" for j in range(table.data.shape[1])]
        frame = frame.join(pd.DataFrame(table.data, columns=columns))
    return frame


def known_labels(holdout: LabelTable) -> np.ndarray:
    """(M,) labels for the learning curve: the truth where all of it is known, else the given."""
    truth = holdout.truth
    return truth if truth is not None and (truth >= 0).all() else holdout.given


def curve_of(learn: Any, start: int = 0) -> pd.DataFrame:
    """The learning curve of a Learner's last fit, one row an epoch."""
    names = ["roc_auc" if n == "roc_auc_score" else n for n in learn.recorder.metric_names[1:]]
    names = [n for n in names if n != "time"]
    values = [[np.nan if v is None else float(v) for v in row] for row in learn.recorder.values]
    curve = pd.DataFrame(values, columns=names, dtype=float)
    curve.insert(0, "epoch", np.arange(start, start + len(curve)))
    return curve


def validated(learn: Any) -> pd.DataFrame:
    """The first row of a learning curve: the network before any training step."""
    row: dict[str, Any] = {"epoch": [0], "train_loss": np.nan}
    names = ("valid_loss", "accuracy", "roc_auc")
    record = learn.validate() if len(learn.dls.valid.dataset) else [np.nan] * len(names)
    return pd.DataFrame(row | dict(zip(names, map(float, record))))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of Python, NumPy and torch from `seed`; afterwards as they were."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def threads_for(arch: str) -> Iterator[None]:
    """One thread for the small net: a second one costs more in waiting than it computes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if arch == SMALL_CNN else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
