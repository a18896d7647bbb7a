"""Commands that run a job or a step of it. What they call is imported when it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from softfold.cli.options import Asked, Config, Json, Out, Profile, Quiet, Resume, RunFolder
from softfold.cli.output import (
    bars,
    default_out,
    prediction_records,
    print_comparison,
    print_json,
    print_rate,
)


def demo(
    out: Annotated[str | None, Option("--out", help="run folder to write (softfold-demo)")] = None,
    noise: Annotated[
        str,
        Option("--noise", help="wrong labels: pair-40, each class's into the next; 30, into any"),
    ] = "pair-40",
    quiet: Quiet = False,
) -> None:
    """The whole job on digits with 40% wrong labels."""
    from softfold.demo import NOISE, found_line, run_demo

    out = out or ("softfold-demo" if noise == NOISE else f"softfold-demo-{noise}")
    run = run_demo(out, noise=noise, quiet=quiet)
    more = [*bars(run.metrics), found_line(run)]
    print_comparison(run.metrics, out, *[line for line in more if line is not None])


def run(
    asked: Asked,
    config: Config = None,
    out: Out = None,
    resume: Resume = False,
    quiet: Quiet = False,
    json: Json = False,
    profile: Profile = False,
) -> None:
    """The whole job: cross-fit, soften, train, compare, report."""
    from softfold.job.recipes import get_recipe, settings_of
    from softfold.job.running import run_settings
    from softfold.runs.settings_file import read_settings

    settings = settings_of(**((read_settings(config) if config is not None else {}) | asked))
    settings.check_labels()
    out = out or default_out(settings.labels, settings.recipe or settings.noise)
    metrics = run_settings(settings, out, resume=resume, quiet=quiet, profile=profile).metrics
    summary = None if settings.recipe is None else get_recipe(settings.recipe).summary
    if json:
        print_json(metrics)
    elif summary is not None:
        print(summary(metrics))
    else:
        print_comparison(metrics, out)


def crossfit(
    asked: Asked, out: Out = None, resume: Resume = False, quiet: Quiet = False, json: Json = False
) -> None:
    """Only the out-of-fold predictions and the noise model."""
    from softfold.files import shell_word
    from softfold.job.running import crossfit_settings
    from softfold.runs.settings import Settings

    settings = Settings(**asked, seeds=1)
    out = out or default_out(settings.labels, settings.noise)
    metrics = crossfit_settings(settings, out, resume=resume, quiet=quiet)
    if json:
        print_json(metrics)
        return
    oof = metrics["oof"]
    if "accuracy_given" in oof:
        print(f"out-of-fold predictions agree with {oof['accuracy_given']:.1%} of the given labels")
    else:
        found = oof["mean_average_precision_given"]
        print(f"out-of-fold predictions have a mean average precision of {found:.3f}")
    print_rate(metrics["noise"], out if "accuracy_given" in oof else None)
    run = shell_word(out)
    print(f"next: softfold soften {run}; softfold compare {run}; softfold issues {run}")


def soften(run: RunFolder, asked: Asked, quiet: Quiet = False) -> None:
    """Make soft labels of a run's out-of-fold predictions."""
    from softfold.job.running import soften_run

    job, soft = soften_run(run, quiet=quiet, **asked)
    print(f"{Path(run) / 'soft_labels.safetensors'}: {len(soft):,} soft labels ({soft.strategy})")
    if soft.multi_label:
        changed = ((soft.targets >= 0.5) != job.train.given).mean()
        print(f"{changed:.1%} of the labels of a class are turned into their opposite")
    else:
        changed = (soft.targets.argmax(1) != job.train.given).mean()
        print(f"{changed:.1%} put most weight on another class than the given one")


def train(run: RunFolder, asked: Asked, quiet: Quiet = False) -> None:
    """Train one model on a run's soft labels."""
    from softfold.files import shell_word
    from softfold.job.running import train_run

    made = train_run(run, quiet=quiet, **asked).model_file
    then = f"softfold predict {shell_word(run)} ITEMS"
    print(f"{made or 'trained (predict fits it again)'}: next: {then}")


def compare(run: RunFolder, asked: Asked, quiet: Quiet = False, json: Json = False) -> None:
    """Train with given and with soft labels and measure both."""
    from softfold.job.running import compare_run

    metrics = compare_run(run, quiet=quiet, **asked).metrics
    print_json(metrics) if json else print_comparison(metrics, run)


def predict(
    run: RunFolder,
    items: Annotated[
        str | None, Argument(help="image, folder, CSV or Parquet file", show_default=False)
    ] = None,
    features: Annotated[
        str | None,
        Option("--features", help="their features, where the run was made with such"),
    ] = None,
    out: Annotated[str | None, Option("--out", help=".csv or .parquet to write")] = None,
    json: Annotated[bool, Option("--json", help="print predictions as JSON")] = False,
    on_error: Annotated[
        str,
        Option("--on-error", help="images that cannot be read: stop or skip"),
    ] = "stop",
    tta: Annotated[
        int | None,
        Option(
            "--tta",
            help="average over so many views of an image: as it is, mirrored, crops (as the run "
            "did; 1: as it is)",
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        Option("--flip/--no-flip", help="mirror some of the views: not letters and digits"),
    ] = None,
    models: Annotated[
        str | None,
        Option("--models", help="of a run with fold models: all, given, soft or single (all)"),
    ] = None,
) -> None:
    """Predict new items with a run's better model, or its fold models."""
    from softfold.data.delimited import csv_text
    from softfold.errors import InputError
    from softfold.files import write_parquet, write_text
    from softfold.runs.predicting import load

    if out is not None and Path(out).suffix not in {".csv", ".parquet"}:
        raise InputError(f"--out {out}: predictions go to a .csv or .parquet file")
    model = load(run, models)
    how: Any = {"on_error": on_error, "tta": tta, "flip": flip}
    frame = model.predict(items, features, **how)
    if frame.attrs["views"] is not None:
        print(f"averaged over {frame.attrs['views']}", file=sys.stderr)
    for item, reason in frame.attrs.get("skipped", []):
        print(f"left out: {item}: {reason}", file=sys.stderr)
    if out is None and json:
        print_json(prediction_records(frame, model.vocab))
    elif out is None:
        print(csv_text(model.in_one_cell(frame)), end="")
    elif out.endswith(".parquet"):
        write_parquet(out, frame)
    else:
        write_text(out, csv_text(model.in_one_cell(frame)))
    if out is not None and json:
        print_json({"out": out, "items": len(frame)})
    elif out is not None:
        print(f"{out}: {len(frame):,} predictions")
