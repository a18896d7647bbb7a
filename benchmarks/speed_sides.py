"""Both sides of each row of speed.py. Every function runs in a process of its own."""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

EPOCHS = 2


def imagewoof(data: Path, n_train: int, n_valid: int, noise: str = "5") -> Any:
    """A part of Imagewoof with its noisy labels: the first of each class in a fixed order."""
    from softfold import read_table

    frame = pd.read_csv(data / "noisy_imagewoof.csv")
    kept = []
    for valid, n in ((False, n_train), (True, n_valid)):
        part = frame[frame.is_valid == valid].sample(frac=1, random_state=0)
        kept.append(part.groupby("noisy_labels_0").head(n // 10))
    column = f"noisy_labels_{noise}"
    table = pd.concat(kept)[["path", column, "noisy_labels_0", "is_valid"]]
    return read_table(
        table.reset_index(drop=True),
        images=data,
        path="path",
        label=column,
        truth="noisy_labels_0",
        valid="is_valid",
    )


def halves(table: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The post's two stratified folds; the second one is what its soft model trains without."""
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(2, shuffle=True, random_state=seed + 1)
    (_, first), (_, second) = folds.split(table.item, table.given)
    return first, second


def truth_accuracy(probabilities: np.ndarray, table: Any) -> float:
    return float((probabilities.argmax(1) == table.truth).mean())


def cpu_seconds() -> float:
    """Processor seconds of this process and of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


# (a) the whole job ---------------------------------------------------------------------------


def job_softfold(
    data: Path, seed: int, n: int, size: int, finetune_folds: bool = False
) -> dict[str, Any]:
    """Out-of-fold predictions, soft labels, fine-tuning on them with the post's half."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SOFTFOLD_CACHE"] = cache  # nothing is there from before
        table = imagewoof(data, n, n)
        started = time.perf_counter()
        from softfold import cross_fit, soften
        from softfold.machine.runtime import setup
        from softfold.trainers import create_trainer

        setup()
        train = table.train
        tuned = create_trainer("finetune", size=size, epochs=EPOCHS)
        probe = create_trainer("probe", size=size)
        if finetune_folds:
            oof = cross_fit(train, tuned, n_folds=2, seed=seed)
        else:
            oof = cross_fit(train, probe, n_folds=5, seed=seed)
        marks = {"crossfit": time.perf_counter() - started}
        soft = soften(train, oof, "blend", hard=True)
        rows = halves(train, seed)[0]
        begun = time.perf_counter()
        model = tuned.fit(train.take(rows), soft.targets[rows], seed=seed)
        marks["finetune"] = time.perf_counter() - begun
        marks["seconds"], marks["cpu"] = time.perf_counter() - started, cpu_seconds()
        begun = time.perf_counter()
        head = create_trainer("probe", size=size)
        head.fit(train, soft.targets, seed=seed)
        marks["probe_final"] = time.perf_counter() - begun
        holdout = table.holdout
        return marks | {"accuracy": truth_accuracy(model.predict(holdout), holdout)}


def job_post(data: Path, seed: int, n: int, size: int) -> dict[str, Any]:
    """The post, plainly: two folds, a Learner each, a third one with its callback."""
    table = imagewoof(data, n, n)
    started = time.perf_counter()
    from fastai.vision.all import (
        CategoryBlock,
        ColReader,
        DataBlock,
        FlipItem,
        ImageBlock,
        IndexSplitter,
        Normalize,
        RandomResizedCrop,
        set_seed,
    )

    train = table.train
    frame = pd.DataFrame(
        {"path": [str(train.data.path(i)) for i in range(len(train))], "label": train.given}
    )

    def loaders(valid: np.ndarray) -> Any:
        block = DataBlock(
            blocks=(ImageBlock, CategoryBlock(vocab=list(range(10)))),
            get_x=ColReader("path"),
            get_y=ColReader("label"),
            splitter=IndexSplitter(valid),
            item_tfms=[RandomResizedCrop(size, min_scale=0.35), FlipItem(0.5)],
            batch_tfms=[Normalize.from_stats([0.5] * 3, [0.5] * 3)],
        )
        return block.dataloaders(frame, bs=16)

    set_seed(seed)
    found = np.zeros(len(train), np.int64)
    for valid in halves(train, seed):
        learn = _post_learner(loaders(valid))
        learn.fine_tune(EPOCHS)
        predicted = learn.get_preds(ds_idx=1)[0]
        found[learn.dls.valid.items.index] = predicted.argmax(1).numpy()
    marks = {"crossfit": time.perf_counter() - started}
    both = pd.DataFrame({"y_true": train.given, "y_pred": found}, index=frame.path)
    both = both.astype(pd.CategoricalDtype(range(10)))  # a class that was never predicted, too
    both = pd.get_dummies(both, columns=["y_true", "y_pred"], dtype=float)
    learn = _post_learner(learn.dls, both)
    begun = time.perf_counter()
    learn.fine_tune(EPOCHS)
    marks["finetune"] = time.perf_counter() - begun
    marks["seconds"], marks["cpu"] = time.perf_counter() - started, cpu_seconds()
    holdout = table.holdout
    paths = [holdout.data.path(i) for i in range(len(holdout))]
    learn.remove_cbs([cb for cb in learn.cbs if type(cb).__name__ == "SoftLabelCB"])
    dl = learn.dls.test_dl(pd.DataFrame({"path": paths}))
    predicted = learn.get_preds(dl=dl)[0].numpy()
    return marks | {"accuracy": truth_accuracy(predicted, holdout)}


def _post_learner(dls: Any, soft: pd.DataFrame | None = None) -> Any:
    """fastai's vision_learner on the bundled EfficientNet-Lite0, its head and its BatchNorm."""
    from fastai.vision.all import Learner, accuracy, add_head, default_split
    from torch import nn

    from softfold.vision.backbones import create_backbone

    net = create_backbone().body
    body = nn.Sequential(net.conv_stem, net.bn1, net.blocks, net.conv_head, net.bn2)
    model = add_head(body, 1280, 10)
    kwargs = {"metrics": accuracy}
    if soft is not None:
        kwargs = {"loss_func": one_hot_loss, "cbs": post_callback(soft)}
    learn = Learner(dls, model, splitter=default_split, **kwargs)
    learn.freeze()
    return learn


def one_hot_loss(predictions: Any, labels: Any) -> Any:
    return (-labels * predictions.log_softmax(-1)).sum(-1).mean()


def post_callback(frame: pd.DataFrame) -> Any:
    """The post's SoftLabelCB, without its move to a GPU."""
    from fastai.vision.all import Callback, L, tensor

    class SoftLabelCB(Callback):
        def before_train(self) -> None:
            self.imgs_list = L(o for o in self.dl.items.iloc[:, 0].values)

        before_validate = before_train

        def before_batch(self) -> None:
            if not hasattr(self.dl, "_DataLoader__idxs"):
                return
            start = self.iter * self.dl.bs
            imgs = self.imgs_list[self.dl._DataLoader__idxs[start : start + self.dl.bs]]
            self.learn.yb = (tensor(post_lookup(frame, list(imgs), self.training)).float(),)

    return SoftLabelCB()


def post_lookup(frame: pd.DataFrame, imgs: list[str], training: bool = True) -> np.ndarray:
    """What the post's callback does in every batch."""
    soft = frame.loc[imgs, frame.columns.str.startswith("y_true")].values
    if training:
        guessed = frame.loc[imgs, frame.columns.str.startswith("y_pred")].values
        soft = soft * 0.7 + guessed * 0.3
    return soft


# (b) cross-fit against one training -----------------------------------------------------------


def crossfit_and_training(data: Path, size: int, probe_size: int, n_timed: int) -> dict[str, Any]:
    """Out-of-fold predictions of all 9,025 items, five folds; one epoch of the fine-tuning."""
    from softfold import cross_fit
    from softfold.arrays import one_hot
    from softfold.trainers import create_trainer

    train = imagewoof(data, 100_000, 10).train
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SOFTFOLD_CACHE"] = cache
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            cross_fit(train, create_trainer("probe", size=probe_size), n_folds=5, seed=0)
            seconds.append(time.perf_counter() - started)
        part = train.take(np.arange(n_timed))
        targets = one_hot(part.given, 10)
        fits = []
        for epochs in (0, 1):
            tuned = create_trainer("finetune", size=size, epochs=epochs)
            if epochs == 0:
                tuned.fit(part, targets, seed=0)  # decodes and computes features, once for all
            started = time.perf_counter()
            tuned.fit(part, targets, seed=0)
            fits.append(time.perf_counter() - started)
    epoch = (fits[1] - fits[0]) * len(train) / n_timed
    return {"first": seconds[0], "second": seconds[1], "epoch": epoch, "eleven": 11 * epoch}


# (c) the callback -----------------------------------------------------------------------------


def delivery_step(rounds: int = 7) -> dict[str, list[float]]:
    """Seconds a batch of 16: a resnet18 step at 128 px, and what the callback adds to it.

    What it adds is far below the spread of a step, so it is timed apart: a loader that gives
    almost nothing, with and without soft targets, and the loss with and without.
    """
    import torch
    from fastai.data.core import DataLoaders, TfmdDL
    from fastai.vision.all import CrossEntropyLossFlat, Learner, TensorCategory, TensorImage
    from torchvision.models import resnet18

    from softfold import SoftLabels
    from softfold.fastai import SoftLabelCallback

    n, k, bs = 1600, 10, 16
    pixel = torch.zeros(1)

    class Items:
        n_inp = 1

        def __init__(self) -> None:
            self.items = [f"item{i}" for i in range(n)]
            self.vocab = [str(c) for c in range(k)]

        def __len__(self) -> int:
            return n

        def __getitem__(self, i: int) -> tuple:
            return TensorImage(pixel), TensorCategory(i % k)

    class Score(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(bs, k))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight[: len(x)] * 1

    data = Items()
    dls = DataLoaders(TfmdDL(data, bs=bs, num_workers=0), TfmdDL(data, bs=bs, num_workers=0))
    dls.vocab = data.vocab
    targets = np.eye(k, dtype=np.float32)[np.arange(n) % k]
    soft = SoftLabels(np.array(data.items, object), targets, tuple(data.vocab), "given", {})
    learn = Learner(dls, Score(), loss_func=CrossEntropyLossFlat())
    out: dict[str, list[float]] = {"step": [], "with": [], "without": []}
    with learn.no_bar(), learn.no_logging():
        for kind in ("with", "without") * (rounds + 1):
            callbacks = [SoftLabelCallback(soft)] if kind == "with" else []
            with learn.added_cbs([*callbacks, train_only()]):
                started = time.perf_counter()
                learn.fit(1, 0.0)
                out[kind].append((time.perf_counter() - started) / (n // bs))
    net, batch = resnet18(num_classes=k), torch.randn(bs, 3, 128, 128)
    optimizer, given = torch.optim.Adam(net.parameters()), torch.arange(bs) % k
    for _ in range(rounds + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(batch), given).backward()
        optimizer.step()
        out["step"].append(time.perf_counter() - started)
    return {key: values[1:] for key, values in out.items()}


def train_only() -> Any:
    """A callback that leaves validation out."""
    from fastai.callback.core import Callback, CancelValidException

    class NoValidation(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

    return NoValidation()


def delivery_large(n: int = 1_281_167, k: int = 1000, batch: int = 64, rounds: int = 30) -> dict:
    """What a batch's soft targets cost at ImageNet's size: a gather, and the post's search."""
    from fastai.vision.all import L, tensor

    from softfold.fastai.delivery import SoftDataset

    class Labels:
        n_inp = 1

        def __len__(self) -> int:
            return n

        def batch(self, rows: np.ndarray) -> tuple:
            return (rows, None)

        def __getitem__(self, i: int) -> tuple:
            return (i, None)

    rng = np.random.default_rng(0)
    targets = np.full((n, k), 0.5, np.float32)  # in memory: zeros would be one page
    dataset = SoftDataset(Labels(), targets, rng.permutation(n), 1)
    ours, single = [], []
    for _ in range(rounds):
        rows = rng.integers(0, n, batch)
        started = time.perf_counter()
        dataset.batch(rows)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        [dataset[i] for i in rows]
        single.append(time.perf_counter() - started)
    paths = [f"train/n{i % k:08d}/n{i % k:08d}_{i}.JPEG" for i in range(n)]
    columns = [f"y_true_{c}" for c in range(k)] + [f"y_pred_{c}" for c in range(k)]
    # bool columns, as pd.get_dummies makes them: 2.6 GB
    frame = pd.DataFrame(np.ones((n, 2 * k), bool), index=paths, columns=columns)
    theirs = []
    post_lookup(frame, paths[:batch])  # builds the index's hash table
    imgs_list = L(paths)
    for _ in range(rounds):
        idxs = rng.integers(0, n, batch).tolist()
        started = time.perf_counter()
        tensor(post_lookup(frame, list(imgs_list[idxs]))).float()
        theirs.append(time.perf_counter() - started)
    return {"batch": ours, "items": single, "post": theirs}


# (d), (g) analysis ----------------------------------------------------------------------------


def made_up(n: int, k: int, folder: Path, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Path]:
    """Labels with 10% wrong, and probabilities float32 (n, k) in a file, made once."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    given = np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)
    file = folder / f"p{n}x{k}.npy"
    if not file.is_file():
        out = np.lib.format.open_memmap(file, "w+", np.float32, (n, k))
        for start in range(0, n, 10_000):
            rows = slice(start, min(start + 10_000, n))
            here = np.arange(rows.stop - rows.start)
            block = rng.standard_exponential((len(here), k), np.float32)
            # a model that is right in 85 of 100, with a confidence that varies
            seen = np.where(
                rng.random(len(here)) < 0.85, truth[rows], rng.integers(0, k, len(here))
            )
            block[here, seen] += k * rng.exponential(2.0, len(here)).astype(np.float32)
            out[rows] = block / block.sum(1, keepdims=True)
        out.flush()
        del out
    return truth, given, file


class OwnMemory:
    """The most memory of its own (not of mapped files) that a block of code takes, in MB."""

    def __enter__(self) -> OwnMemory:
        self.start = self.peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self.above_mb = (self.peak - self.start) / 1e3

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0])


def ranking(side: str, n: int, k: int, folder: Path, out: Path, mapped: bool) -> dict[str, Any]:
    """One ranking of suspicious labels; writes the rows in order to `out`."""
    truth, given, file = made_up(n, k, folder)
    np.save(folder / f"wrong{n}x{k}.npy", truth != given)
    probabilities = np.load(file, mmap_mode="r" if mapped else None)
    if side == "softfold":
        from softfold import rank_issues

        def rank() -> np.ndarray:
            return rank_issues(given, probabilities)["index"].to_numpy()
    elif side == "cleanlab":
        from cleanlab.filter import find_label_issues

        def rank() -> np.ndarray:
            ranked = "self_confidence"
            return find_label_issues(given, probabilities, return_indices_ranked_by=ranked)
    else:
        from cleanlab.experimental.label_issues_batched import find_label_issues_batched

        def rank() -> np.ndarray:
            return find_label_issues_batched(given, probabilities, verbose=False)

    with OwnMemory() as memory:
        started = time.perf_counter()
        rows = rank()
        seconds = time.perf_counter() - started
    np.save(out, rows)
    return {"seconds": seconds, "above_mb": memory.above_mb}


def analysis(n: int, k: int, folder: Path) -> dict[str, float]:
    """Seconds of each step of the analysis."""
    from softfold import estimate_noise, rank_issues, soften

    _, given, file = made_up(n, k, folder)
    p = np.load(file, mmap_mode="r")
    marks, started = {}, time.perf_counter()
    noise = estimate_noise(given, p)
    marks["estimate_noise"] = time.perf_counter() - started
    started = time.perf_counter()
    rank_issues(given, p, noise=noise)
    marks["rank_issues"] = time.perf_counter() - started
    started = time.perf_counter()
    soften(given, p, "posterior", noise=noise)
    marks["soften"] = time.perf_counter() - started
    return marks


# (e) loaders ----------------------------------------------------------------------------------


def loader_softfold(data: Path, n: int, size: int) -> dict[str, float]:
    """Images a second of the training loader, first epoch (decoding) and second."""
    import torch

    from softfold.machine.runtime import setup
    from softfold.pixels.decoding import decoded
    from softfold.trainers.finetune.images import BatchDL, ImageRows, RandomCrop, ToFloat

    setup()
    table = imagewoof(data, n, 10).train
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SOFTFOLD_CACHE"] = cache
        rates = {}
        for kind in ("cold", "warm"):
            started = time.perf_counter()
            rows = ImageRows(decoded(table.data, size), table.given, table.item, table.vocab)
            tfms = [ToFloat([0.5] * 3, [0.5] * 3), RandomCrop(size)]
            device = torch.device("cpu")
            dl = BatchDL(rows, bs=32, shuffle=True, after_batch=tfms, device=device)
            n_seen = sum(len(batch[0]) for batch in dl)
            rates[kind] = n_seen / (time.perf_counter() - started)
    return rates


def loader_fastai(data: Path, n: int, size: int) -> dict[str, float]:
    """fastai's loader with the post's transforms."""
    from fastai.vision.all import FlipItem, ImageDataLoaders, Normalize, RandomResizedCrop

    table = imagewoof(data, n, 10).train
    paths = [table.data.path(i) for i in range(len(table))]
    dls = ImageDataLoaders.from_lists(
        data,
        paths,
        table.given.tolist(),
        valid_pct=0.01,
        bs=32,
        item_tfms=[RandomResizedCrop(size, min_scale=0.35), FlipItem(0.5)],
        batch_tfms=[Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    rates = {}
    for kind in ("cold", "warm"):
        started = time.perf_counter()
        n_seen = sum(len(batch[0]) for batch in dls.train)
        rates[kind] = n_seen / (time.perf_counter() - started)
    return rates


# (h) the main job ------------------------------------------------------------------------------


def job_main(data: Path, n: int, folder: str) -> dict[str, Any]:
    """`softfold run` with probes; the first call in a folder finds an empty cache."""
    os.environ["SOFTFOLD_CACHE"] = f"{folder}/cache"
    table = imagewoof(data, n, n // 2, "25")
    started = time.perf_counter()
    import softfold

    with tempfile.TemporaryDirectory(dir=folder) as out:
        run = softfold.run(
            table, f"{out}/run", trainer="probe", seeds=3, size=224, quiet=True, device="cpu"
        )
        steps = run.metrics["seconds"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu": cpu_seconds(), "peak_mb": peak, "steps": steps}


def bare_forward(data: Path, n: int) -> dict[str, Any]:
    """The same network over as many images as the job has, from arrays: nothing else."""
    import torch

    from softfold.machine.runtime import autocast, precision, setup
    from softfold.vision.backbones import create_backbone
    from softfold.vision.inference import prepare

    setup("cpu")
    net = prepare(create_backbone().body, 224, precision("cpu"))
    batch = torch.randn(16, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(net.dtype, "cpu"):
        net.module(batch)
        started, before = time.perf_counter(), cpu_seconds()
        for _ in range(0, n + n // 2, 16):
            net.module(batch)
        seconds, cpu = time.perf_counter() - started, cpu_seconds() - before
    return {"seconds": seconds, "cpu": cpu, "how": net.how, "dtype": str(precision("cpu"))}


# (i) fused layers --------------------------------------------------------------------------------


def forward_fused(batches: int) -> dict[str, Any]:
    """Processor seconds an image of both networks, in turn."""
    import torch

    from softfold.machine.runtime import autocast, precision, setup
    from softfold.vision.backbones import create_backbone, with_stages
    from softfold.vision.inference import prepare

    setup("cpu", threads=1)
    dtype, body = precision("cpu"), with_stages(create_backbone())
    nets = {"fused": prepare(body, 224, dtype)}
    os.environ["SOFTFOLD_FUSED"] = "0"
    nets["folded"] = prepare(body, 224, dtype)
    batch = torch.randn(16, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    batch = batch.contiguous(memory_format=torch.channels_last)
    took: dict[str, list[float]] = {name: [] for name in nets}
    out = {}
    with torch.inference_mode():
        for i in range(batches + 1):
            for name, net in nets.items():
                before = time.process_time()
                with autocast(net.dtype, "cpu"):
                    out[name] = net.module(batch).float()
                if i:
                    took[name].append((time.process_time() - before) / 16)
    apart = (out["fused"] - out["folded"]).abs().max() / out["folded"].abs().max()
    return {**took, "apart": float(apart), "dtype": f"{dtype}, {nets['fused'].how}"}


# (j) decoding ------------------------------------------------------------------------------------


def decode_rates(data: Path, n: int) -> dict[str, Any]:
    """Images a second: ours at two sizes, and the library alone, in turns."""
    import io

    from PIL import Image

    from softfold.pixels.decoding import decode

    table = imagewoof(data, n, 10)
    encoded = [Path(table.data.path(i)).read_bytes() for i in range(n)]
    found: dict[str, list[float]] = {"160": [], "224": [], "alone": []}
    work = {
        "160": lambda image: decode(image, 160),
        "224": lambda image: decode(image, 224),
        "alone": lambda image: np.asarray(Image.open(io.BytesIO(image)).convert("RGB")),
    }
    for _ in range(3):
        for name, one in work.items():
            before = time.process_time()
            for image in encoded:
                one(image)
            found[name].append(len(encoded) / (time.process_time() - before))
    return found


# (k) the solver ----------------------------------------------------------------------------------


def solver_beside(n: int, d: int = 1280, k: int = 10) -> dict[str, Any]:
    """Softmax regressions of five folds at one strength, a quarter of the labels wrong: by the
    probe's solver, all folds together, and by scikit-learn, the same loss, fold by fold.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    from softfold.machine.runtime import setup
    from softfold.trainers.probe.fold_solver import FoldSolver
    from softfold.trainers.probe.softmax_regression import Design

    setup("cpu")
    rng, strength = np.random.default_rng(0), 1.0
    truth = rng.integers(0, k, n)
    x = rng.normal(size=(n, 200)) @ rng.normal(size=(200, d)) / 14
    x += rng.normal(size=(k, d))[truth] * 0.5 + rng.normal(size=(n, d))
    x = x.astype(np.float32)
    labels = np.where(rng.random(n) < 0.25, rng.integers(0, k, n), truth)
    part = rng.permutation(n) % 5
    folds = [(np.flatnonzero(part != f), np.flatnonzero(part == f)) for f in range(5)]
    started, before = time.perf_counter(), cpu_seconds()
    solver = FoldSolver(Design.of(x), np.eye(k, dtype=np.float32)[labels], folds)
    found = solver.plain(strength)
    ours, cpu = time.perf_counter() - started, [cpu_seconds() - before]
    p = np.empty((n, k), np.float32)
    for f, (_, held) in enumerate(folds):
        logits = torch.cat([z for _, z in solver.logits_of(f, found.weights)])
        p[held] = torch.softmax(logits, 1).numpy()
    started, before = time.perf_counter(), cpu_seconds()
    q, z = np.empty_like(p), (x - x.mean(0)) / x.std(0)
    for train, held in folds:
        model = LogisticRegression(C=1 / (strength * len(train)), max_iter=1000)
        q[held] = model.fit(z[train], labels[train]).predict_proba(z[held])
    seconds, cpu = time.perf_counter() - started, [*cpu, cpu_seconds() - before]
    return {"ours": [ours], "theirs": [seconds], "cpu": cpu, "apart": float(np.abs(p - q).max())}


# (l) a busy machine ------------------------------------------------------------------------------


def busy_step(helped: bool, seconds: float) -> dict[str, Any]:
    """Seconds of steps on all cores, torch imported first; at most some hundred of them."""
    os.environ.pop("OMP_WAIT_POLICY", None)
    code = (
        "import json, sys, time, torch\n"
        "helped, seconds = sys.argv[1] == 'True', float(sys.argv[2])\n"
        "if helped:\n    from softfold.machine import runtime\n    runtime.let_wait_asleep()\n"
        "net = torch.nn.Sequential(*[torch.nn.Conv2d(32, 32, 3, padding=1) for _ in range(8)])\n"
        "x, took, begun = torch.randn(4, 32, 28, 28), [], time.perf_counter()\n"
        "with torch.inference_mode():\n"
        "    while len(took) < 200 and time.perf_counter() - begun < seconds:\n"
        "        started = time.perf_counter(); net(x)\n"
        "        took.append(time.perf_counter() - started)\n"
        "print(json.dumps({'steps': took[1:] or took}))"
    )
    import json
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, str(helped), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
