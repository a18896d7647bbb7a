"""The command line: parse, call, print. `softfold --help` loads neither torch nor pandas."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command; bad input is one clear line and exit status 2."""
    # before torch starts its threads: see softfold.machine.runtime.before_torch
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import typer

        from softfold.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("softfold: typer is not installed: pip install 'softfold[cli]'")
    from softfold.errors import InputError

    warnings.showwarning = _show_warning
    try:
        sys.exit(app(args=arguments, prog_name="softfold", standalone_mode=False))
    except InputError as error:
        _refuse(str(error))
    except BrokenPipeError:
        sys.exit(0)
    except (KeyboardInterrupt, typer.Abort):
        print("softfold: stopped; what is finished is kept (--resume goes on)", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        # typer's own exceptions about the command line can say what is wrong with it
        if not hasattr(error, "format_message"):
            raise
        line, context = error.format_message(), getattr(error, "ctx", None)
        if line.startswith("Usage:"):  # no command at all: the help
            print(line)
            sys.exit(2)
        asked = "softfold" if context is None else context.command_path
        _refuse(f"{line.rstrip('.')} (see {asked} --help)")


def _show_warning(message: Any, category: Any, filename: str, *rest: Any, **more: Any) -> None:
    """softfold's own warnings as one line; libraries' notes to their developers not at all."""
    if Path(filename).is_relative_to(Path(__file__).parents[1]):
        print(f"softfold: {' '.join(str(message).split())}", file=sys.stderr)
    elif "PIL" in Path(filename).parts:
        return  # of an image's tags or size; softfold says itself what it cannot read
    elif not issubclass(category, (DeprecationWarning, FutureWarning)):
        print(f"{Path(filename).name}: {message}", file=sys.stderr)


def _refuse(line: str) -> NoReturn:
    print(f"softfold: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)
