"""Hostile requests to the review page: refused, never an error of the server, nothing is given away
and no decision changes but by a request that may change it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
from example_runs import synthetic_run
from fuzz.strategies import ODD_VALUES, other_json
from fuzz.watching import Shift, many, watched
from hypothesis import given
from hypothesis import strategies as st

from softfold.errors import InputError
from softfold.review.app import create_app

TOKEN = "a-token-of-21-letters"
SECRET = b"what stands in files that nobody serves"
N, K = 30, 3

GETS = (
    *("/", "/?audit=1", "/static/app.js", "/static/theme.css", "/static/icon.svg", "/api/audit"),
    *("/thumbnail/0", "/picture/3", "/api/run?me=ann", "/api/group/2", "/export.csv"),
    "/api/list?me=ann&state=open&given=1&suggested=2&least=0.1&most=0.9&similar=1&reviewer=bob",
    *(
        "/api/items?me=ann&rows=0,1,2",
        "/api/items?me=ann&rows=1&audit=1",
        "/api/changes?me=a&after=0",
    ),
)
POSTS = ("/api/strokes", "/api/strokes", "/api/strokes", "/api/audit")
PATHS = (
    *("/../secret.txt", "/static/../../secret.txt", "/static/%2e%2e%2fsecret.txt", "/secret.txt"),
    *("/static/..%5c..%5csecret.txt", "//secret.txt", "/static//etc/passwd", "/run/notes.txt"),
    *("/static/%00.js", "/%", "/static/app.js/", "/picture/-1", "/picture/99999999999999999999"),
    *("/thumbnail/1e3", "/picture/３", "/api/group/1000", "/docs", "/openapi.json", "/ws", ""),
    *("/api/items?rows=" + "1," * 5000, "/api/items?me=a&rows=１", "/?token=a", "/static/desk.py"),
    *("/api/list?me=a&least=nan&most=inf", "/api/list?me=a&given=1e400&suggested=-9", "*"),
    *("/api/list?me=a&state=__class__", "/api/run?me=%00", "/api/run?me=" + "a" * 99_999),
    *("/api/changes?me=a&after=-1", "/api/changes?me=a&after=1e14", "/static/{name}.{extension}"),
    *("http://evil.example/", "/api/run?me=%ff%fe", "/api/run?me=\ud800", "/config.json", "/run"),
)
OURS = ("localhost", "127.0.0.1:5000", "[::1]:5000", "LOCALHOST:1", "127.9.9.9")
NOT_OURS = (
    *(
        "evil.example",
        "",
        "localhost@evil.example",
        "127.0.0.1.evil.example",
        "[",
        "[::1",
        "2130706433",
    ),
    *("localhost.evil", "\xff\xfe", "a" * 9999, "localhost:5000:6000@", "0.0.0.0", "10.0.0.1", "/"),
)
STROKES: dict[str, Any] = {
    "me": "ann",
    "strokes": [
        {"stroke": "stroke-0001", "action": "keep", "rows": [1, 2]},
        {"stroke": "stroke-0002", "action": "class", "rows": [3], "label": 1},
        {"stroke": "stroke-0003", "action": "undo", "audit": True},
    ],
}


@dataclass
class Sent:
    """A request, and whether it may change what is decided."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    more: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    may_change: bool = False
    token: bool = False


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A request of the page with 0 to 3 things wrong."""
    token = draw(st.booleans())
    sent = Sent(
        "GET", draw(st.sampled_from(GETS)), {"host": draw(st.sampled_from(OURS))}, token=token
    )
    if token:
        sent.headers["cookie"] = f"softfold_token={TOKEN}"
    if draw(st.booleans()):
        sent.method, sent.target, sent.may_change = "POST", draw(st.sampled_from(POSTS)), True
        sent.headers |= {"content-type": "application/json", "x-softfold": "1"}
        value: Any = {"n": draw(st.integers(0, 12))}
        if sent.target == "/api/strokes":
            value = json.loads(json.dumps(STROKES))
            for stroke in value["strokes"]:
                stroke["stroke"] = f"{stroke['stroke']}-{draw(st.integers(0, 10**6))}"
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            value = draw(other_json(value))
        sent.body = json.dumps(value).encode()
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        _spoil(draw, sent)
    return sent


def _spoil(draw: st.DrawFn, sent: Sent) -> None:
    what = draw(
        st.sampled_from(
            ["method", "path", "path", "query", "host", "origin", "site", "plain", "form", "cookie"]
            + ["body", "long", "deep", "header", "twice", "length", "encoded"]
        )
    )
    if what == "method":
        sent.method = draw(
            st.sampled_from(["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "X", "get"])
        )
        sent.may_change = False
    elif what == "path":
        sent.target = draw(st.sampled_from(PATHS))
        sent.may_change = False
    elif what == "query":
        name = draw(
            st.sampled_from(["me", "rows", "after", "least", "given", "state", "audit", "token"])
        )
        odd = draw(st.one_of(st.sampled_from(ODD_VALUES), st.text(max_size=5)))
        sent.target += ("&" if "?" in sent.target else "?") + f"{name}={odd}"
    elif what == "encoded":
        at = draw(st.integers(1, max(1, len(sent.target))))
        sent.target = sent.target[:at] + draw(st.sampled_from(["%2f", "%25", "%00", "%ff", "%0a"]))
        sent.may_change &= "?" in sent.target[:at]
    elif what == "host":
        sent.headers["host"] = draw(st.sampled_from(NOT_OURS))
        sent.may_change = False
    elif what == "origin":
        sent.headers["origin"] = draw(
            st.sampled_from(
                ["http://evil.example", "null", "", "http://[", "http://localhost.evil"]
            )
        )
        sent.may_change = False
    elif what == "site":
        sent.headers["sec-fetch-site"] = draw(st.sampled_from(["cross-site", "same-site", "", "x"]))
        sent.may_change = False
    elif what == "plain":
        sent.headers.pop("x-softfold", None)
        sent.may_change = False
    elif what == "form":
        sent.headers["content-type"] = draw(
            st.sampled_from(
                ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"]
            )
        )
        sent.may_change = False
    elif what == "cookie":
        sent.headers["cookie"] = draw(
            st.sampled_from(["softfold_token=x", "a=b;;=", '"', "softfold_token=\xff", "x" * 9999])
        )
        sent.may_change &= not sent.token
    elif what == "body":
        sent.body = draw(st.binary(max_size=20)) + draw(st.sampled_from([b"", sent.body]))
    elif what == "long":
        sent.body = b'{"me": "' + b"a" * draw(st.sampled_from([99_999, 1 << 20])) + b'"}'
    elif what == "deep":
        sent.body = draw(st.sampled_from([b"[", b'{"strokes":', b'{"a":'])) * 100_000
    elif what == "header":
        name = draw(
            st.sampled_from([b"x-softfold-", b"accept", b"range", b"x-forwarded-for", b"\xff"])
        )
        sent.more.append((name, draw(st.binary(max_size=9))))
    elif what == "twice":
        name = draw(st.sampled_from(["host", "origin", "cookie", "sec-fetch-site"]))
        sent.more.append((name.encode(), b"evil.example"))
        sent.may_change &= name == "cookie" and not sent.token
    elif what == "length":
        sent.headers["content-length"] = draw(
            st.sampled_from(["", "-1", "x", "9" * 30, "0", "1e3"])
        )


class Pages:
    """Both applications of one run, with a token and without, and what is decided."""

    def __init__(self, folder) -> None:
        self.folder = folder
        run = synthetic_run(folder / "run", N, K)
        for place in (folder / "secret.txt", run / "notes.txt"):
            place.write_bytes(SECRET)
        self.apps = {False: create_app(run), True: create_app(run, token=TOKEN, host="127.0.0.1")}
        self.log = sqlite3.connect(run / "decisions.sqlite", isolation_level=None)
        self.runner = asyncio.Runner()

    def decided(self) -> tuple[int, int]:
        counts = (self.log.execute(f"SELECT count(*) FROM {t}") for t in ("decisions", "audit"))
        return tuple(c.fetchone()[0] for c in counts)

    def answer(self, sent: Sent) -> tuple[int, dict[bytes, bytes], bytes]:
        """As uvicorn calls the application: status, headers, body."""
        headers = {"content-length": str(len(sent.body)), **sent.headers}
        raw = [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()]
        target = sent.target.encode("utf-8", "replace")
        path, _, query = target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": sent.method,
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [*raw, *sent.more],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 5000),
        }
        got: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent.body, "more_body": False}

        async def send(message: Any) -> None:
            got.append(message)

        self.runner.run(self.apps[sent.token](scope, receive, send))
        start = next(m for m in got if m["type"] == "http.response.start")
        body = b"".join(m.get("body", b"") for m in got if m["type"] == "http.response.body")
        return start["status"], dict(start["headers"]), body


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    pages = Pages(tmp_path_factory.mktemp("requests"))
    yield pages
    pages.runner.close()
    pages.log.close()


@given(sent=requests())
@many("requests")
def test_a_hostile_request_is_refused_and_changes_nothing(pages, sent):
    def call():
        before = pages.decided()
        status, headers, body = pages.answer(sent)
        changed = pages.decided() != before
        assert status < 500, f"{status}: {body[:200]!r}"
        assert b"content-security-policy" in headers
        assert not any(b"\n" in v or b"\r" in v for v in headers.values())
        if changed and (status != 200 or not sent.may_change):
            raise Shift(f"{status} to {sent}, and what is decided has changed")
        if SECRET in body or b"root:" in body:
            raise Shift(f"a file was served to {sent}")
        if status >= 400:
            raise InputError(f"{status}")

    watched("requests", call, told=repr(sent)[:500])


def test_what_the_page_itself_sends_is_taken(pages):
    """The requests that the others are made from are good ones."""
    for target in GETS:
        assert pages.answer(Sent("GET", target, {"host": "localhost"}))[0] == 200, target
    headers = {"host": "localhost", "content-type": "application/json", "x-softfold": "1"}
    before = pages.decided()[0]
    sent = Sent("POST", "/api/strokes", headers, body=json.dumps(STROKES).encode())
    assert pages.answer(sent)[0] == 200
    assert pages.decided()[0] == before + 3
