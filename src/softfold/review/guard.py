"""Who may talk to the review page: host, token and cross-site checks, and security headers."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from softfold.errors import InputError

COOKIE = "softfold_token"
SENT_BY = b"x-softfold"
LEAST_TOKEN = 16
MAX_BODY = 1 << 20

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, token: str | None) -> None:
    """Refuse to listen beyond this machine without a token that cannot be guessed.

    Raises:
        InputError: no token for another address, or a short one.
    """
    if token is not None and len(token) < LEAST_TOKEN:
        raise InputError(
            f"the token has {len(token)} characters; at least {LEAST_TOKEN} are needed"
        )
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: others can reach this address, so a token is needed: "
            "--token auto makes one"
        )


class Guard:
    """ASGI middleware around the whole application; what it refuses never reaches a route.

    - Host must be this server's: a loopback name or address, the bound address, a literal IP
      address (a rebound DNS name is never one) or a name in `names`.
    - With a token, every request carries it, as a cookie that a first visit with `?token=` sets.
    - Anything but GET and HEAD must come from the page itself: a matching Origin (or none), not
      cross-site by Sec-Fetch-Site, and a header that another site cannot send unasked.
    - No request of another site is answered at all, except a person following a link.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        host: str,
        token: str | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self.app, self.token = app, token
        self.open_to_others = not is_loopback(host)
        self.names = {"localhost", host.strip("[]").lower(), *(name.lower() for name in names)}
        if self.open_to_others:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = _single(scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if self.token is not None and not self._has_cookie(headers):
            await self._greet(scope, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                have = {key.lower() for key, _ in message.get("headers", [])}
                more = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                if b"cache-control" not in have:
                    more.append((b"cache-control", b"no-store"))
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            return 421, "This host name is not this server's."
        site = headers.get(b"sec-fetch-site", b"none")
        foreign = site not in (b"none", b"same-origin")
        if scope["method"] in ("GET", "HEAD"):
            followed = headers.get(b"sec-fetch-mode") == b"navigate" and scope["path"] == "/"
            return (403, "Not for other sites.") if foreign and not followed else None
        origin = headers.get(b"origin")
        if foreign or (origin is not None and _place(origin) != host):
            return 403, "Not from other sites."
        if SENT_BY not in headers:
            return 403, "Only the page itself may send this."
        if headers.get(b"content-type", b"").split(b";")[0].strip() != b"application/json":
            return 415, "Only JSON."
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "How long?"
        return (413, "Too long.") if int(length) > MAX_BODY else None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None or "@" in host:
            return False
        if name in self.names or is_loopback(name):
            return True
        if not self.open_to_others:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_cookie(self, headers: dict[bytes, bytes]) -> bool:
        try:
            cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._right(cookie.value)

    def _right(self, token: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(token.encode(), self.token.encode())

    async def _greet(self, scope: Scope, send: Send) -> None:
        """Trade `?token=` for a cookie and drop it from the address; else ask for it."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = next((value for key, value in query if key == "token"), None)
        if scope["method"] != "GET" or given is None or not self._right(given):
            await _answer(send, 401, "Open the address with ?token=... that softfold printed.")
            return
        rest = urlencode([(key, value) for key, value in query if key != "token"])
        place = "/" + (f"?{rest}" if rest else "")
        cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Lax; Path=/"
        await _answer(
            send, 303, "", [(b"location", place.encode()), (b"set-cookie", cookie.encode())]
        )


def _place(origin: bytes) -> str | None:
    """Host and port of an Origin header, None where it is no address."""
    try:
        return urlsplit(origin.decode("latin-1")).netloc
    except ValueError:
        return None


def _single(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers; where one is repeated, nothing passes for its value."""
    out: dict[bytes, bytes] = {}
    for key, value in scope["headers"]:
        out[key] = b"\0repeated" if key in out and out[key] != value else value
    return out


async def _answer(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    fixed = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    body = text.encode()
    length = [(b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*fixed, *plain, *length, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})
