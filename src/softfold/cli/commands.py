"""The table of commands. A new one is one function in a file of this folder and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from softfold.cli import jobs, labels, machine, pages
from softfold.cli.audit import audit
from softfold.cli.options import with_settings

COMMANDS: tuple[Callable[..., None], ...] = (
    jobs.demo,
    jobs.run,
    jobs.crossfit,
    jobs.soften,
    jobs.train,
    jobs.compare,
    jobs.predict,
    labels.corrupt,
    labels.features,
    pages.report,
    pages.verify,
    labels.issues,
    audit,
    pages.review,
    labels.export,
    machine.doctor,
)
"""In the order of `softfold --help`. A command's name is its function's."""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Soft labels from out-of-fold predictions: noisy labels in; a better model, a ranked "
    "list of wrong labels and an honest measurement of the gain out.",
)


@app.callback(invoke_without_command=True)
def version(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the versions")] = False,
) -> None:
    if version:
        from softfold.job.config import machine, versions

        found = versions()
        print(f"softfold {found.pop('softfold')} ({machine()})")
        print(", ".join(f"{package} {number}" for package, number in found.items()))
        raise typer.Exit


for _command in COMMANDS:
    app.command()(with_settings(_command))
