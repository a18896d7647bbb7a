"""Run the review page on this machine."""

from __future__ import annotations

import getpass
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

from softfold.decisions.audit import DRAWN
from softfold.errors import InputError, count_of
from softfold.files import shell_word
from softfold.review.guard import check_binding

PORT = 8421
PORTS_TRIED = 20
LAST_PORT = 65_535


def serve(
    run_dir: str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    reviewer: str | None = None,
    *,
    token: str | None = None,
    names: tuple[str, ...] = (),
    audit: bool = False,
    images: str | Path | None = None,
    open_browser: bool = False,
    say: Callable[[str], object] = print,
) -> None:
    """Serve the review page of a run until interrupted.

    Args:
        run_dir: the run folder; decisions go into `decisions.sqlite` in it.
        host: address to listen on. Anything but a loopback address needs a token.
        port: port to listen on; by default the first free one from 8421, 0 for any free one.
        reviewer: the name proposed to the first visitor; by default the user's.
        token: at least 16 characters that every visitor must have, or "auto" to make one.
        names: further host names to answer to, such as a proxy's.
        audit: show the items of the audit instead, without suggestion or suspicion; they are
            drawn first where there are none.
        images: the folder in which image files are now, where it was moved.
        open_browser: open the page in this machine's browser.
        say: told the address, and what was drawn for an audit, a line each.

    Raises:
        InputError: no run folder, no token where one is needed, or no free port.
    """
    import uvicorn

    from softfold.review.app import create_app
    from softfold.review.desk import Desk

    if token == "auto":
        token = secrets.token_urlsafe(24)
    check_binding(host, token)
    more = ""
    if audit:
        desk = Desk(run_dir)
        if not desk.drawn:
            desk.draw(DRAWN)
            more = (
                "no audit was drawn yet: these were drawn now; "
                f"softfold audit {shell_word(run_dir)} -n {2 * DRAWN} draws more"
            )
    app = create_app(
        run_dir, reviewer=reviewer or _user(), host=host, token=token, names=names, images=images
    )
    listener = _listen(host, port)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{listener.getsockname()[1]}/"
    query = (["audit=1"] if audit else []) + ([] if token is None else [f"token={token}"])
    address += f"?{'&'.join(query)}" if query else ""
    doing = f"auditing {count_of(len(desk.drawn), 'random item')} of" if audit else "reviewing"
    say(f"{doing} {run_dir} at {address} (Ctrl-C ends)")
    if more:
        say(more)
    if open_browser:
        webbrowser.open(address)
    config = uvicorn.Config(
        app, log_level="warning", lifespan="off", server_header=False, ws="none"
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on `port`, or on the first free one from `PORT`."""
    if port is not None and not 0 <= port <= LAST_PORT:
        raise InputError(f"--port {port}: want a number from 0 (any free one) to {LAST_PORT}")
    ports = [port] if port is not None else range(PORT, PORT + PORTS_TRIED)
    last: OSError | None = None
    for number in ports:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise InputError(f"--host {host}: {error.strerror}") from None
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            last = error
    asked = f"port {port}" if port is not None else f"ports {PORT} to {PORT + PORTS_TRIED - 1}"
    raise InputError(f"cannot listen on {host}, {asked}: {last.strerror if last else 'none free'}")


def _user() -> str:
    try:
        return getpass.getuser()[:40]
    except (OSError, KeyError):
        return "reviewer"
