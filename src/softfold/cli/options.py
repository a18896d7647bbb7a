"""The options of commands: those of the settings, made of their table, and what else is shared.

A command is a function. Where it has a parameter `asked: Asked`, the command line puts there the
options of all settings that name the command (`softfold.runs.settings`). Its other parameters
are options of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from typer import Argument, Option

from softfold.runs.declaring import Setting
from softfold.runs.settings import REOPENING, taken_by

Asked = dict[str, Any]
"""The settings that were given on the command line, by name."""


RunFolder = Annotated[str, Argument(metavar="RUN", help="a run folder", show_default=False)]
Out = Annotated[str | None, Option("--out", help="run folder to write")]
Resume = Annotated[bool, Option("--resume", help="go on with the run that is in --out")]
MovedImages = Annotated[
    str | None, Option("--images", help="the folder of the run's images, where it was moved")
]
Quiet = Annotated[bool, Option("--quiet", help="no progress")]
Profile = Annotated[
    bool,
    Option("--profile", help="write where the seconds went, by function: profile.json, report"),
]
Config = Annotated[
    str | None,
    Option(
        "--config",
        help="settings to begin with: a run's config.json, or your own .toml or .json; options win",
    ),
]
Json = Annotated[bool, Option("--json", help="print metrics.json")]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: `asked` replaced by one option a setting."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    if own.pop("asked", None) is None:
        return command
    settings = taken_by(command.__name__)

    def call(**values: Any) -> None:
        asked = {each.name: values.pop(each.name) for each in settings}
        command(asked={k: v for k, v in asked.items() if v is not None}, **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    optional = "config" in own  # which may name the labels
    parameters = [_parameter(each, command.__name__, optional) for each in settings]
    parameters += [each.replace(kind=keyword) for each in own.values()]
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _parameter(setting: Setting, command: str, optional: bool) -> inspect.Parameter:
    """A setting as a parameter for typer. Its default is None, "not given".

    optional: a positional one may be left out.
    """
    kind: Any = setting.type
    if setting.positional:
        about = Argument(help=setting.help, show_default=False)
        annotation: Any = Annotated[kind | None if optional else kind, about]
        default: Any = None if optional else inspect.Parameter.empty
    else:
        help = setting.help
        if (
            setting.default is not None
            and setting.default is not False
            and command not in REOPENING
        ):
            help += f" ({setting.default})"
        names = setting.flags or setting.option
        annotation = Annotated[kind | None, Option(names, help=help)]
        default = None
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
