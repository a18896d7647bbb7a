"""The command line: parse, call, print. `softfold --help` loads neither torch nor pandas."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """Run one command; bad input is one clear line and exit status 2."""
    try:
        from softfold.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("softfold: typer is not installed: pip install 'softfold[cli]'")
    from softfold.errors import InputError

    try:
        app(args=arguments, prog_name="softfold")
    except InputError as error:
        print(f"softfold: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except KeyboardInterrupt:
        print("softfold: stopped; what is finished is kept (--resume goes on)", file=sys.stderr)
        sys.exit(130)
