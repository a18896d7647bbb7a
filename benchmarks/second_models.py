"""Noise rate from one model's predictions, and with a second model's beside them.

    python benchmarks/real_predictions.py --data DIR --second

- CIFAR-10N, networks that others published: trained on `aggre`, beside labels of one person too.
- CIFAR-10N, probes trained on the labels that they are asked about: 10,000 of the first 25,000
  images, features of the last layer of EfficientNet-Lite0, of its stages ("the same eyes"), and of
  whitened patches of pixels (Coates and Ng 2012; "other eyes").
- News texts: TF-IDF of words, the same of letters, naive Bayes.
- Digits with made noise: a logistic regression and a random forest.

`random2` and `random3` are of the same images and were not looked at when the rule was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from softfold.noise.estimation import estimate_checked
from softfold.noise.model import posterior
from softfold.noise.sample import Sample
from softfold.noise.witnesses import hear

PEOPLE = ("aggre", "random1", "worst", "random2", "random3", "truth")
UNSEEN = ("random2", "random3")
ITEMS, PATCH, FILTERS = 10_000, 6, 200

about_table = (
    "the noise rate from the first model's predictions, and with the second's beside them; errors "
    "and widths in points. `if all err apart` is what counting who agrees would say. Rows named "
    "truth have right labels. The rule was chosen with these sets in view, besides `random2` and "
    "`random3`, which are other labels of the same images."
)

Rows = Iterator[tuple[str, str, dict[str, np.ndarray], np.ndarray, np.ndarray]]
"""Set, its kind, predictions by model's name, given labels, truth."""


def people_labels(data: Path) -> tuple[list[bytes], dict[str, np.ndarray]]:
    from people import cifar

    encoded, labels, _, _, names = cifar(data)
    votes = pd.read_parquet(data / "cifar10n" / "annotators.parquet")
    code = {name: i for i, name in enumerate(names)}
    for name in UNSEEN:
        labels[name] = votes[name].astype(str).map(code).to_numpy().astype(np.int64)
    return encoded, labels


def published(data: Path, seeds: int) -> Rows:
    from people import WITH_PREDICTIONS

    nets = {
        name: dict(np.load(data / "real-predictions" / f"cifar10n-aggre.{name}.npz"))
        for name in ("resnet18", "twins")
    }
    _, labels = people_labels(data)
    any_of = nets["twins"]
    for name in PEOPLE:
        if name == "aggre":
            given, truth = any_of["given"].astype(np.int64), any_of["truth"].astype(np.int64)
        else:
            given, truth = labels[name][:WITH_PREDICTIONS], labels["truth"][:WITH_PREDICTIONS]
        for seed in range(seeds if len(given) > ITEMS else 1):
            rng = np.random.default_rng(seed)
            rows = np.sort(rng.choice(len(given), min(ITEMS, len(given)), replace=False))
            p = {net: floored(stored["probabilities"][rows]) for net, stored in nets.items()}
            yield f"published, {name}", "published", p, given[rows], truth[rows]


def probes(data: Path) -> Rows:
    from accuracy import label_table

    from softfold import cross_fit, plan_folds
    from softfold.data.table import LabelTable
    from softfold.pixels.images import Images
    from softfold.trainers.probe import Probe
    from softfold.vision.features import image_features, image_stages

    encoded, labels = people_labels(data)
    rows = np.sort(np.random.default_rng(0).choice(len(encoded), ITEMS, replace=False))
    encoded = [encoded[i] for i in rows]
    table = LabelTable(
        item=np.arange(ITEMS).astype(str).astype(object),
        given=np.zeros(ITEMS, np.int64),
        vocab=tuple("0123456789"),
        valid=np.zeros(ITEMS, bool),
        data=Images(encoded=encoded),
    )
    seen = {"last layer": image_features(table, size=128), "stages": image_stages(table, size=128)}
    seen["patches"] = patches(encoded)
    for name in PEOPLE:
        given, p = labels[name][rows], {}
        for view, x in seen.items():
            made = label_table(given, 10, x)
            p[view] = cross_fit(made, Probe(), plan_folds(made, 5, seed=0), seed=0).probabilities
        yield f"probe, {name}", "probe", p, given, labels["truth"][rows]


def patches(encoded: list[bytes]) -> np.ndarray:
    """How much each quarter of an image has of whitened patches of pixels: float32 (n, 1600)."""
    import io

    from numpy.lib.stride_tricks import sliding_window_view
    from PIL import Image

    x = np.stack([np.asarray(Image.open(io.BytesIO(e)).convert("RGB")) for e in encoded])
    x = x.astype(np.float32) / 255
    rng, width = np.random.default_rng(0), x.shape[1]

    def contrast(p: np.ndarray) -> np.ndarray:
        return (p - p.mean(axis=1, keepdims=True)) / (p.std(axis=1, keepdims=True) + 0.05)

    at = rng.integers(0, width - PATCH + 1, (4_000, 2))
    chosen = x[rng.integers(0, len(x), len(at))]
    cut = [i[a : a + PATCH, b : b + PATCH].ravel() for i, (a, b) in zip(chosen, at, strict=True)]
    cut = contrast(np.stack(cut))
    middle = cut.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(cut.T))
    white = (vectors / np.sqrt(values + 0.1)) @ vectors.T
    filters = ((cut - middle) @ white)[rng.choice(len(cut), FILTERS, replace=False)]
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    out, places = [], width - PATCH + 1
    for image in x:
        windows = sliding_window_view(image, (PATCH, PATCH), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
        found = (contrast(windows.reshape(-1, 3 * PATCH**2)) - middle) @ white @ filters.T
        both = np.concatenate([np.maximum(found - 0.5, 0), np.maximum(-found - 0.5, 0)], axis=1)
        both = both.reshape(places, places, -1)
        half = (slice(0, places // 2), slice(places // 2, None))
        out.append(np.concatenate([both[i, j].mean(axis=(0, 1)) for i in half for j in half]))
    return np.stack(out).astype(np.float32)


def texts(data: Path) -> Rows:
    frame = pd.read_parquet(data / "noisy-news" / "train.parquet")
    truth = frame["truth"].to_numpy().astype(np.int64)
    for name, shown in (("label", "news"), ("truth", "news, truth")):
        p = text_predictions(frame, name, ("words", "letters", "naive Bayes"))
        given = frame[name].to_numpy().astype(np.int64)
        yield shown, "texts", {m: floored(values) for m, values in p.items()}, given, truth


def text_predictions(
    frame: pd.DataFrame, label: str, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Out-of-fold predictions (N, K) of models by name, trained on a column of labels."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    letters = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5), min_df=3)
    counts = CountVectorizer(binary=True, stop_words="english")
    models = {
        "words": make_pipeline(words, LogisticRegression(max_iter=500)),
        "letters": make_pipeline(letters, LogisticRegression(max_iter=500)),
        "naive Bayes": make_pipeline(counts, MultinomialNB()),
    }
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    text, y = frame["text"].astype(str), frame[label].to_numpy()
    return {
        name: cross_val_predict(models[name], text, y, cv=folds, method="predict_proba")
        for name in names
    }


def digits() -> Rows:
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from softfold import corrupt

    x, truth = load_digits(return_X_y=True)
    models = {
        "regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300)),
        "forest": RandomForestClassifier(min_samples_leaf=2, random_state=0),
    }
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for kind, rate in (("symmetric", 0.0), ("symmetric", 0.2), ("pair", 0.3), ("instance", 0.3)):
        given, features = truth, {"features": x} if kind == "instance" else {}
        if rate:
            made = corrupt(truth, rate, kind, n_classes=10, seed=5, **features)
            given = np.asarray(made).astype(np.int64)
        p = {
            m: floored(cross_val_predict(model, x, given, cv=folds, method="predict_proba"))
            for m, model in models.items()
        }
        yield f"digits, {f'{rate:.0%} {kind}' if rate else 'truth'}", "made", p, given, truth


def floored(p: np.ndarray) -> np.ndarray:
    p = np.maximum(p.astype(np.float32), 1e-6)
    return p / p.sum(axis=1, keepdims=True)


def measure(p: dict[str, np.ndarray], given, truth) -> Iterator[dict]:
    """One row for each ordered pair of models."""
    wrong, rows = float((given != truth).mean()), np.arange(len(given))
    for first, ours in p.items():
        one = estimate_checked(given, ours)
        for second, theirs in p.items():
            if first == second:
                continue
            two = estimate_checked(given, ours, second=theirs)
            told = hear(Sample.of(given, ours, rows), Sample.of(given, theirs, rows))
            row = {"first": first, "second": second, "wrong": wrong}
            row["independent"] = told.independent if told else np.nan
            row["share"] = told.share if told else np.nan
            for name, noise in (("one", one), ("two", two)):
                low, high = noise.rate_interval
                q = posterior(given, ours, noise)
                row |= {
                    f"rate_{name}": noise.rate,
                    f"low_{name}": low,
                    f"high_{name}": high,
                    f"error_{name}": abs(noise.rate - wrong),
                    f"holds_{name}": low <= wrong <= high,
                    f"width_{name}": high - low,
                    f"right_{name}": (q.argmax(axis=1) == truth).mean(),
                }
            yield row


def table(data: Path, seeds: int) -> list[str]:
    """The rows, and means by kind of set."""
    found: dict[tuple[str, str, str], list[dict]] = {}
    kinds: dict[str, list[dict]] = {}
    for rows in (published(data, seeds), texts(data), digits(), probes(data)):
        for name, kind, p, given, truth in rows:
            if kind != "made":
                kind += ", people's labels" if (given != truth).any() else ", right labels"
            kind += ", unseen" if name.endswith(UNSEEN) else ""
            for row in measure(p, given, truth):
                found.setdefault((name, row["first"], row["second"]), []).append(row)
                kinds.setdefault(kind, []).append(row)
            print(name, flush=True)

    def mean(rows: list[dict], key: str) -> float:
        return 100 * float(np.mean([r[key] for r in rows]))

    lines = [
        "| set | first model | second | wrong | one model (interval) | two (interval) | error: one "
        "| two | if all err apart | of that wrong labels | soft labels right: one | two |",
        "|" + " --- |" * 12,
    ]
    for (name, first, second), rows in found.items():
        spans = [
            f"{mean(rows, f'rate_{w}'):.1f}% ({mean(rows, f'low_{w}'):.1f} to "
            f"{mean(rows, f'high_{w}'):.1f})"
            for w in ("one", "two")
        ]
        cells = [f"{mean(rows, 'wrong'):.1f}%", *spans]
        cells += [f"{mean(rows, f'error_{w}'):.1f}" for w in ("one", "two")]
        cells += [f"{mean(rows, 'independent'):.1f}%", f"{mean(rows, 'share') / 100:.2f}"]
        cells += [f"{mean(rows, f'right_{w}'):.1f}" for w in ("one", "two")]
        lines.append(f"| {name} | {first} | {second} | " + " | ".join(cells) + " |")
    lines += ["", "| rows | number | error: one | two | holds: one | two | width: one | two |"]
    lines += ["|" + " --- |" * 8]
    for kind, rows in kinds.items():
        cells = [f"{mean(rows, f'error_{w}'):.1f}" for w in ("one", "two")]
        cells += [f"{mean(rows, f'holds_{w}'):.0f}%" for w in ("one", "two")]
        cells += [f"{mean(rows, f'width_{w}'):.1f}" for w in ("one", "two")]
        lines.append(f"| {kind} | {len(rows)} | " + " | ".join(cells) + " |")
    return lines
