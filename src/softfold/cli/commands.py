"""One function a command. What they call is imported inside, when it is needed."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from softfold.cli import options as o
from softfold.cli.audit import audit as audit_command

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Soft labels from out-of-fold predictions: noisy labels in; a better model, a ranked "
    "list of wrong labels and an honest measurement of the gain out.",
)


@app.callback(invoke_without_command=True)
def version(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if version:
        from softfold import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", help="run folder to write")] = "softfold-demo",
    quiet: o.Quiet = False,
) -> None:
    """The whole job on digits with 30% wrong labels."""
    from softfold.demo import run_demo

    _finished(run_demo(out, quiet=quiet), out, json=False)


@app.command()
def run(
    labels: o.Labels,
    images: o.Images = None,
    path: o.Path = None,
    label: o.Label = None,
    valid: o.Valid = None,
    truth: o.Truth = None,
    group: o.Group = None,
    holdout: o.Holdout = None,
    holdout_label: o.HoldoutLabel = None,
    noise: o.Noise = None,
    data: o.Data = None,
    decisions: o.Decisions = None,
    group_near_copies: o.GroupNearCopies = False,
    trainer: o.Trainer = None,
    oof_trainer: o.OofTrainer = None,
    arch: o.Arch = None,
    weights: o.Weights = None,
    size: o.Size = None,
    epochs: o.Epochs = None,
    folds: o.Folds = None,
    repeats: o.Repeats = None,
    strategy: o.Strategy = None,
    given_weight: o.GivenWeight = None,
    hard: o.Hard = False,
    threshold: o.Threshold = None,
    seeds: o.Seeds = None,
    seed: o.Seed = None,
    device: o.Device = None,
    engine: o.Engine = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="a whole protocol: post")] = None,
    out: o.Out = None,
    resume: o.Resume = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """The whole job: cross-fit, soften, train, compare, report."""
    preset = {}
    if recipe is not None:
        from softfold.job.recipes import get_recipe

        preset = get_recipe(recipe).SETTINGS
    settings = _settings(locals(), preset)
    out = out or _default_out(labels, recipe or noise)
    if recipe is not None:
        made = get_recipe(recipe).run(settings, out, resume=resume, quiet=quiet)
        print(json_module.dumps(made, indent=1) if json else get_recipe(recipe).summary(made))
        return
    from softfold.job.opening import finish, open_job

    _finished(finish(open_job(settings, out, resume=resume, quiet=quiet)), out, json=json)


@app.command()
def crossfit(
    labels: o.Labels,
    images: o.Images = None,
    path: o.Path = None,
    label: o.Label = None,
    valid: o.Valid = None,
    truth: o.Truth = None,
    group: o.Group = None,
    holdout: o.Holdout = None,
    holdout_label: o.HoldoutLabel = None,
    noise: o.Noise = None,
    data: o.Data = None,
    decisions: o.Decisions = None,
    group_near_copies: o.GroupNearCopies = False,
    oof_trainer: o.OofTrainer = None,
    arch: o.Arch = None,
    weights: o.Weights = None,
    size: o.Size = None,
    epochs: o.Epochs = None,
    folds: o.Folds = None,
    repeats: o.Repeats = None,
    strategy: o.Strategy = None,
    seed: o.Seed = None,
    device: o.Device = None,
    engine: o.Engine = None,
    out: o.Out = None,
    resume: o.Resume = False,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Only the out-of-fold predictions and the noise model."""
    from softfold.job.opening import open_job

    settings = _settings(locals(), seeds=1)
    out = out or _default_out(labels, noise)
    job = open_job(settings, out, resume=resume, quiet=quiet)
    job.crossfit(1)
    metrics = job.write_metrics()
    if json:
        print(json_module.dumps(metrics, indent=1))
        return
    rate, accuracy = metrics["noise"]["rate_estimate"], metrics["oof"]["accuracy_given"]
    print(f"out-of-fold predictions agree with {accuracy:.1%} of the given labels")
    print(f"estimated share of wrong labels: {rate:.1%}")
    print(f"next: softfold soften {out}; softfold compare {out}; softfold issues {out}")


@app.command()
def soften(
    run: o.RunFolder,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="auto, posterior, blend, gate")
    ] = None,
    given_weight: Annotated[
        float | None, typer.Option("--given-weight", help="weight of the given label in a blend")
    ] = None,
    hard: Annotated[bool | None, typer.Option("--hard/--probabilities", help="blend with")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="confidence from which gate blends")
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Make soft labels of a run's out-of-fold predictions."""
    from softfold.job.opening import reopen_job

    changes = {
        "strategy": strategy,
        "given_weight": given_weight,
        "hard": hard,
        "threshold": threshold,
    }
    job = reopen_job(run, quiet=quiet, **changes)
    soft = job.soften(1)[0]
    changed = (soft.targets.argmax(1) != job.table.train.given).mean()
    print(f"{Path(run) / 'soft_labels.safetensors'}: {len(soft):,} soft labels ({soft.strategy})")
    print(f"{changed:.1%} put most weight on another class than the given one")


@app.command()
def train(
    run: o.RunFolder,
    trainer: o.Trainer = None,
    arch: o.Arch = None,
    weights: o.Weights = None,
    size: o.Size = None,
    epochs: o.Epochs = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
) -> None:
    """Train one model on a run's soft labels."""
    from softfold.job.opening import reopen_job
    from softfold.runs.folder import Run

    soft = Run.open(run).soft_labels
    job = reopen_job(
        run, quiet=quiet, **_given(locals(), "trainer arch weights size epochs device")
    )
    job.train(soft)
    kept = job.run.has("model.safetensors")
    made = Path(run) / "model.safetensors" if kept else "trained (predict fits it again)"
    print(f"{made}: next: softfold predict {run} ITEMS")


@app.command()
def compare(
    run: o.RunFolder,
    trainer: o.Trainer = None,
    arch: o.Arch = None,
    weights: o.Weights = None,
    size: o.Size = None,
    epochs: o.Epochs = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="how many seeds")] = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
    json: o.Json = False,
) -> None:
    """Train with given and with soft labels and measure both."""
    from softfold.job.opening import finish, reopen_job

    names = "trainer arch weights size epochs seeds device"
    _finished(finish(reopen_job(run, quiet=quiet, **_given(locals(), names))), run, json=json)


@app.command()
def predict(
    run: o.RunFolder,
    items: Annotated[str, typer.Argument(help="image, folder, CSV or Parquet file")],
    out: Annotated[str | None, typer.Option("--out", help=".csv or .parquet to write")] = None,
) -> None:
    """Predict new items with a run's better model."""
    from softfold.errors import InputError
    from softfold.files import write_parquet, write_text
    from softfold.runs.predicting import load

    if out is not None and Path(out).suffix not in {".csv", ".parquet"}:
        raise InputError(f"--out {out}: predictions go to a .csv or .parquet file")
    frame = load(run).predict(items)
    if out is None:
        frame.to_csv(sys.stdout, index=False)
    elif out.endswith(".parquet"):
        write_parquet(out, frame)
    else:
        write_text(out, frame.to_csv(index=False))
    if out is not None:
        print(f"{out}: {len(frame):,} predictions")


@app.command()
def corrupt(
    labels: o.Labels,
    out: Annotated[str, typer.Option("--out", help=".csv or .parquet to write")],
    rate: Annotated[
        list[float] | None, typer.Option("--rate", help="fraction of wrong labels; repeatable")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="symmetric, pair, transition or instance")
    ] = "symmetric",
    transition: Annotated[
        str | None, typer.Option("--transition", help="K x K matrix: .npy, .csv or .json")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="N x D features: .npy, for kind instance")
    ] = None,
    corrupt_holdout: Annotated[
        bool, typer.Option("--corrupt-holdout", help="corrupt the hold-out's labels too")
    ] = False,
    images: o.Images = None,
    path: o.Path = None,
    label: o.Label = None,
    valid: o.Valid = None,
    truth: o.Truth = None,
    data: o.Data = None,
    seed: o.Seed = None,
) -> None:
    """Make label noise to order, exact to the item."""
    from softfold.data.corruption import corrupt_file

    table = _settings(locals()).read_labels()
    rates = rate or ([None] if transition is not None else [0.05, 0.25, 0.5])
    line = corrupt_file(
        table,
        out,
        rates,
        kind,
        features=features,
        transition=transition,
        holdout=corrupt_holdout,
        seed=seed or 0,
    )
    print(line)


@app.command()
def report(run: o.RunFolder) -> None:
    """Write the run's report, one HTML file."""
    from softfold.report import write_report

    print(write_report(run))


@app.command()
def issues(
    labels: Annotated[
        str, typer.Argument(metavar="RUN|LABELS", help="a run folder, or labels as for `run`")
    ],
    pred_probs: Annotated[
        str | None,
        typer.Option("--pred-probs", help="your own out-of-fold predictions: .npy, .csv, .parquet"),
    ] = None,
    given: Annotated[str | None, typer.Option("--given", help="only labels given as")] = None,
    suggested: Annotated[str | None, typer.Option("--suggested", help="only suggested as")] = None,
    min_suspicion: Annotated[
        float, typer.Option("--min-suspicion", help="only this suspicion and above")
    ] = 0.0,
    top: Annotated[int, typer.Option("--top", help="how many to show")] = 20,
    images: o.Images = None,
    path: o.Path = None,
    label: o.Label = None,
    valid: o.Valid = None,
    truth: o.Truth = None,
    group: o.Group = None,
    noise: o.Noise = None,
    data: o.Data = None,
    oof_trainer: o.OofTrainer = None,
    arch: o.Arch = None,
    weights: o.Weights = None,
    size: o.Size = None,
    folds: o.Folds = None,
    seed: o.Seed = None,
    device: o.Device = None,
    out: Annotated[
        str | None, typer.Option("--out", help="write the whole list: .csv or .parquet")
    ] = None,
    run_folder: Annotated[
        str | None, typer.Option("--run", help="run folder to write when LABELS are cross-fitted")
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """List the most suspicious labels, of a run or of labels."""
    import shutil

    from softfold.report.listing import predicted_issues, run_issues

    if out is not None and Path(out).suffix.lower() not in {".csv", ".parquet"}:
        _refuse(f"--out {out}: the list goes to a .csv or .parquet file")
    if (Path(labels) / "config.json").exists():
        listing = run_issues(labels)
    elif pred_probs is not None:
        listing = predicted_issues(_settings(locals()).read_labels(), pred_probs)
    else:
        from softfold.job.opening import open_job

        folder = run_folder or _default_out(labels, noise)
        job = open_job(_settings(locals(), seeds=1), folder, quiet=quiet)
        job.crossfit(1)
        job.write_metrics()
        listing = run_issues(folder)
        print(f"run folder: {folder}", file=sys.stderr)
    listing = listing.select(given=given, suggested=suggested, threshold=min_suspicion)
    if out is not None:
        listing.write(out)
    print(listing.text(top=top, width=shutil.get_terminal_size((100, 24)).columns))


@app.command()
def review(
    run: o.RunFolder,
    host: Annotated[str, typer.Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", help="port (the first free one)")] = None,
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="your name")] = None,
    token: Annotated[
        str | None, typer.Option("--token", help="what visitors must have; `auto` makes one")
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="the audit's items, without suggestion or suspicion")
    ] = False,
    browser: Annotated[bool, typer.Option("--browser", help="open the page")] = False,
) -> None:
    """Review suspicious labels on a local web page."""
    from softfold.review.server import serve

    serve(run, host, port, reviewer, token=token, audit=audit, open_browser=browser)


app.command()(audit_command)


@app.command()
def export(
    run: o.RunFolder,
    out: Annotated[str, typer.Option("--out", help="file or folder to write")],
    format: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet, decisions, cleanlab, ..."),
    ] = None,
) -> None:
    """Write the labels as people corrected them."""
    from softfold.review.export import export_labels

    print(export_labels(run, out, format))


@app.command()
def doctor(
    device: o.Device = None,
    cache: Annotated[bool, typer.Option("--cache", help="show what the cache holds")] = False,
    clear: Annotated[bool, typer.Option("--clear-cache", help="empty the cache")] = False,
) -> None:
    """Explain and measure what this machine is set up to do."""
    from softfold.machine import cache as cache_module

    if clear:
        freed = cache_module.clear_cache()
        print(f"freed {freed / 1e6:,.0f} MB in {cache_module.cache_dir()}")
        return
    if cache:
        info = cache_module.cache_info()
        for entry in info["entries"]:
            about = ", ".join(f"{k} {v}" for k, v in entry["settings"].items() if k != "version")
            size = entry["bytes"] / 1e6
            print(f"{entry['kind']}: {entry['rows']:,} rows, {size:,.1f} MB ({about})")
        used, limit = info["bytes"] / 1e9, info["limit"] / 1e9
        print(f"{used:.2f} of {limit:.0f} GB in {info['dir']} (SOFTFOLD_CACHE, SOFTFOLD_CACHE_GB)")
        return
    from softfold.machine.doctor import diagnose

    print(diagnose(device))


def _refuse(line: str) -> None:
    from softfold.errors import InputError

    raise InputError(line)


def _settings(values: dict[str, Any], preset: dict[str, Any] | None = None, **more: Any):
    """Settings out of a command's arguments; what is None keeps its preset or default."""
    from dataclasses import fields

    from softfold.runs.settings import Settings

    known = {f.name for f in fields(Settings)}
    asked = {k: v for k, v in values.items() if k in known and v is not None and v is not False}
    return Settings(**{**(preset or {}), **asked, **more})


def _given(values: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: values[name] for name in names.split()}


def _default_out(labels: str, noise: str | None) -> str:
    stem = Path(labels).resolve().stem if Path(labels).exists() else labels
    return f"runs/{stem}-{noise}" if noise else f"runs/{stem}"


def _finished(made: Any, out: str, *, json: bool) -> None:
    """Print what a finished run found and where to look."""
    from softfold.job.comparing import comparison_table

    metrics = made.metrics
    if json:
        print(json_module.dumps(metrics, indent=1))
        return
    noise = metrics["noise"]
    line = f"estimated share of wrong labels: {noise['rate_estimate']:.1%}"
    if "rate_truth" in noise:
        line += f" (in truth {noise['rate_truth']:.1%})"
    print(line)
    n, against = metrics["data"]["n_valid"], metrics["accuracy_against"]
    print(f"on {n:,} hold-out items, against their {against} labels:")
    print(comparison_table(metrics))
    print(f"took {metrics['seconds']['total']:.0f} s")
    print(f"look at {Path(out) / 'report.html'}; next: softfold review {out}")
