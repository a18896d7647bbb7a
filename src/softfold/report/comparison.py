"""The report's first section: models on given and on soft labels, compared on the hold-out."""

from __future__ import annotations

from typing import Any

import numpy as np

from softfold.errors import count_of
from softfold.report import charts
from softfold.report.measures import percent, points, signed
from softfold.report.parts import Section, chart, el, remarks, table
from softfold.runs.folder import Run
from softfold.runs.looks import Looks
from softfold.runs.members import title_of


def comparison(run: Run, looks: Looks) -> Section | None:
    metrics = run.get("metrics", {})
    difference = metrics.get("difference") or {}
    baseline = (metrics.get("baseline") or {}).get("accuracy")
    soft = (metrics.get("soft") or {}).get("accuracy")
    if not baseline or not soft or not {"mean", "low", "high"} <= difference.keys():
        return None
    rows = []
    for name, word in (("accuracy", "accuracy"), ("roc_auc", "ROC AUC")):
        before, after = (metrics[part].get(name) for part in ("baseline", "soft"))
        if before and after:
            before, after = np.asarray(before, float), np.asarray(after, float)
            change = after.mean() - before.mean()
            shown = (percent, percent, points) if name == "accuracy" else (_four, _four, signed)
            rows.append([word, shown[0](before.mean()), shown[1](after.mean()), shown[2](change)])
    against = metrics.get("accuracy_against")
    over = "the seeds and the hold-out's items"
    if difference.get("over", "seeds and items") != "seeds and items":
        over = "the hold-out's items only: one seed says nothing about others"
    caption = (
        f"{count_of(len(soft), 'seed')} each, everything but the labels equal; the interval "
        f"covers {over}."
    )
    p_value = difference.get("p_value")
    if p_value is not None:
        caption += f" p = {float(p_value):.3g}."
    parts: list[Any] = [
        el(
            "p",
            "Two models trained the same way, one on the given labels and one on soft labels, "
            "measured on items that no cross-fit and no soft label has touched.",
        ),
        el(
            "div",
            chart(
                charts.comparison(baseline, soft, difference),
                f"Accuracy {percent(np.mean(baseline))} with given labels, "
                f"{percent(np.mean(soft))} with soft labels; difference "
                f"{points(difference['mean'])} points, 95% interval "
                f"{points(difference['low'])} to {points(difference['high'])}.",
                caption,
            ),
            table(
                "Mean over the seeds",
                ["", "given labels", "soft labels", "difference"],
                rows,
                (1, 2, 3),
            ),
            cls="two",
        ),
    ]
    parts += _ensemble(metrics.get("ensemble") or {})
    parts += _post(metrics.get("post") or {})
    if against:
        words = "Accuracy is measured against the truth of the hold-out's items."
        if against != "truth":
            words = "Accuracy is measured against the given labels of the hold-out's items."
        parts.append(el("p", words, cls="note"))
    notes = run.config.get("notes") or []
    if notes:
        parts.append(remarks(notes))
    return "comparison", "Given against soft labels", parts


def _ensemble(ensemble: dict[str, Any]) -> list[Any]:
    """Means of models, each against the one soft model, where the run has any."""
    rows = []
    for name, part in (ensemble.get("models") or {}).items():
        d, area = part.get("difference"), part.get("roc_auc")
        change = ""
        if d is not None:
            change = f"{points(d['mean'])} ({points(d['low'])} to {points(d['high'])})"
        auc = _four(np.mean(area)) if area else ""
        rows.append([title_of(name, ensemble), percent(np.mean(part["accuracy"])), auc, change])
    if not rows:
        return []
    head = ["", "accuracy", "ROC AUC", "less the one soft model, points (95% interval)"]
    title = "Averaged over folds' models, views of an image, given and soft labels"
    return [table(title, head, rows, (1, 2, 3))]


def _post(post: dict[str, Any]) -> list[Any]:
    """The figures of the post's own protocol, where the run followed it, and what they leak."""
    rows = []
    for name, word in (("baseline", "given labels"), ("soft", "soft labels")):
        figures = post.get(name) or {}
        if {"best", "last", "roc_auc"} <= figures.keys():
            best, last, auc = (float(np.mean(figures[k])) for k in ("best", "last", "roc_auc"))
            rows.append([word, percent(best), percent(last), f"{auc:.4f}"])
    if not rows:
        return []
    head = ["", "best epoch", "last epoch", "ROC AUC"]
    leak = str(post.get("leak", ""))
    return [
        table("By the post's own protocol, on the labels of its last fold", head, rows, (1, 2, 3)),
        el("p", leak[:1].upper() + leak[1:], cls="note") if leak else None,
    ]


def _four(value: float) -> str:
    return f"{value:.4f}"
