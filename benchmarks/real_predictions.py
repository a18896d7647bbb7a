"""Noise rate, ranking and soft labels from predictions that others published, beside cleanlab's.

    python benchmarks/real_predictions.py --data DIR            # DIR/real-predictions/*.npz, ...
    python benchmarks/real_predictions.py --data DIR --speed    # seconds instead
    python benchmarks/real_predictions.py --data DIR --second   # one model beside two instead

Out-of-fold predictions on labels that are really wrong, or made wrong; 10,000 items of each set,
drawn by a seed. `news` are texts with people's labels, predicted by TF-IDF and a logistic
regression. Labels of single people (`random1`, `worst`) stand beside predictions of networks that
were trained on the majority's. cleanlab's rate is that of `estimate_joint`; its ranking the best of
its three scores, by hindsight.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from accuracy import machine
from speed_sides import OwnMemory

from softfold import rank_issues, soften
from softfold.evaluation import average_precision
from softfold.noise.estimation import audited, estimate_checked
from softfold.noise.sample import Sample
from softfold.noise.scoring import score

HERE = Path(__file__).parent
ITEMS, AUDITS, DRAWS = 10_000, (50, 100, 200), 200
FLOOR = 1e-3
"""Least probability in a cross-entropy to what people said."""


def sets(data: Path) -> dict[str, dict[str, np.ndarray]]:
    """Every set that is there: probabilities, given, wrong and, where known, truth."""
    found = {}
    folder = data / "real-predictions"
    for file in sorted(folder.glob("*.npz")):
        stored = dict(np.load(file))
        if "wrong" in stored:
            found[file.stem] = stored
    annotators = data / "cifar10n" / "annotators.parquet"
    if annotators.is_file():
        from people import WITH_PREDICTIONS, cifar

        _, labels, _, _, _ = cifar(data)
        for network in ("resnet18", "twins"):
            p = found[f"cifar10n-aggre.{network}"]["probabilities"][:WITH_PREDICTIONS]
            truth = labels["truth"][:WITH_PREDICTIONS]
            for name in ("random1", "worst"):
                given = labels[name][:WITH_PREDICTIONS]
                found[f"{name}, aggre's {network}"] = {
                    "probabilities": p,
                    "given": given,
                    "truth": truth,
                    "wrong": given != truth,
                }
    news = data / "noisy-news" / "train.parquet"
    if news.is_file():
        found["news"] = news_predictions(pd.read_parquet(news))
    return found


def news_predictions(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    given, truth = frame["label"].to_numpy(), frame["truth"].to_numpy()
    folds, best = StratifiedKFold(5, shuffle=True, random_state=0), None
    for strength in (1.0, 3.0, 10.0):
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        model = make_pipeline(words, LogisticRegression(C=strength, max_iter=500))
        text = frame["text"].astype(str)
        p = cross_val_predict(model, text, given, cv=folds, method="predict_proba")
        loss = log_loss(given, p)
        if best is None or loss < best[0]:
            best = (loss, p)
    return {"probabilities": best[1], "given": given, "truth": truth, "wrong": given != truth}


def part(stored: dict[str, np.ndarray], seed: int):
    """p float32 (n, K), given, truth (or None) and wrong of the items that a seed draws."""
    n = len(stored["given"])
    rows = np.arange(n)
    if n > ITEMS:
        rows = np.sort(np.random.default_rng(seed).choice(n, ITEMS, replace=False))
    p = np.maximum(stored["probabilities"][rows].astype(np.float32), 1e-7)
    p /= p.sum(axis=1, keepdims=True)
    truth = stored["truth"][rows].astype(np.int64) if "truth" in stored else None
    return p, stored["given"][rows].astype(np.int64), truth, stored["wrong"][rows]


def cleanlab_says(given: np.ndarray, p: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """cleanlab's noise rate, and its best score's average precision."""
    from cleanlab.count import estimate_joint
    from cleanlab.rank import get_label_quality_scores

    joint = estimate_joint(given, p)
    best = 0.0
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        quality = get_label_quality_scores(given, p, method=method, adjust_pred_probs=False)
        best = max(best, average_precision(1 - quality, wrong) or 0.0)
    return float(1 - np.trace(joint)), best


def measure(stored: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    p, given, truth, wrong = part(stored, seed)
    n = len(p)
    noise = estimate_checked(given, p, seed=seed)
    low, high = noise.rate_interval
    rate, cleanlab_found = cleanlab_says(given, p, wrong)
    out = {
        "wrong": wrong.mean(),
        "rate": noise.rate,
        "low": low,
        "high": high,
        "cleanlab": rate,
        "found": average_precision(score(given, p, noise).suspicion, wrong)
        if wrong.any()
        else np.nan,
        "foreseen": Sample.of(given, p, np.arange(n)).foreseen[0],
        "cleanlab_found": cleanlab_found if wrong.any() else np.nan,
    }
    if wrong.any():
        out["found"] = average_precision(score(given, p, noise).suspicion, wrong)
    known = np.where(wrong, -1, given) if truth is None else truth
    for m in AUDITS:
        errors, held, widths = [], [], []
        rng = np.random.default_rng(1000 * seed + m)
        for _ in range(DRAWS if seed == 0 else 1):
            rows = rng.choice(n, m, replace=False)
            told = audited(noise, given, p, (rows, known[rows]))
            bottom, top = told.rate_interval
            errors.append(abs(told.rate - wrong.mean()))
            held.append(bottom <= wrong.mean() <= top)
            widths.append(top - bottom)
        out |= {
            f"error_{m}": np.mean(errors),
            f"held_{m}": np.mean(held),
            f"width_{m}": np.mean(widths),
        }
    if truth is not None:
        q = soften(given, p, noise=noise)
        blend = soften(given, p, "blend")
        rows = np.arange(n)
        out |= {"right": (q.argmax(1) == truth).mean(), "predicted": (p.argmax(1) == truth).mean()}
        out |= {"given": (given == truth).mean()}
        for name, target in (("soft", q), ("predictions", p), ("blend", blend)):
            out[f"truth_{name}"] = np.log(np.maximum(target[rows, truth], 1e-9)).mean()
    return {name: float(value) for name, value in out.items()}


def twelve(data: Path, seeds: int) -> list[str]:
    """The mean error over the sets of the other table, with a second model where there is one."""
    found, other = sets(data), {"resnet18": "twins", "twins": "resnet18"}
    errors = {"one": [], "two": []}
    for name, stored in found.items():
        net = name.replace(".", " ").split()[-1]
        beside = name.replace(net, other.get(net, net))
        for seed in range(seeds):
            p, given, _, wrong = part(stored, seed)
            second = None
            if beside != name and beside in found:
                second = part(found[beside], seed)[0]
            elif name == "news":
                second = naive_bayes(pd.read_parquet(data / "noisy-news" / "train.parquet"))
            for which, heard in (("one", None), ("two", second)):
                noise = estimate_checked(given, p, second=heard, seed=seed)
                errors[which].append(abs(noise.rate - wrong.mean()))
    one, two = (100 * np.mean(errors[which]) for which in ("one", "two"))
    return [
        f"The {len(found)} sets of [the table of published predictions](real_predictions.md), with "
        f"the other network or naive Bayes as the second model where there is one: mean error of "
        f"the rate {two:.2f} points, alone {one:.2f}."
    ]


def naive_bayes(frame: pd.DataFrame) -> np.ndarray:
    from second_models import floored, text_predictions

    return floored(text_predictions(frame, "label", ("naive Bayes",))["naive Bayes"])


def rate_table(results: dict[str, list[dict]]) -> list[str]:
    lines = [
        "| set | wrong | foreseen | softfold (95% interval) | error | cleanlab | error | holds "
        "| width | " + " | ".join(f"{m} checked: error, coverage, width" for m in AUDITS) + " |",
        "|" + " --- |" * (9 + len(AUDITS)),
    ]
    for name, runs in results.items():
        mean = {key: np.mean([r[key] for r in runs]) for key in runs[0]}
        error = 100 * np.mean([abs(r["rate"] - r["wrong"]) for r in runs])
        peer = 100 * np.mean([abs(r["cleanlab"] - r["wrong"]) for r in runs])
        held = sum(r["low"] <= r["wrong"] <= r["high"] for r in runs)
        first, width = runs[0], 100 * (mean["high"] - mean["low"])
        audits = [
            f"{100 * first[f'error_{m}']:.1f}, {100 * first[f'held_{m}']:.0f}%, "
            f"{100 * first[f'width_{m}']:.1f}"
            for m in AUDITS
        ]
        lines.append(
            f"| {name} | {100 * mean['wrong']:.1f}% | {mean['foreseen']:.2f} "
            f"| {100 * mean['rate']:.1f}% "
            f"({100 * first['low']:.1f} to {100 * first['high']:.1f}) | {error:.1f} | "
            f"{100 * mean['cleanlab']:.1f}% | {peer:.1f} | {held} of {len(runs)} | {width:.1f} | "
            + " | ".join(audits)
            + " |"
        )
    every = [r for runs in results.values() for r in runs]
    ours = 100 * np.mean([abs(r["rate"] - r["wrong"]) for r in every])
    theirs = 100 * np.mean([abs(r["cleanlab"] - r["wrong"]) for r in every])
    held = np.mean([r["low"] <= r["wrong"] <= r["high"] for r in every])
    width = 100 * np.mean([r["high"] - r["low"] for r in every])
    firsts = [runs[0] for runs in results.values()]
    audits = [
        f"{100 * np.mean([r[f'error_{m}'] for r in firsts]):.1f}, "
        f"{100 * np.mean([r[f'held_{m}'] for r in firsts]):.1f}%, "
        f"{100 * np.mean([r[f'width_{m}'] for r in firsts]):.1f}"
        for m in AUDITS
    ]
    lines.append(
        f"| all | | | | {ours:.1f} | | {theirs:.1f} | {100 * held:.0f}% | {width:.1f} | "
        + " | ".join(audits)
        + " |"
    )
    return lines


def label_table_lines(results: dict[str, list[dict]]) -> list[str]:
    lines = [
        "| set | ranking: softfold | cleanlab's best | right: soft labels | predictions | given | "
        "log likelihood of the truth: soft labels | predictions | the post's blend |",
        "|" + " --- |" * 9,
    ]
    for name, runs in results.items():
        mean = {key: np.mean([r[key] for r in runs]) for key in runs[0]}

        def cell(key: str, form: str, mean=mean) -> str:
            return format(mean[key], form) if key in mean and mean[key] == mean[key] else ""

        cells = [cell("found", ".4f"), cell("cleanlab_found", ".4f")]
        cells += [cell(key, ".2%") for key in ("right", "predicted", "given")]
        cells += [cell(f"truth_{key}", ".3f") for key in ("soft", "predictions", "blend")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    noisy = [runs for runs in results.values() if runs[0]["found"] == runs[0]["found"]]
    ahead = sum(np.mean([r["found"] - r["cleanlab_found"] for r in runs]) > -5e-5 for runs in noisy)
    lines.append(f"\nRanking at least cleanlab's best score in {ahead} of {len(noisy)} sets.")
    return lines


def soft_truth(data: Path) -> list[str]:
    """Cross-entropy of what some fifty people said of each CIFAR-10 test image."""
    file = data / "real-predictions" / "cifar10-test.people.npz"
    if not file.is_file():
        return []
    stored = np.load(file)
    p = np.maximum(stored["probabilities"].astype(np.float32), 1e-7)
    p /= p.sum(axis=1, keepdims=True)
    given, people = stored["given"].astype(np.int64), stored["people"]
    lines = [
        "",
        f"What people said (CIFAR-10H), cross-entropy, probabilities at least {FLOOR}:",
        "",
    ]
    lines += ["| strategy | cross-entropy |", "| --- | --- |"]
    for strategy in ("given", "blend", "posterior", "people"):
        q = np.maximum(soften(given, p, strategy), FLOOR)
        q /= q.sum(axis=1, keepdims=True)
        lines.append(f"| {strategy} | {-(people * np.log(q)).sum(axis=1).mean():.3f} |")
    return lines


def made_predictions(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, k, n)
    p = rng.random((n, k), dtype=np.float32)
    np.exp(p, out=p)
    p[np.arange(n), truth] += rng.gamma(2.0, k / 2, n).astype(np.float32)
    p /= p.sum(axis=1, keepdims=True)
    given = np.where(rng.random(n) < 0.2, rng.integers(0, k, n), truth)
    return given, p


def speed() -> list[str]:
    """Seconds of `rank_issues` and of cleanlab's `find_label_issues`, in turns, the median of 5.

    Then what each takes of memory above its input, once more.
    """
    from cleanlab.filter import find_label_issues

    sizes = ((50_000, 10), (1_000_000, 10), (50_000, 1_000), (1_000_000, 100))
    lines = [
        "| items x classes | softfold | cleanlab, one process | ratio cleanlab / softfold | "
        "MB above the input: softfold | cleanlab |",
        "|" + " --- |" * 6,
    ]
    for n, k in sizes:
        given, p = made_predictions(n, k)

        def ours(given=given, p=p) -> None:
            rank_issues(given, p)

        def theirs(given=given, p=p) -> None:
            find_label_issues(given, p, return_indices_ranked_by="self_confidence", n_jobs=1)

        rank_issues(given[:1000], p[:1000])
        turns = [(seconds(ours), seconds(theirs)) for _ in range(5 if n * k <= 5e7 else 3)]
        a, b = np.median(turns, axis=0)
        memory = [taken(ours), taken(theirs)]
        lines.append(
            f"| {n:,} x {k:,} | {a:.3f} s | {b:.3f} s | {b / a:.2f} | "
            f"{memory[0]:,.0f} | {memory[1]:,.0f} |"
        )
        print(lines[-1], flush=True)
    return lines


def seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def taken(work: Callable[[], None]) -> float:
    """MB of its own that the work takes at its peak, looked at 100 times a second."""
    with OwnMemory() as memory:
        work()
    return memory.above_mb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--second", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    about = machine()
    where = f"{about['cores']} cores, {about['platform']}, Python {about['python']}, "
    where += f"{about['versions']}"
    if args.speed:
        name, title, lines = (
            "analysis_speed",
            "Analysis: seconds and memory beside cleanlab's",
            speed(),
        )
        how = f"Made by `python benchmarks/real_predictions.py --speed`: {where}."
    elif args.second:
        from second_models import about_table, table

        name, title = "second_models", "One model's predictions, and two"
        lines = [*table(args.data, args.seeds), "", *twelve(args.data, args.seeds)]
        how = f"Made by `python benchmarks/real_predictions.py --second`: {about_table} {where}."
    else:
        results = {}
        for each, stored in sets(args.data).items():
            results[each] = [measure(stored, seed) for seed in range(args.seeds)]
            print(each, flush=True)
        lines = [*rate_table(results), "", *label_table_lines(results), *soft_truth(args.data)]
        name, title = "real_predictions", "Predictions that others published"
        how = (
            "Made by `python benchmarks/real_predictions.py`: errors and widths in points, means "
            f"over seeds 0 to {args.seeds - 1}, which draw the items; audits of the first seed, "
            f"{DRAWS} draws each. The noise model's constants were set with these sets in view: "
            "this is how well it fits them, not what to expect of others. Sets of 10,000 items or "
            f"fewer are the same for each seed. {where}."
        )
    text = f"# {title}\n\n{how}\n\n" + "\n".join(lines) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"{name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
