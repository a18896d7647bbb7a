"""Charts as inline SVG that take the page's colours, light or dark.

matplotlib draws with the stand-in colours of `PALETTE`; in the finished SVG each becomes a CSS
variable, so one drawing serves both themes and paper. Text stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from softfold.report.measures import SuspicionCurve

PALETTE = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--given)",
    "#050505": "var(--soft)",
    "#060606": "var(--card)",
}
INK, MUTED, LINE, GIVEN, SOFT, CARD = PALETTE
WIDTH = 4.0
MAX_HEAT_CLASSES = 24

FULL_COLOUR = 0.1
"""Smallest error share that gets the full colour: even, small noise must not look alarming."""

STEP_NAMES = {
    "load": "load",
    "crossfit": "cross-fit",
    "soften": "soften",
    "train_baseline": "train on given",
    "train_soft": "train on soft",
    "ensemble": "fold models",
    "evaluate": "evaluate",
}


def comparison(baseline: list[float], soft: list[float], difference: dict[str, float]) -> str:
    """Accuracy of every seed on the hold-out, and the paired difference with its interval."""

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for y, values, colour in ((1, baseline, GIVEN), (0, soft, SOFT)):
            shares = 100 * np.asarray(values, dtype=float)
            left.plot(shares, np.full(len(shares), y), "o", ms=7, color=colour, alpha=0.45, mew=0)
            left.plot([shares.mean()] * 2, [y - 0.22, y + 0.22], color=colour, lw=2.4)
            left.annotate(
                f"{shares.mean():.1f}%",
                (shares.mean(), y + 0.26),
                ha="center",
                va="bottom",
                color=colour,
                weight="bold",
            )
        left.set(ylim=(-0.6, 1.75), yticks=[0, 1], xlabel="accuracy, % (a dot a seed)")
        left.set_yticklabels(["soft labels", "given labels"], color=INK)
        left.margins(x=0.18)
        left.grid(axis="y", visible=False)
        low, mean, high = (100 * difference[key] for key in ("low", "mean", "high"))
        right.axvline(0, color=MUTED, lw=1)
        right.plot([low, high], [0.5, 0.5], color=INK, lw=2, solid_capstyle="butt")
        right.plot([mean], [0.5], "o", color=INK, ms=7)
        right.annotate(
            f"{mean:+.2f}".replace("-", "−"), (mean, 0.62), ha="center", color=INK, weight="bold"
        )
        reach = 1.25 * max(abs(low), abs(high), 0.1)
        right.set(xlim=(-reach, reach), ylim=(0, 1.1), yticks=[])
        right.set_xlabel("difference, points (95%)")
        right.grid(axis="y", visible=False)

    return _svg("comparison", (WIDTH * 1.1, 2.1), draw)


def heat_map(matrix: np.ndarray, names: list[str]) -> str:
    """T[truth, given] in percent; the colour shows the errors, so the diagonal stays plain."""
    k = len(matrix)
    side = min(6.0, 1.9 + 0.3 * k)
    errors = matrix - np.diag(np.diag(matrix))
    top = max(float(errors.max()), FULL_COLOUR)

    def draw(figure: Any) -> None:
        from matplotlib.patches import Rectangle

        axes = figure.subplots()
        size = 7.5 if k <= 12 else 5.5
        for row in range(k):
            for column in range(k):
                value = matrix[row, column]
                if row == column:
                    axes.add_patch(Rectangle((column, row), 1, 1, fc=LINE, ec=CARD, lw=1))
                elif value > 0.0005:
                    axes.add_patch(
                        Rectangle(
                            (column, row),
                            1,
                            1,
                            fc=GIVEN,
                            ec=CARD,
                            lw=1,
                            alpha=0.06 + 0.94 * value / top * 0.8,
                        )
                    )
                if value >= 0.005 and k <= MAX_HEAT_CLASSES:
                    text = f"{100 * value:.0f}"
                    axes.text(
                        column + 0.5,
                        row + 0.52,
                        text,
                        ha="center",
                        va="center",
                        fontsize=size,
                        color=MUTED if row == column else INK,
                    )
        axes.set(xlim=(0, k), ylim=(k, 0), xlabel="given label", ylabel="truth (estimated)")
        short = [_cut(name, 14) for name in names]
        axes.set_xticks(np.arange(k) + 0.5, short, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(k) + 0.5, short)
        axes.tick_params(length=0, labelsize=7.5 if k <= 16 else 6)
        axes.grid(visible=False)
        axes.set_aspect("equal")

    return _svg("transition", (side + 0.7, side), draw)


def calibration(bins: pd.DataFrame) -> str:
    """Confidence of the out-of-fold predictions against how often they are right."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=MUTED, lw=1, ls=(0, (3, 3)))
        axes.plot(100 * bins["confidence"], 100 * bins["accuracy"], color=SOFT, lw=1.6)
        area = 14 + 140 * bins["items"] / bins["items"].sum()
        axes.scatter(100 * bins["confidence"], 100 * bins["accuracy"], s=area, color=SOFT, zorder=3)
        axes.set(xlim=(0, 102), ylim=(0, 104), xlabel="confidence of the prediction, %")
        axes.set_ylabel(f"equal to the {bins.attrs.get('against', 'given label')}, %")

    return _svg("calibration", (WIDTH, 3.2), draw)


def suspicion(curve: SuspicionCurve, decided: tuple[int, int] | None = None) -> str:
    """How many wrong labels one finds by looking at the ranking from its top."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        reach = float(max(curve.looked_at[-1], decided[0] if decided else 0))
        best = min(
            reach,
            max(curve.expected[-1], 1 if curve.measured is None else max(curve.measured[-1], 1)),
        )
        axes.plot([0, best], [0, best], color=MUTED, lw=1, ls=(0, (3, 3)))
        axes.plot(curve.looked_at, curve.expected, color=SOFT, lw=1.8, label="expected")
        if curve.measured is not None:
            axes.plot(curve.looked_at, curve.measured, color=GIVEN, lw=1.8, label="by the truth")
        if decided is not None:
            axes.plot(*decided, "D", color=INK, ms=6, label="by people")
        axes.axvline(curve.total_expected, color=MUTED, lw=1)
        axes.annotate(
            f"{curve.total_expected:,.0f} expected",
            (curve.total_expected, 0),
            xytext=(4, 4),
            textcoords="offset points",
            color=MUTED,
        )
        axes.set(xlim=(0, reach), xlabel="items looked at, most suspicious first")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("wrong labels found")
        if curve.measured is not None or decided is not None:
            axes.legend(loc="lower right")

    return _svg("suspicion", (WIDTH, 3.2), draw)


def learning(history: pd.DataFrame, column: str, label: str) -> str:
    """One curve a model, the mean of its seeds, with the seeds as thin lines."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for model, colour, name in (
            ("baseline", GIVEN, "given labels"),
            ("soft", SOFT, "soft labels"),
        ):
            part = history[history["model"] == model]
            if part.empty or part[column].isna().all():
                continue
            scale = 100 if column == "accuracy" else 1
            for _, seed in part.groupby("seed"):
                axes.plot(seed["epoch"], scale * seed[column], color=colour, lw=0.8, alpha=0.35)
            mean = part.groupby("epoch")[column].mean()
            axes.plot(mean.index, scale * mean, color=colour, lw=1.9, label=name, marker="o", ms=3)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(loc="best")

    return _svg(f"learning-{column}", (WIDTH, 2.7), draw)


def seconds(spent: dict[str, float]) -> str:
    """Where the time went, a bar a step."""
    steps = [
        (STEP_NAMES.get(key, key.replace("_", " ")), float(value))
        for key, value in spent.items()
        if key != "total"
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        values = [value for _, value in steps]
        axes.barh(range(len(steps)), values, color=SOFT, height=0.62)
        for y, value in enumerate(values):
            axes.annotate(
                duration(value),
                (value, y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=INK,
            )
        axes.set_yticks(range(len(steps)), [_cut(name, 20) for name, _ in steps], color=INK)
        axes.set(xlim=(0, 1.22 * max([*values, 1e-3])), ylim=(len(steps) - 0.4, -0.6))
        axes.set_xlabel("seconds")
        axes.grid(axis="y", visible=False)

    return _svg("seconds", (WIDTH, 0.8 + 0.28 * len(steps)), draw)


def duration(value: float) -> str:
    """Seconds in words short enough for a chart.

    >>> duration(0.04), duration(12.31), duration(754)
    ('0.04 s', '12.3 s', '12 min 34 s')
    """
    if value >= 100:
        return f"{int(value) // 60} min {int(value) % 60:02d} s"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "softfold",
            "text.parse_math": False,
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 8,
            "axes.labelsize": 8,
            "axes.labelcolor": MUTED,
            "axes.edgecolor": LINE,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": LINE,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "xtick.color": LINE,
            "ytick.color": LINE,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": MUTED,
            "legend.frameon": False,
            "figure.facecolor": "none",
        }
    ):
        yield


def _svg(name: str, size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Draw on a figure of its own (no pyplot, no global state) and give themed SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    with _style():
        figure = Figure(figsize=size, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        draw(figure)
        # not savefig, which draws twice; drawing once lays out as well
        canvas.print_svg(out, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"<[^<>]+>", lambda tag: _themed(tag[0], name), svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _themed(tag: str, name: str) -> str:
    """A tag with the page's colours and font, and ids that no other chart has.

    Text between tags may look like any of these, and stays as it is.
    """
    tag = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    for stand_in, variable in PALETTE.items():
        tag = tag.replace(stand_in, variable)
    return re.sub(r"'DejaVu Sans'(, sans-serif)?", "var(--font)", tag)
