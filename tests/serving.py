"""A review server of its own process on a free port, for tests and the benchmark."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = """
import sys, json
from softfold.review import serve
run, port, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
serve(run, port=port, reviewer="ann", say=lambda line: print(line, flush=True), **options)
"""
POST = {"Content-Type": "application/json", "X-Softfold": "1"}


NURSERY = """
import json, os, signal, sys
import softfold.review.app, uvicorn
from softfold.review import serve
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        say = lambda line: print(line, flush=True)
        serve(sys.argv[1], port=int(line), reviewer="ann", say=say)
"""


class Nursery:
    """Starts servers of one run in a fraction of a second: their imports are done already."""

    def __init__(self, run: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = 0

    def start(self, port: int = 0) -> Server:
        """A new server, listening when this returns."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()
        self.pid = int(self.process.stdout.readline())
        server = Server(Path())
        server.port = int(re.findall(r":(\d+)/", self.process.stdout.readline())[0])
        server.url = f"http://127.0.0.1:{server.port}/"
        return server

    def kill(self) -> None:
        """kill -9 of the server started last."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Server:
    """`with Server(run) as server:` serves until the block ends."""

    def __init__(self, run: Path, port: int = 0, **options: Any) -> None:
        self.run, self.port, self.options = run, port, options

    def __enter__(self) -> Server:
        self.start()
        return self

    def start(self) -> None:
        arguments = [str(self.run), str(self.port), json.dumps(self.options)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.search(r"http://[^/]*:(\d+)/\S*", self.said)
        assert found, self.said + self.process.stdout.read()
        self.url, self.port = found[0], int(found[1])

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=20)

    def ask(
        self,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, sent exactly as written: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            sent = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            method = method or ("GET" if body is None else "POST")
            given = dict(headers or {}) if headers is not None or body is None else dict(POST)
            connection.putrequest(method, path, skip_host="Host" in given)
            for key, value in given.items():
                connection.putheader(key, value)
            if sent is not None:
                connection.putheader("Content-Length", str(len(sent)))
            connection.endheaders(sent)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content
        finally:
            connection.close()

    def json(self, path: str, body: Any = None) -> Any:
        status, _, content = self.ask(path, body)
        assert status == 200, content
        return json.loads(content)
