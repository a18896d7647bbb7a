"""Commands about labels: make noise, list what is suspicious, write what people corrected."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from softfold.cli.options import Asked, MovedImages, Quiet, RunFolder
from softfold.cli.output import default_out, print_json


def corrupt(
    asked: Asked,
    out: Annotated[str, Option("--out", help=".csv or .parquet to write")],
    rate: Annotated[
        list[float] | None, Option("--rate", help="fraction of wrong labels; repeatable")
    ] = None,
    kind: Annotated[
        str, Option("--kind", help="symmetric, pair, transition or instance")
    ] = "symmetric",
    transition: Annotated[
        str | None, Option("--transition", help="K x K matrix: .npy, .csv or .json")
    ] = None,
    features: Annotated[
        str | None, Option("--features", help="N x D features: .npy, for kind instance")
    ] = None,
    corrupt_holdout: Annotated[
        bool, Option("--corrupt-holdout", help="corrupt the hold-out's labels too")
    ] = False,
) -> None:
    """Make label noise to order, exact to the item."""
    from softfold.data.corruption import corrupt_file
    from softfold.runs.settings import Settings

    settings = Settings(**asked)
    usual: list[float | None] = [None] if transition is not None else [0.05, 0.25, 0.5]
    rates = list(rate) if rate else usual
    line = corrupt_file(
        settings.read_labels(),
        out,
        rates,
        kind,
        features=features,
        transition=transition,
        holdout=corrupt_holdout,
        seed=settings.seed,
    )
    print(line)


def features(
    asked: Asked,
    out: Annotated[str, Option("--out", help=".parquet, .safetensors or .npy to write")],
    quiet: Quiet = False,
) -> None:
    """Write what a pretrained backbone sees in images: features."""
    from softfold.job.featuring import write_features
    from softfold.runs.settings import Settings

    print(write_features(Settings(**asked), out, quiet=quiet))


def issues(
    labels: Annotated[
        str, Argument(metavar="RUN|LABELS", help="a run folder, or labels as for `run`")
    ],
    asked: Asked,
    pred_probs: Annotated[
        str | None,
        Option("--pred-probs", help="your own out-of-fold predictions: .npy, .csv, .parquet"),
    ] = None,
    given: Annotated[str | None, Option("--given", help="only labels given as")] = None,
    suggested: Annotated[str | None, Option("--suggested", help="only suggested as")] = None,
    min_suspicion: Annotated[
        float, Option("--min-suspicion", help="only this suspicion and above")
    ] = 0.0,
    top: Annotated[int, Option("--top", help="how many to show")] = 20,
    out: Annotated[
        str | None, Option("--out", help="write the whole list: .csv or .parquet")
    ] = None,
    run_folder: Annotated[
        str | None, Option("--run", help="run folder to write when LABELS are cross-fitted")
    ] = None,
    quiet: Quiet = False,
    json: Annotated[bool, Option("--json", help="print the list as JSON")] = False,
) -> None:
    """List the most suspicious labels, of a run or of labels."""
    from softfold.errors import InputError
    from softfold.job.several import several_of_run
    from softfold.report.listing import predicted_issues, run_issues
    from softfold.runs.settings import Settings

    if out is not None and Path(out).suffix.lower() not in {".csv", ".parquet"}:
        raise InputError(f"--out {out}: the list goes to a .csv or .parquet file")
    if top < 0:
        raise InputError(f"--top {top}: it is 0 or more")
    if not 0 <= min_suspicion <= 1:
        raise InputError(f"--min-suspicion {min_suspicion:g}: a suspicion is 0 to 1")
    is_run = (Path(labels) / "config.json").exists()
    if is_run and (found := several_of_run(labels)) is not None:
        if pred_probs or given or suggested:
            raise InputError("--pred-probs, --given and --suggested are for one label an item")
        print_several(found.above(min_suspicion), out, top, json)
        return
    if asked.get("label_delim") is not None:
        from softfold.job.several import several_issues

        if pred_probs or given or suggested or run_folder:
            raise InputError(
                "--label-delim does not go with --pred-probs, --given, --suggested and --run: "
                "softfold.multilabel.rank_issues does it in Python"
            )
        several = several_issues(Settings(labels=labels, **asked), quiet=quiet)
        print_several(several.above(min_suspicion), out, top, json)
        return
    if is_run:
        listing = run_issues(labels)
    elif pred_probs is not None:
        if asked.get("on_error") == "skip":
            raise InputError("--on-error skip does not go with --pred-probs, a row of it an item")
        table = Settings(labels=labels, **asked).read_labels(keys_are_enough=True)
        listing = predicted_issues(table, pred_probs)
    else:
        from softfold.files import shell_word
        from softfold.job.opening import has_finished_parts
        from softfold.job.running import crossfit_settings
        from softfold.runs.folder import Run

        settings = Settings(labels=labels, **asked, seeds=1)
        folder = run_folder or default_out(labels, settings.noise)
        began = has_finished_parts(folder)
        if began and Run(folder).has("items.parquet"):
            raise InputError(
                f"{folder}: a run is there already: softfold issues {shell_word(folder)} lists its "
                "labels, --run DIR makes another"
            )
        # all labels are listed: nothing is compared here that a hold-out would measure
        crossfit_settings(settings, folder, resume=began, quiet=quiet, measured=False)
        listing = run_issues(folder)
        print(f"run folder: {folder}", file=sys.stderr)
    listing = listing.select(given=given, suggested=suggested, threshold=min_suspicion)
    if out is not None:
        listing.write(out)
    if json:
        print_json(listing.to_json(top))
        return
    # what is piped goes to a program, or to a file that is read elsewhere: nothing is cut
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None
    print(listing.text(top=top, width=width))


def print_several(listing: Any, out: str | None, top: int, json: bool) -> None:
    """Write and print a list by item and class."""
    if out is not None:
        listing.write(out)
    print_json(listing.to_json(top)) if json else print(listing.text(top))


def export(
    run: RunFolder,
    out: Annotated[str, Option("--out", help="file or folder to write")],
    format: Annotated[
        str | None, Option("--format", help="csv, parquet, cleanlab, fiftyone or labelstudio")
    ] = None,
    images: MovedImages = None,
) -> None:
    """Write the labels as people corrected them."""
    from softfold.review.export import export_labels

    print(export_labels(run, out, format, images=images))
