"""`softfold` in processes of their own that start at once: what it imports is loaded already.

A process that has loaded the libraries, and nothing of softfold, forks for every command. What it
forks reads its arguments, writes, is killed and ends as `python -m softfold` does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARIES = (
    *("fasthtml", "filelock", "matplotlib.backends.backend_svg", "matplotlib.figure", "pandas"),
    *("PIL.Image", "pyarrow.dataset", "pyarrow.parquet", "pydantic", "safetensors.numpy"),
    *("scipy.optimize", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline", "torch"),
    *("typer.rich_utils", "uvicorn"),
)

_FORK = """
import atexit, gc, importlib, json, os, resource, runpy, sys, traceback
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
assert "softfold" not in sys.modules
gc.freeze()  # what is never looked at is never copied
answers = os.fdopen(os.dup(1), "w")

def command(arguments):
    sys.argv = ["softfold", *arguments]
    try:
        runpy.run_module("softfold", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 1

for line in sys.stdin:
    asked = json.loads(line)
    pid = os.fork()
    if pid == 0:
        for number, name in ((0, os.devnull), (1, asked["stdout"]), (2, asked["stderr"])):
            file = os.open(name, os.O_RDWR)
            os.dup2(file, number)
            os.close(file)
        if asked["memory"] is not None:
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            most = used + (asked["memory"] << 20)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        status = command(asked["arguments"])
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)  # as an interpreter ends, but for taking the libraries down
    print(pid, file=answers, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)
"""


class Commands:
    """Starts commands, one at a time."""

    def __init__(self) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", _FORK, *LIBRARIES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._files: dict[str, Path] = {}

    def start(self, *arguments: object, memory: int | None = None) -> int:
        """Begin a command; gives the number of its process. `wait` must follow.

        memory: MiB that it may take beyond the libraries that are loaded.
        """
        assert self.parent.stdin is not None
        with (
            tempfile.NamedTemporaryFile(delete=False) as stdout,
            tempfile.NamedTemporaryFile(delete=False) as stderr,
        ):
            files = {"stdout": stdout.name, "stderr": stderr.name}
        self._files = {name: Path(path) for name, path in files.items()}
        asked = files | {"arguments": [str(a) for a in arguments], "memory": memory}
        self.parent.stdin.write(json.dumps(asked))
        self.parent.stdin.write("\n")
        self.parent.stdin.flush()
        return self._number()

    def wait(self) -> tuple[int, str, str]:
        """The exit status of the command (-9 where it was killed), and what it printed and said."""
        status = self._number()
        printed, said = (file.read_text(encoding="utf-8") for file in self._files.values())
        for file in self._files.values():
            file.unlink()
        return status, printed, said

    def run(self, *arguments: object, memory: int | None = None) -> tuple[int, str, str]:
        """A command from its start to its end, as `wait` gives it."""
        self.start(*arguments, memory=memory)
        return self.wait()

    def close(self) -> None:
        self.parent.kill()
        self.parent.communicate()

    def _number(self) -> int:
        assert self.parent.stdout is not None
        line = self.parent.stdout.readline()
        assert line, f"the process that starts commands ended: {self.parent.poll()}"
        return int(line)
