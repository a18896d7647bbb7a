"""The report: one HTML file without scripts, that opens without a network."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from pathlib import Path

from fastcore.xml import FT, to_xml

from softfold.errors import InputError
from softfold.files import write_text
from softfold.report import charts, measures, several, theme
from softfold.report.measures import percent, points
from softfold.report.parts import el, headline, raw, void
from softfold.report.sections import SECTIONS
from softfold.runs.folder import Run
from softfold.runs.looks import Looks, lost_in_words, picture_files
from softfold.runs.manifest import written

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""No script and nothing from elsewhere, whatever a label or file name holds."""


def write_report(
    run_dir: str | Path, out: str | Path | None = None, *, images: str | Path | None = None
) -> Path:
    """Write the report of a run folder as one self-contained HTML file.

    Args:
        run_dir: the run folder. What it lacks is left out of the report.
        out: where to write; by default `report.html` in the run folder.
        images: the folder in which image files are now, where it was moved.

    Returns:
        The file written.

    Raises:
        InputError: `run_dir` is no run folder, or its files belong to different runs.
    """
    run = Run.open(run_dir, images, several=True)
    if out is not None:
        write_text(out, render(run))
        return Path(out)
    with written(run.path, "report.html"):
        write_text(run.path / "report.html", render(run))
    return run.path / "report.html"


def refuse_without_pictures(run_dir: str | Path, images: str | Path | None = None) -> None:
    """Refuse to write over a report where none of the run's pictures is found any more."""
    run = Run.open(run_dir, images, several=True)
    pictures = picture_files(run) if run.has("report.html") else []
    if pictures and not any(Path(file).is_file() for file in pictures):
        lost = lost_in_words(run, pictures, len(pictures))
        raise InputError(f"{lost}; the report that is there stays as it is")


def render(run: Run) -> str:
    """The report of a run as HTML."""
    looks = Looks.of(run)
    makes = several.SECTIONS if run.multi_label else SECTIONS
    sections = [s for s in (make(run, looks) for make in makes) if s is not None]
    verdict = several.verdict(run) if run.multi_label else measures.verdict(run)
    title = f"{run.name}: softfold report"
    css = theme.variables() + files(__package__).joinpath("report.css").read_text()
    head = el(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", raw(css)),
    )
    top = el(
        "header",
        el("h1", title),
        el("p", verdict.sentence, cls=f"verdict {verdict.tone}"),
        el("p", verdict.note, cls="note") if verdict.note else None,
        several.figures(run) if run.multi_label else figures(run),
        el(
            "nav",
            el("ul", *[el("li", el("a", name, href=f"#{key}")) for key, name, _ in sections]),
            aria_label="Sections",
        ),
    )
    body = el(
        "body",
        el("a", "Skip to the content", href="#content", cls="skip"),
        top,
        el(
            "main",
            *[
                el(
                    "section",
                    el("h2", name, id=f"{key}-title"),
                    *parts,
                    id=key,
                    aria_labelledby=f"{key}-title",
                )
                for key, name, parts in sections
            ],
            id="content",
        ),
        el("footer", _colophon(run)),
    )
    return "<!doctype html>\n" + to_xml(el("html", head, body, lang="en"), indent=False)


def figures(run: Run) -> FT:
    """The few numbers that one takes away."""
    metrics, cards = run.get("metrics", {}), []
    data = metrics.get("data", {})

    def card(name: str, value: str, small: str = "") -> None:
        cards.append((name, value, small))

    card("training items", f"{len(run.train):,}", f"{len(run.vocab):,} classes")
    wrong = measures.expected_wrong(run)
    if wrong is not None:
        share = percent(wrong.count / max(1, len(run.train)))
        interval = (
            "" if wrong.low is None else f", interval {wrong.low:,.0f} to {wrong.high:,.0f} labels"
        )
        card("labels expected to be wrong", f"{wrong.count:,.0f}", share + interval)
    difference = metrics.get("difference", {})
    if {"mean", "low", "high"} <= difference.keys():
        card(
            "accuracy, soft against given labels",
            points(difference["mean"]),
            f"points, 95%: {points(difference['low'])} to {points(difference['high'])}",
        )
    oof = metrics.get("oof", {})
    if "accuracy_truth" in oof:
        card("out-of-fold accuracy", percent(oof["accuracy_truth"]), "against the truth")
    elif "accuracy_given" in oof:
        card("out-of-fold accuracy", percent(oof["accuracy_given"]), "against the given labels")
    total = metrics.get("seconds", {}).get("total")
    if total is not None:
        card(
            "time",
            charts.duration(float(total)),
            f"{data['n_valid']:,} hold-out items" if data.get("n_valid") else "",
        )
    return headline(cards)


def _colophon(run: Run) -> str:
    from softfold import __version__

    made = datetime.fromtimestamp((run.path / "items.parquet").stat().st_mtime).astimezone()
    version = run.config.get("versions", {}).get("softfold", __version__)
    return (
        f"Made by softfold {version}; items of {made:%Y-%m-%d %H:%M}. Suspicions are estimates: "
        "the last word about a label belongs to a person."
    )
