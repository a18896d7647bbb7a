"""The command line: parse, call, print. `softfold --help` loads neither torch nor pandas."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

_STOPPED = 130
"""Exit status of a command that was stopped: that of shells for Ctrl-C."""


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
        status = app(args=arguments, prog_name="softfold", standalone_mode=False)
        if status == _STOPPED:  # typer makes a status of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status)
    except InputError as error:
        _refuse(str(error))
    except BrokenPipeError:
        sys.exit(0)
    except (KeyboardInterrupt, typer.Abort):
        print(f"softfold: stopped; what is finished is kept{_again(arguments)}", file=sys.stderr)
        sys.exit(_STOPPED)
    except MemoryError:
        _refuse(f"not enough memory; free some, or give fewer items at a time{_again(arguments)}")
    except ImportError as error:
        if "failed to map segment" not in str(error) and "allocate memory" not in str(error):
            raise
        _refuse(f"not enough memory to load {_library(error)}; free some{_again(arguments)}")
    except OSError as error:
        _refuse(f"{_of_the_system(error)}{_again(arguments)}")
    except Exception as error:
        if _lacks_memory(error):
            _refuse(
                "not enough memory for a batch; use a smaller --size or --arch, or --device cpu"
                f"{_again(arguments)}"
            )
        # typer's own exceptions about the command line can say what is wrong with it
        if not hasattr(error, "format_message"):
            raise
        line, context = error.format_message(), getattr(error, "ctx", None)
        if line.startswith("Usage:"):  # no command at all: the help
            print(line)
            sys.exit(2)
        asked = "softfold" if context is None else context.command_path
        _refuse(f"{line.rstrip('.')} (see {asked} --help)")


def _again(arguments: list[str] | None) -> str:
    """The end of a line: how to go on, where a run was begun."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] not in (["run"], ["crossfit"], ["demo"]):
        return ""
    more = [] if "--resume" in given or given[0] == "demo" else ["--resume"]
    return f": go on with {shlex.join(['softfold', *given, *more])}"


def _of_the_system(error: OSError) -> str:
    """What the operating system refused, in words."""
    where = f"{error.filename}: " if error.filename else ""
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}no room on the disk; make some"
    return f"{where}{reason}"


def _library(error: ImportError) -> str:
    """What could not be loaded, by the name of its file."""
    return Path(str(error).split(":", maxsplit=1)[0]).name


def _lacks_memory(error: Exception) -> bool:
    """Whether torch said that memory ran out, on the processor or on a GPU."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "OutOfMemoryError" in names or "not enough memory" in str(error)


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
