"""softfold beside cleanlab on the data of cleanlab's tutorials, as far as they can be had offline.

    python benchmarks/cleanlab_tutorials.py [--fashion DIR] [--news DIR]

Both are given the same labels and the same out-of-fold predictions, and both train the same
classifier at the end. Of cleanlab's tutorials these bring their own data or are in a package:

- "The workflows of data-centric AI": three clouds of points that it makes itself, with noise by
  cleanlab's own generator.
- "Image data": Fashion-MNIST (Debian's package dataset-fashion-mnist; `--fashion DIR`). The wrong
  labels in it are not known, so that 20% are made wrong here.

Its tables (student grades), texts (bank customers' questions) and sounds (spoken digits) are
downloads that ask for a network. In their place: tables of scikit-learn with 20% wrong labels, and
news texts with people's labels (NoisyAG-News; `--news DIR`).

Compared are the order (average precision; share of wrong labels among the first E, where E labels
are wrong), the mask (F1 of cleanlab's `find_label_issues` and of `label_quality < 0.5`), and the
accuracy, on clean items that took no part, of `CleanLearning` and of the same classifier on
softfold's soft labels. cleanlab's order is that of `get_label_quality_scores` with its default; the
best of its three scores is chosen by hindsight. A seed draws noise, folds and hold-out.
"""

from __future__ import annotations

import argparse
import gzip
import platform
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.benchmarking.noise_generation import (
    generate_noise_matrix_from_trace,
    generate_noisy_labels,
)
from cleanlab.classification import CleanLearning
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from softfold import corrupt, estimate_noise, label_quality, soften
from softfold.evaluation import average_precision
from softfold.trainers.classifiers import weight_parameter, weighted_copies

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "cleanlab_tutorials.md"
Data = tuple[Any, np.ndarray, np.ndarray, Any, np.ndarray]
"""Items, given labels, truth; items and truth of the hold-out."""


def clouds(seed: int) -> Data:
    """Three Gaussian clouds with the shapes, sizes and noise of cleanlab's tutorial."""
    rng = np.random.RandomState(seed)
    means = [[3, 2], [7, 7], [0, 8]]
    covariances = [[[5, -1.5], [-1.5, 1]], [[1, 0.5], [0.5, 4]], [[5, 1], [1, 5]]]
    sizes = [100, 50, 50]
    both = [
        np.vstack([rng.multivariate_normal(*each) for each in zip(means, covariances, sizes)])
        for _ in range(2)
    ]
    truth = np.repeat(np.arange(3), sizes)
    prior = np.bincount(truth) / len(truth)
    np.random.seed(seed)  # cleanlab draws from NumPy's own
    matrix = generate_noise_matrix_from_trace(
        3, trace=0.8 * 3, py=prior, valid_noise_matrix=True, seed=seed
    )
    return both[0], generate_noisy_labels(truth, matrix), truth, both[1], truth


def table(load: Callable[..., Any], kind: str) -> Callable[[int], Data]:
    """A table of scikit-learn, a quarter held out, 20% of the other labels wrong."""

    def make(seed: int) -> Data:
        x, y = load(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(y))
        test, train = order[: len(y) // 4], order[len(y) // 4 :]
        return x[train], corrupt(y[train], 0.2, kind=kind, seed=seed), y[train], x[test], y[test]

    return make


def fashion(folder: Path, kind: str) -> Callable[[int], Data]:
    """4,000 images of Fashion-MNIST as pixels, 20% wrong, and 4,000 of its test images."""

    def read(name: str, start: int) -> np.ndarray:
        with gzip.open(folder / name) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=start)

    def make(seed: int) -> Data:
        parts = []
        for part in ("train", "t10k"):
            pixels = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
            labels = read(f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64)
            rows = np.random.default_rng(seed).permutation(len(labels))[:4000]
            parts += [pixels[rows].reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196)]
            parts += [labels[rows]]
        x, y, x_test, y_test = parts
        return x, corrupt(y, 0.2, kind=kind, seed=seed), y, x_test, y_test

    return make


def news(folder: Path) -> Callable[[int], Data]:
    """News texts with people's labels; a seed draws folds."""

    def make(seed: int) -> Data:
        train = pd.read_parquet(folder / "train.parquet")
        test = pd.read_parquet(folder / "test.parquet")
        names = sorted(set(train["truth"]))
        codes = [
            pd.Categorical(column, names).codes.astype(np.int64)
            for column in (
                train["label"],
                train["truth"],
                test["truth" if "truth" in test else "label"],
            )
        ]
        return (
            train["text"].to_numpy(object),
            codes[0],
            codes[1],
            test["text"].to_numpy(object),
            codes[2],
        )

    return make


def numbers() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))


def words() -> Any:
    return make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000))


def compare(data: Data, classifier: Callable[[], Any], seed: int) -> dict[str, float]:
    """Everything that is compared, of one seed, by name."""
    x, given, truth, x_test, y_test = data
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    p = cross_val_predict(classifier(), x, given, cv=folds, method="predict_proba")
    wrong = given != truth
    noise = estimate_noise(given, p)
    quality = label_quality(given, p, noise=noise)
    scores = {
        method: get_label_quality_scores(given, p, method=method)
        for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    }
    found = {"wrong": wrong.mean(), "softfold_rate": noise.rate}
    for name, each in {"softfold": quality, "cleanlab": scores["self_confidence"]}.items():
        found[f"{name}_ap"] = average_precision(-each, wrong)
        first = np.argsort(each, kind="stable")[: wrong.sum()]
        found[f"{name}_first"] = wrong[first].mean()
    found["best_ap"] = max(average_precision(-each, wrong) for each in scores.values())
    found["softfold_f1"] = f1(quality < 0.5, wrong)
    found["cleanlab_f1"] = f1(find_label_issues(given, p, n_jobs=1), wrong)
    found["given_accuracy"] = (classifier().fit(x, given).predict(x_test) == y_test).mean()
    learned = CleanLearning(classifier(), seed=seed).fit(x, given, pred_probs=p)
    found["cleanlab_accuracy"] = (learned.predict(x_test) == y_test).mean()
    rows, labels, weights = weighted_copies(soften(given, p, noise=noise))
    made = classifier()
    key = weight_parameter(made)
    made.fit(x[rows], labels, **({} if weights is None else {key: weights}))
    found["softfold_accuracy"] = (made.predict(x_test) == y_test).mean()
    return {name: float(value) for name, value in found.items()}


def f1(mask: np.ndarray, wrong: np.ndarray) -> float:
    both = (mask & wrong).sum()
    return 2 * both / max(mask.sum() + wrong.sum(), 1)


def interval(differences: np.ndarray, scale: float = 1.0, form: str = "+.3f") -> str:
    """Mean and 95% interval of differences over seeds (Student's t)."""
    n, mean = len(differences), differences.mean()
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return (
        f"{scale * mean:{form}} ({scale * (mean - half):{form}} to {scale * (mean + half):{form}})"
    )


def rows_of(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[int], Data], Any, int]]:
    yield "clouds of cleanlab's workflows tutorial", clouds, numbers, 10
    tables = {"breast cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
    for name, load in tables.items():
        yield f"{name}, 20% any class", table(load, "symmetric"), numbers, 5
    yield "digits, 20% the next class", table(load_digits, "pair"), numbers, 5
    if options.fashion is not None:
        for kind, words_ in (("symmetric", "any"), ("pair", "the next")):
            title = f"Fashion-MNIST, 20% {words_} class"
            yield title, fashion(options.fashion, kind), numbers, 3
    if options.news is not None:
        yield "news texts, people's labels", news(options.news), words, 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST's idx files")
    parser.add_argument("--news", type=Path, help="folder of NoisyAG-News' Parquet files")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    finding, training = [], []
    for title, make, classifier, seeds in rows_of(options):
        every = pd.DataFrame([compare(make(s), classifier, s) for s in range(seeds)])
        mean = every.mean()
        pairs = [
            f"{mean[f'softfold_{m}']:.3f} | {mean[f'cleanlab_{m}']:.3f}"
            for m in ("ap", "first", "f1")
        ]
        gap = interval((every["softfold_ap"] - every["cleanlab_ap"]).to_numpy())
        finding.append(
            f"| {title} | {seeds} | {mean['wrong']:.1%} | {pairs[0]} | {mean['best_ap']:.3f} | "
            f"{gap} | {pairs[1]} | {pairs[2]} |"
        )
        gap = interval(
            (every["softfold_accuracy"] - every["cleanlab_accuracy"]).to_numpy(), 100, "+.2f"
        )
        cells = [
            f"{100 * mean[f'{name}_accuracy']:.2f}" for name in ("given", "cleanlab", "softfold")
        ]
        training.append(f"| {title} | {' | '.join(cells)} | {gap} |")
        print(finding[-1], training[-1], sep="\n", flush=True)
    about = ", ".join(f"{name} {version(name)}" for name in ("cleanlab", "scikit-learn", "numpy"))
    lines = [
        "# Beside cleanlab, on its tutorials' data\n",
        f"Made by `python benchmarks/cleanlab_tutorials.py`: {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, {about}. The same labels and "
        "the same out-of-fold predictions through both. Differences are softfold less cleanlab, "
        "with 95% intervals over seeds. E is how many labels are wrong.\n",
        "Finding wrong labels:\n",
        "| data | seeds | wrong | average precision: softfold | cleanlab | cleanlab's best score | "
        "difference | wrong among the first E: softfold | cleanlab | F1 of the mask: softfold | "
        "cleanlab |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *finding,
        "\nTraining, percent right on clean items that took no part:\n",
        "| data | given labels | CleanLearning | softfold's soft labels | difference |",
        "| --- | --- | --- | --- | --- |",
        *training,
    ]
    if options.fashion is not None and options.news is not None:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
