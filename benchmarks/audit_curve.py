"""The interval of the noise rate as items are checked: a picture and a table.

python benchmarks/audit_curve.py --data DIR     # DIR/real-predictions/*.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from accuracy import machine
from real_predictions import part

from softfold.noise.estimation import audited, estimate_checked

HERE = Path(__file__).parent
SETS = {
    "cifar10n-aggre.twins": "CIFAR-10N, people's labels",
    "roman.resnet18": "Handwritten numerals",
    "made.zero0-amount0": "Right labels, an overconfident net",
}
CHECKED, DRAWS = (0, 10, 20, 50, 100, 200, 400), 50


def curve(file: Path) -> tuple[float, list[tuple[float, float, float, float]]]:
    """The truth, and per number of checks the mean rate, low, high and coverage."""
    p, given, truth, wrong = part(dict(np.load(file)), 0)
    noise = estimate_checked(given, p)
    known = np.where(wrong, -1, given) if truth is None else truth
    lines = []
    for m in CHECKED:
        rng, found = np.random.default_rng(m), []
        for _ in range(DRAWS if m else 1):
            rows = rng.choice(len(given), m, replace=False)
            told = audited(noise, given, p, (rows, known[rows]))
            low, high = told.rate_interval
            found.append((told.rate, low, high, low <= wrong.mean() <= high))
        lines.append(tuple(np.mean(found, axis=0)))
    return float(wrong.mean()), lines


def draw(curves: dict[str, tuple], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(10, 3.2), sharey=True)
    for ax, (name, (truth, lines)) in zip(axes, curves.items(), strict=True):
        rate, low, high, _ = (100 * np.array(c) for c in zip(*lines, strict=True))
        at = np.arange(len(CHECKED))
        ax.fill_between(at, low, high, color="#0f766e", alpha=0.2, label="95% interval")
        ax.plot(at, rate, "o-", color="#0f766e", label="rate, as estimated")
        ax.axhline(100 * truth, color="#c2410c", linestyle="--", label="truth")
        ax.set_title(SETS[name], fontsize=11)
        ax.set_xticks(at, [str(m) for m in CHECKED])
        ax.set_xlabel("items checked at random")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("labels that are wrong (%)")
    axes[0].set_ylim(-0.5)
    axes[-1].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs/img/audit_curve.png")
    args = parser.parse_args()
    files = {name: args.data / "real-predictions" / f"{name}.npz" for name in SETS}
    curves = {name: curve(file) for name, file in files.items() if file.is_file()}
    lines = ["| set | wrong | checked | rate | interval | holds |", "|" + " --- |" * 6]
    for name, (truth, points) in curves.items():
        for m, (rate, low, high, held) in zip(CHECKED, points, strict=True):
            lines.append(
                f"| {name} | {truth:.1%} | {m} | {rate:.1%} | {low:.1%} to {high:.1%} "
                f"| {held:.0%} |"
            )
    about = machine()
    text = (
        "# The interval as items are checked\n\nMade by `python benchmarks/audit_curve.py`: means "
        f"of {DRAWS} draws, seeds by number of checks. {about['cores']} cores, "
        f"{about['platform']}, Python {about['python']}, {about['versions']}.\n\n"
        + "\n".join(lines)
        + "\n"
    )
    (args.out / "audit_curve.md").write_text(text)
    print(text)
    draw(curves, args.picture)


if __name__ == "__main__":
    main()
