"""docs/settings.md, made of the table of settings and the commands' own options.

`python -m softfold.cli.reference` prints it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

from softfold.cli.commands import COMMANDS
from softfold.runs.declaring import Setting
from softfold.runs.settings import settings_table, taken_by

_HEAD = """# Settings and commands

This page is made of the code: `make docs` writes it again. `softfold COMMAND --help` says the same.

## Settings of a job

What `softfold run` takes, and `softfold.run(labels, out, **settings)` in Python: `--given-weight`
is `given_weight` there. config.json in the run folder keeps them under `settings`. Where there is
no default, softfold chooses. `soften`, `train` and `compare` take a run; what is not given stays as
the run has it.

| option | value | default | what it is | commands |
| --- | --- | --- | --- | --- |
"""

_TYPES = {str: "text", int: "whole number", float: "number", bool: "yes or no"}


def reference() -> str:
    """The whole page, as Markdown."""
    rows = [_setting_row(each) for each in settings_table()]
    return _HEAD + "\n".join(rows) + "\n\n## Commands\n" + "".join(map(_command_part, COMMANDS))


def _setting_row(each: Setting) -> str:
    name = f"`{each.name.upper()}`" if each.positional else f"`{each.flags or each.option}`"
    default = "" if each.default is None or each.type is bool else f"`{each.default}`"
    commands = ", ".join(each.commands)
    return f"| {name} | {_TYPES[each.type]} | {default} | {each.help} | {commands} |"


def _command_part(command: Callable[..., None]) -> str:
    """A command: what it does, and the options that are its own."""
    lines = ["", f"### softfold {command.__name__}", "", inspect.getdoc(command) or ""]
    parameters = inspect.signature(command, eval_str=True).parameters
    rows = [_own_row(each) for name, each in parameters.items() if name != "asked"]
    if rows:
        lines += ["", "| | value | default | what it is |", "| --- | --- | --- | --- |", *rows]
    if "asked" in parameters:
        taken = [f"`{each.option}`" for each in taken_by(command.__name__) if not each.positional]
        lines += ["", f"Settings: {', '.join(taken)}."]
    return "\n".join(lines) + "\n"


def _own_row(parameter: inspect.Parameter) -> str:
    annotation, about = get_args(parameter.annotation)
    names = " ".join(_names(about)) or about.metavar or parameter.name.upper()
    given = parameter.default
    silent = given is inspect.Parameter.empty or given is None or annotation is bool
    default = "" if silent else f"`{given}`"
    kinds = [_TYPES[a] for a in (annotation, *get_args(annotation)) if a in _TYPES]
    kind = kinds[0] if kinds else "numbers"
    return f"| `{names.replace('|', ' or ')}` | {kind} | {default} | {about.help} |"


def _names(about: Any) -> Iterator[str]:
    """The names of an option as `typer.Option` holds them: the first one as its default."""
    for name in (about.default, *(about.param_decls or ())):
        if isinstance(name, str):
            yield name


if __name__ == "__main__":
    print(reference(), end="")
