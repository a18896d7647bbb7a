"""Run folders for the tests of the report and the review page, made without training.

`digits_run` uses scikit-learn's digits, wrong labels put in on purpose and real out-of-fold
predictions of a linear discriminant, so that suspicion means something; `synthetic_run` draws
everything, for large sizes, texts and tables.
"""

from __future__ import annotations

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softfold.noise.model import as_noise_model

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_run(
    folder: Path,
    frame: pd.DataFrame,
    vocab: tuple[str, ...],
    probabilities: np.ndarray,
    *,
    rate: float,
    source: dict[str, Any],
    holdout: tuple[np.ndarray, np.ndarray] | None = None,
    seeds: int = 3,
) -> Path:
    """A run folder with the files of the contract.

    `frame` has item, given, split, fold and optionally truth, its training rows in the order of
    `probabilities` (N, K); `holdout` is baseline and soft (S, M, K).
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    n, k = probabilities.shape
    train = (frame["split"] == "train").to_numpy()
    codes = pd.Index(vocab).get_indexer(frame["given"][train])
    transition = np.full((k, k), rate / (k - 1)) + np.eye(k) * (1 - rate - rate / (k - 1))
    joint = probabilities * transition[:, codes].T
    posterior = joint / joint.sum(axis=1, keepdims=True)
    other = posterior.copy()
    other[np.arange(n), codes] = -1
    columns = {
        "predicted": np.array(vocab, dtype=object)[probabilities.argmax(axis=1)],
        "self_confidence": probabilities[np.arange(n), codes],
        "suspicion": 1 - posterior[np.arange(n), codes],
        "suggested": np.array(vocab, dtype=object)[other.argmax(axis=1)],
    }
    items = frame.copy()
    for name, values in columns.items():
        items[name] = None if values.dtype == object else np.nan
        items.loc[train, name] = values
    items.to_parquet(folder / "items.parquet", index=False)
    save_file(
        {"probabilities": np.ascontiguousarray(probabilities, np.float32)},
        folder / "oof.safetensors",
    )
    save_file(
        {"targets": np.ascontiguousarray(posterior, np.float32)},
        folder / "soft_labels.safetensors",
    )
    metrics: dict[str, Any] = {
        "data": {"n_train": n, "n_valid": int((~train).sum()), "n_classes": k},
        "oof": {"accuracy_given": float((probabilities.argmax(axis=1) == codes).mean())},
        "noise": {"rate_estimate": rate},
        "seconds": {
            "load": 0.8,
            "crossfit": 12.4,
            "soften": 0.3,
            "train_baseline": 5.1,
            "train_soft": 5.6,
            "evaluate": 0.9,
            "total": 25.1,
        },
    }
    if holdout is not None:
        truth = pd.Index(vocab).get_indexer(frame["given"][~train])
        accuracy = [(p.argmax(axis=2) == truth).mean(axis=1) for p in holdout]
        difference = float((accuracy[1] - accuracy[0]).mean())
        metrics["baseline"] = {"accuracy": accuracy[0].tolist()}
        metrics["soft"] = {"accuracy": accuracy[1].tolist(), "strategy": "posterior"}
        metrics["difference"] = {
            "mean": difference,
            "low": difference - 0.011,
            "high": difference + 0.012,
            "p_value": 0.01,
        }
        metrics["accuracy_against"] = "given"
        save_file(
            {"baseline": holdout[0].astype(np.float32), "soft": holdout[1].astype(np.float32)},
            folder / "holdout.safetensors",
        )
        curves = [
            {
                "model": model,
                "seed": seed,
                "epoch": epoch,
                "train_loss": 2 * np.exp(-epoch / 3) + 0.1,
                "valid_loss": 2 * np.exp(-epoch / 4) + 0.3,
                "accuracy": top - 0.6 * np.exp(-epoch / 2) + 0.01 * seed,
            }
            for model, top in (("baseline", 0.9), ("soft", 0.94))
            for seed in range(seeds)
            for epoch in range(8)
        ]
        pd.DataFrame(curves).to_parquet(folder / "history.parquet", index=False)
    for name, value in {
        "vocab": list(vocab),
        "noise": as_noise_model(transition, k).to_json()
        | {"rate": rate, "rate_interval": [rate * 0.9, rate * 1.1], "temperature": 1.1},
        "metrics": metrics,
        "config": {
            "settings": {"labels": source["labels"], "folds": 5, "seeds": seeds, "seed": 0},
            "name": Path(source["labels"]).name,
            "kind": source["kind"],
            "trainer": "estimator",
            "trainer_settings": {"classifier": "linear discriminant"},
            "seeds": list(range(seeds)),
            "notes": ["accuracies are against the given labels of the hold-out"],
            "versions": {"softfold": "0.1.0", "numpy": np.__version__},
        },
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, format="PNG")
    return out.getvalue()


@lru_cache(maxsize=2)
def _digits(wrong: float) -> tuple[Any, ...]:
    from sklearn.datasets import load_digits
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as Classifier
    from sklearn.model_selection import cross_val_predict

    rng = np.random.default_rng(0)
    images, truth = load_digits(return_X_y=True)
    scaled = images / 16
    holdout = np.zeros(len(truth), dtype=bool)
    holdout[rng.choice(len(truth), 400, replace=False)] = True
    given = truth.copy()
    moved = rng.random(len(truth)) < wrong
    moved &= ~holdout
    given[moved] = (truth[moved] + rng.integers(1, 10, moved.sum())) % 10
    model = Classifier(solver="lsqr", shrinkage=0.1)
    x, y = scaled[~holdout], given[~holdout]
    oof = cross_val_predict(model, x, y, cv=5, method="predict_proba")
    clean = Classifier(solver="lsqr", shrinkage=0.1).fit(x, truth[~holdout])
    noisy = model.fit(x, y)
    out = [np.stack([m.predict_proba(scaled[holdout])] * 3) for m in (noisy, clean)]
    return images, truth, given, holdout, oof, tuple(out)


def digits_run(folder: Path, wrong: float = 0.15, names: tuple[str, ...] = NAMES) -> Path:
    """A run on 1,397 + 400 digits (8 x 8 PNG files beside it), `wrong` of the labels moved."""
    images, truth, given, holdout, oof, out = _digits(wrong)
    pictures = folder.parent / "digits"
    pictures.mkdir(parents=True, exist_ok=True)
    item = [f"digits/{i:04d}.png" for i in range(len(truth))]
    for key, pixels in zip(item, images):
        (folder.parent / key).write_bytes(png(255 - pixels.reshape(8, 8) * 15))
    label = np.array(names, dtype=object)
    order = np.argsort(names)
    frame = pd.DataFrame({"item": item, "given": label[given]})
    frame["split"] = np.where(holdout, "valid", "train")
    frame["fold"] = [[-1] if h else [i % 5] for i, h in enumerate(holdout)]
    frame["truth"] = label[truth]
    frame["file"] = [str((folder.parent / key).absolute()) for key in item]
    table = pd.DataFrame(
        {"path": item, "label": label[given], "truth": label[truth], "is_valid": holdout}
    )
    labels = folder.parent / "labels.csv"
    table.to_csv(labels, index=False)
    return write_run(
        folder,
        frame,
        tuple(sorted(names)),
        oof[:, order],
        rate=wrong,
        source={"labels": str(labels), "kind": "image"},
        holdout=tuple(p[:, :, order] for p in out),
    )


def synthetic_run(
    folder: Path,
    n: int = 500,
    k: int = 10,
    *,
    rate: float = 0.1,
    data: dict[str, list[Any]] | None = None,
    vocab: tuple[str, ...] | None = None,
    kind: str = "table",
    seed: int = 0,
) -> Path:
    """A run on `n` drawn items of `k` classes; `data` are the columns that the items show."""
    rng = np.random.default_rng(seed)
    vocab = vocab or tuple(f"class {i:04d}" for i in range(k))
    truth = rng.integers(0, k, n)
    moved = rng.random(n) < rate
    given = np.where(moved, (truth + rng.integers(1, k, n)) % k, truth)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    logits[np.arange(n), truth] += rng.normal(7 + np.log(k), 1.5, n)
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    data = data or {
        "width": list(np.round(rng.normal(5, 1, n), 2)),
        "colour": list(rng.choice(["red", "green"], n)),
    }
    label = np.array(vocab, dtype=object)
    table = pd.DataFrame({**data, "label": label[given]})
    labels = folder.parent / f"{folder.name}.parquet"
    table.to_parquet(labels, index=False)
    frame = pd.DataFrame(
        {
            "item": [str(i) for i in range(n)],
            "given": label[given],
            "split": "train",
            "truth": label[truth],
        }
    )
    frame["fold"] = [[i % 5] for i in range(n)]
    folder.mkdir(exist_ok=True)
    pd.DataFrame(data).to_parquet(folder / "data.parquet", index=False)
    source = {"labels": str(labels), "kind": kind}
    return write_run(folder, frame, vocab, probabilities, rate=rate, source=source)
