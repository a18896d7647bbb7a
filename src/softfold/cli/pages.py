"""Commands that show a run to people: the report and the review page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from softfold.cli.options import MovedImages, RunFolder


def report(run: RunFolder, images: MovedImages = None) -> None:
    """Write the run's report, one HTML file."""
    from softfold.report.page import refuse_without_pictures, write_report
    from softfold.runs.folder import Run
    from softfold.runs.lock import locked

    with locked(Run.open(run, several=True).path):
        refuse_without_pictures(run, images)
        print(write_report(run, images=images))


def verify(run: RunFolder) -> None:
    """Tell whether everything in a run fits together."""
    from softfold.errors import InputError, count_of
    from softfold.runs.verifying import verify as look

    found = look(run)
    for line in found:
        print(line)
    if found:
        things = count_of(len(found), "thing does", "things do")
        raise InputError(
            f"{run}: {things} not fit; softfold run with --resume makes again what it can"
        )
    if not (Path(run) / "metrics.json").is_file():
        print(
            f"{run}: what is there fits together; nothing is measured yet: the job was stopped "
            "(softfold run with --resume goes on), or only steps of it were asked for"
        )
        return
    print(f"{run}: everything fits together")


def review(
    run: RunFolder,
    host: Annotated[str, Option("--host", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int | None, Option("--port", help="port (the first free one)")] = None,
    reviewer: Annotated[str | None, Option("--reviewer", help="your name")] = None,
    token: Annotated[
        str | None, Option("--token", help="what visitors must have; `auto` makes one")
    ] = None,
    audit: Annotated[
        bool, Option("--audit", help="the audit's items, without suggestion or suspicion")
    ] = False,
    images: MovedImages = None,
    browser: Annotated[bool, Option("--browser", help="open the page")] = False,
) -> None:
    """Review suspicious labels on a local web page."""
    from softfold.review.server import serve

    serve(run, host, port, reviewer, token=token, audit=audit, images=images, open_browser=browser)
