"""`softfold audit`: draw items at random, and say what those checked so far tell."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from softfold.cli.options import RunFolder


def audit(
    run: RunFolder,
    n: Annotated[int | None, typer.Option("-n", help="items to draw in all (100 at first)")] = None,
    width: Annotated[
        float,
        typer.Option(
            "--width", help="aim at an interval this wide: 0.04 is plus or minus 2 points"
        ),
    ] = 0.04,
    json: Annotated[bool, typer.Option("--json", help="print what is known as JSON")] = False,
) -> None:
    """Draw items at random whose checks tell the rate of wrong labels."""
    from dataclasses import asdict

    import numpy as np

    from softfold.decisions.audit import DRAWN, audit_state, draw, drawn
    from softfold.errors import count_of
    from softfold.files import shell_word
    from softfold.noise.audit import FEWEST
    from softfold.runs.folder import Run

    data = Run.open(run)
    items = data.train["item"].to_numpy(dtype=object)
    about = (items, data.vocab, data.codes("given"), np.nan_to_num(data.suspicion))
    audit_state(run, *about, width)  # a width that means nothing draws nothing
    before = len(drawn(run))
    if n is not None or not before:
        draw(run, items, DRAWN if n is None else n)
    state = audit_state(run, *about, width, data.suspicion_of)
    if json:
        print(json_module.dumps(asdict(state), indent=1))
        return
    part = f"{state.drawn:,} of {count_of(state.items, 'training item')}"
    print(f"{run}: {part} drawn at random, blind to suspicion; {state.checked:,} checked")
    if n is not None and n < before:
        print(f"-n {n:,}: {before:,} are drawn already, and stay drawn")
    if state.rate is not None:
        print(state.text())
    if 0 < state.checked < FEWEST:
        print(f"from {FEWEST} checked items on this takes the place of the estimate")
    if state.left:
        then = f"softfold review {shell_word(run)} --audit"
        print(f"next: {then}   ({state.left:,} to check, 30 a minute)")
    if state.more is None:
        return
    if state.more == 0:
        print(f"known to plus or minus {50 * width:g} points: enough")
        return
    line = f"to know it to plus or minus {50 * width:g} points check about {state.more:,} more"
    in_all = min(state.items, state.drawn + state.more - state.left - state.later)
    if in_all > state.drawn:
        line += f": softfold audit {shell_word(run)} -n {in_all}"
    print(line)
