"""The review page's routes: one page, its own scripts and pictures, and JSON."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fasthtml.core import FastHTML
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from softfold.decisions.log import LogUnavailable
from softfold.errors import InputError
from softfold.report import theme
from softfold.review.audit_page import audit_page
from softfold.review.desk import STATES, Desk, Filter
from softfold.review.guard import Guard, check_binding
from softfold.review.page import page
from softfold.review.questions import Questions

STATIC = {
    **{
        f"{name}.js": "text/javascript; charset=utf-8"
        for name in ("app", "audit", "grid", "parts", "picker", "strokes")
    },
    "audit.css": "text/css; charset=utf-8",
    "review.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "nothing.svg": "image/svg+xml",
}
THUMBNAIL, PICTURE = 220, 720
CACHED = 16_384
MOST_DESCRIBED = 200
MOST_STROKES = 100
MOST_DRAWN = 10_000
MAX_NAME = 40


def create_app(
    run_dir: str | Path,
    *,
    reviewer: str = "reviewer",
    host: str = "127.0.0.1",
    token: str | None = None,
    names: tuple[str, ...] = (),
    images: str | Path | None = None,
) -> Guard:
    """The ASGI application that reviews one run.

    Args:
        run_dir: the run folder; the log of decisions is written into it, nothing else.
        reviewer: the name that the page proposes.
        host: the address it will be bound to; it decides which Host headers are answered.
        token: what every request must carry; needed where `host` is not a loopback address.
        names: further host names that are this server's, such as that of a proxy.
        images: the folder in which image files are now, where it was moved.

    Raises:
        InputError: no run folder there, or an open address without a token.
    """
    check_binding(host, token)
    desk = Desk(run_dir, images)
    return Guard(_routes(desk, _name(reviewer)), host, token, names)


def _routes(desk: Desk, reviewer: str) -> FastHTML:
    app = FastHTML(default_hdrs=False, secret_key=secrets.token_hex(), sess_cls=None)
    _serve_pages(app, desk)
    _serve_pictures(app, desk)
    _serve_run(app, desk, reviewer)
    _serve_items(app, desk)
    _serve_audit(app, desk)
    _serve_decisions(app, desk)
    app.add_exception_handler(InputError, _explain)
    app.add_exception_handler(RecursionError, _explain)  # a body of brackets only
    return app


def _serve_pages(app: FastHTML, desk: Desk) -> None:
    """The page, its scripts and colours, and the corrected labels as a file."""

    @app.get("/")
    def index(req: Request) -> Response:
        about = (desk.run.name, desk.looks.kind, desk.looks.missing)
        if desk.asked.classes:
            return HTMLResponse(page(*about, yes_or_no=True))
        return HTMLResponse((audit_page if req.query_params.get("audit") == "1" else page)(*about))

    @app.get("/static/theme.css")
    def colours() -> Response:
        return Response(theme.variables(), media_type="text/css; charset=utf-8")

    @app.get("/static/{name}.{extension}")
    def asset(name: str, extension: str) -> Response:
        known = f"{name}.{extension}"
        if known not in STATIC:
            return Response("not found", status_code=404)
        return Response(_static(known), media_type=STATIC[known])

    @app.get("/export.csv")
    def export() -> Response:
        from softfold.review.export import corrected_csv

        text = corrected_csv(desk.run)
        place = {"Content-Disposition": 'attachment; filename="corrected-labels.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=place)


def _serve_pictures(app: FastHTML, desk: Desk) -> None:
    """What items look like, small and large."""

    @lru_cache(maxsize=CACHED)
    def thumbnail(row: int) -> bytes | None:
        return desk.picture(row, THUMBNAIL)

    @app.get("/thumbnail/{row:int}")
    def small(row: int) -> Response:
        return _picture(thumbnail(row) if row < len(desk.item) else None)

    @app.get("/picture/{row:int}")
    def large(row: int) -> Response:
        if row >= len(desk.item):
            return _picture(None)
        return _picture(desk.picture(row, PICTURE))


def _serve_run(app: FastHTML, desk: Desk, reviewer: str) -> None:
    """What the run is, and how far its review has come."""
    made = f"{desk.run.path.resolve()} {(desk.run.path / 'items.parquet').stat().st_mtime_ns}"
    version = hashlib.sha256(made.encode()).hexdigest()[:12]

    @app.get("/api/run")
    def about(req: Request) -> Response:
        me = _name(req.query_params.get("me", reviewer))
        desk.refresh()
        return JSONResponse(
            {
                "name": desk.run.name,
                "version": version,
                "kind": desk.looks.kind,
                "vocab": desk.asked.vocab,
                "names": desk.asked.titles,
                "classes": desk.asked.classes,
                "me": me,
                "reviewers": sorted(desk.reviewers),
                "progress": desk.progress(me),
                "agreement": desk.agreement(),
            }
        )


def _serve_items(app: FastHTML, desk: Desk) -> None:
    """The items of a list, and what the page shows of each."""

    @app.get("/api/list")
    def listing(req: Request) -> Response:
        wanted, me = _filter(req, desk.asked), _me(req)
        desk.refresh()
        rows, total = desk.listing(wanted, me)
        groups = desk.groups[rows].tolist() if wanted.similar else None
        return JSONResponse({"rows": rows, "total": total, "groups": groups})

    @app.get("/api/items")
    def items(req: Request) -> Response:
        rows = _rows(req.query_params.get("rows", ""), len(desk.item))
        me, blind = _me(req), req.query_params.get("audit") == "1"
        if blind:
            return JSONResponse([desk.describe_blind(r, me) for r in rows])
        return JSONResponse([{**desk.describe(r), "opinion": desk.opinion(r, me)} for r in rows])

    @app.get("/api/group/{row:int}")
    def group(row: int) -> Response:
        if row >= len(desk.item):
            return Response("not found", status_code=404)
        return JSONResponse(desk.group(row))


def _serve_audit(app: FastHTML, desk: Desk) -> None:
    """The items of the audit, and more of them."""

    @app.get("/api/audit")
    def audit() -> Response:
        desk.refresh()
        return JSONResponse(_audit(desk))

    @app.post("/api/audit")
    async def draw_more(req: Request) -> Response:
        sent = await _sent(req)
        n = sent.get("n") if isinstance(sent, dict) else None
        if type(n) is not int or not 1 <= n <= MOST_DRAWN:
            raise InputError(f"an audit draws 1 to {MOST_DRAWN:,} items from the page")
        await run_in_threadpool(desk.draw, n)
        return JSONResponse(_audit(desk))


def _serve_decisions(app: FastHTML, desk: Desk) -> None:
    """Decisions as they are made, here and by others."""

    @app.get("/api/changes")
    def changes(req: Request) -> Response:
        me, after = _me(req), _number(req, "after", 0)
        rows = desk.changes(int(after))
        return JSONResponse(
            {
                "opinions": {row: desk.opinion(row, me) for row in rows},
                "progress": desk.progress(me),
                "agreement": desk.agreement(),
                "reviewers": sorted(desk.reviewers),
            }
        )

    @app.post("/api/strokes")
    async def strokes(req: Request) -> Response:
        return await run_in_threadpool(strike, await _sent(req))

    def strike(sent: Any) -> Response:
        if not isinstance(sent, dict) or not isinstance(sent.get("strokes"), list):
            raise InputError("a list of strokes is needed")
        listed = sent["strokes"]
        if len(listed) > MOST_STROKES or not all(isinstance(s, dict) for s in listed):
            raise InputError(f"at most {MOST_STROKES} strokes at once")
        me = _name(sent.get("me"))
        rows = desk.strike(me, listed)
        opinions = {row: desk.opinion(row, me) for row in rows}
        return JSONResponse({"opinions": opinions, "progress": desk.progress(me)})


@cache
def _static(name: str) -> bytes:
    return files(__package__).joinpath(f"static/{name}").read_bytes()


def _audit(desk: Desk) -> dict[str, Any]:
    """The audit's items in their random order, each with how it stands, and what they say."""
    state = desk.audit_state()
    told = {**asdict(state), "text": state.text()}
    return {"rows": desk.audit(), "state": told}


async def _sent(req: Request) -> Any:
    try:
        return await req.json()
    except ValueError:
        raise InputError("no JSON was sent") from None


def _explain(req: Request, error: Exception) -> Response:
    status = 503 if isinstance(error, LogUnavailable) else 400
    return JSONResponse({"error": str(error)}, status_code=status)


def _picture(webp: bytes | None) -> Response:
    if webp is None:
        return Response(_static("nothing.svg"), media_type="image/svg+xml")
    keep = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(webp, media_type="image/webp", headers=keep)


def _name(value: Any) -> str:
    """A reviewer's name: short and printable."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InputError("a reviewer needs a name of printable characters")
    if len(value.strip()) > MAX_NAME:
        raise InputError(f"a reviewer's name has at most {MAX_NAME} characters")
    return value.strip()


def _me(req: Request) -> str:
    return _name(req.query_params.get("me"))


def _number(req: Request, name: str, default: float) -> float:
    try:
        value = float(req.query_params.get(name) or default)
    except ValueError:
        raise InputError(f"{name} must be a number") from None
    if not abs(value) < 1e15:
        raise InputError(f"{name} must be a number")
    return value


def _rows(text: str, n: int) -> list[int]:
    parts = text.split(",") if text else []
    if len(parts) > MOST_DESCRIBED or not all(p.isascii() and p.isdigit() for p in parts):
        raise InputError(f"rows must be at most {MOST_DESCRIBED} numbers")
    rows = [int(p) for p in parts]
    if any(row >= n for row in rows):
        raise InputError("rows names an item that is not in the run")
    return rows


def _filter(req: Request, asked: Questions) -> Filter:
    def code(name: str, n_classes: int) -> int | None:
        value = _number(req, name, -1)
        return int(value) if 0 <= value < n_classes else None

    state = req.query_params.get("state", "any")
    if state not in (*STATES, "any", "mine"):
        raise InputError(f"there is no state {state[:40]!r}")
    return Filter(
        state=state,
        given=code("given", len(asked.vocab)),
        suggested=code("suggested", len(asked.vocab)),
        of_class=code("class", len(asked.classes)),
        least=_number(req, "least", 0.0),
        most=_number(req, "most", 1.0),
        reviewer=req.query_params.get("reviewer") or None,
        similar=req.query_params.get("similar") == "1",
    )
