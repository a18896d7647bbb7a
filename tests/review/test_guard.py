"""Who may talk to the review page. What a whole server answers is in test_app.py."""

import asyncio

import pytest

from softfold.errors import InputError
from softfold.review.guard import COOKIE, HEADERS, MAX_BODY, Guard, check_binding, is_loopback

TOKEN = "0123456789abcdef"
PAGE = {"x-softfold": "1", "content-type": "application/json", "content-length": "2"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_only_this_machine_reaches_a_loopback_address(host):
    assert is_loopback(host)
    check_binding(host, None)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example", ""]
)
def test_every_other_address_needs_a_token(host):
    assert not is_loopback(host)
    with pytest.raises(InputError, match=f"^--host {host}: .* a token is needed: --token auto"):
        check_binding(host, None)
    check_binding(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_can_be_guessed_is_refused(host):
    with pytest.raises(InputError, match="the token has 15 characters; at least 16 are needed"):
        check_binding(host, TOKEN[:-1])


def ask(guard, path="/", headers=(), method="GET", query="", kind="http"):
    """The status, headers and body of an answer; "app" where the application answered."""
    sent = []

    async def send(message):
        sent.append(message)

    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in pairs],
    }
    asyncio.run(guard(scope, None, send))
    if kind != "http":
        return sent
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"].decode()


def guard_of(host="127.0.0.1", token=None, names=(), headers=()):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"app"})

    return Guard(app, host, token, names)


def status(guard, **asked):
    return ask(guard, **asked)[0]


@pytest.mark.parametrize(
    ("bound", "host", "found"),
    [
        ("127.0.0.1", "127.0.0.1:5000", 200),
        ("127.0.0.1", "localhost:5000", 200),
        ("127.0.0.1", "LOCALHOST", 200),
        ("127.0.0.1", "[::1]:5000", 200),
        ("127.0.0.1", "rebound.example", 421),
        ("127.0.0.1", "10.1.2.3", 421),  # nobody else reaches it, so nobody calls it that
        ("127.0.0.1", "user@localhost", 421),
        ("127.0.0.1", "[::1", 421),
        ("127.0.0.1", "", 421),
        ("0.0.0.0", "10.1.2.3:5000", 200),
        ("0.0.0.0", "rebound.example", 421),
        ("review.example", "review.example", 200),
    ],
)
def test_a_host_name_must_be_the_servers(bound, host, found):
    assert status(guard_of(bound), headers={"host": host}) == found


def test_names_that_the_server_was_given_are_its_own():
    guard = guard_of("0.0.0.0", names=("Lab.Example",))
    assert status(guard, headers={"host": "lab.example:80"}) == 200


def test_a_request_without_a_host_is_refused():
    assert status(guard_of()) == 421


def test_of_a_repeated_header_nothing_passes_for_the_value():
    twice = [("host", "localhost"), ("host", "rebound.example")]
    assert status(guard_of(), headers=twice) == 421
    page = [("host", "localhost"), *PAGE.items(), ("content-length", "3")]
    assert status(guard_of(), headers=page, method="POST") == 411


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, 200),
        ({"origin": "http://localhost:5000"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-length": str(MAX_BODY)}, 200),
        ({"origin": "http://localhost:5001"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"x-softfold": None}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": None}, 415),
        ({"content-length": None}, 411),
        ({"content-length": "-1"}, 411),
        ({"content-length": str(MAX_BODY + 1)}, 413),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_changes_something_must_come_from_the_page(change, found, method):
    headers = {"host": "localhost:5000", **PAGE, **change}
    headers = {k: v for k, v in headers.items() if v is not None}
    assert status(guard_of(), headers=headers, method=method) == found


@pytest.mark.parametrize(
    ("path", "mode", "found"),
    [("/", "navigate", 200), ("/", "no-cors", 403), ("/api/run", "navigate", 403)],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_another_site_may_only_lead_a_person_to_the_page(path, mode, found, method):
    headers = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": mode}
    assert status(guard_of(), path=path, headers=headers, method=method) == found


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address():
    guard = guard_of(token=TOKEN)
    host = {"host": "localhost"}
    found, headers, _ = ask(guard, headers=host, query=f"given=cat+one&token={TOKEN}")
    assert found == 303 and headers[b"location"] == b"/?given=cat+one"
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    asked = {**host, "cookie": cookie.split(";")[0]}
    assert ask(guard, path="/api/run", headers=asked)[2] == "app"


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        f"{COOKIE}=",
        f"{COOKIE}={TOKEN[:-1]}",
        f"{COOKIE}={TOKEN}x",
        f"other={TOKEN}",
        f"{COOKIE}=\xe9",
        "=;=,;",
    ],
)
def test_no_other_cookie_opens_the_page(cookie):
    headers = {"host": "localhost", "cookie": cookie}
    found, _, body = ask(guard_of(token=TOKEN), headers=headers)
    assert found == 401 and TOKEN not in body and body != "app"


def test_a_token_is_taken_from_the_address_of_a_visit_alone():
    headers = {"host": "localhost", **PAGE}
    guard = guard_of(token=TOKEN)
    assert status(guard, headers=headers, query=f"token={TOKEN}", method="POST") == 401


@pytest.mark.parametrize(
    ("asked", "found"),
    [({"host": "localhost"}, 200), ({"host": "rebound.example"}, 421)],
    ids=["answered", "refused"],
)
def test_every_answer_has_the_headers_that_keep_it_from_other_sites(asked, found):
    code, headers, _ = ask(guard_of(), headers=asked)
    assert code == found
    assert {k.lower().encode(): v.encode() for k, v in HEADERS.items()}.items() <= headers.items()
    assert headers[b"cache-control"] == b"no-store"


def test_what_the_application_lets_be_kept_stays_so():
    guard = guard_of(headers=[(b"Cache-Control", b"immutable")])
    _, headers, _ = ask(guard, headers={"host": "localhost"})
    assert headers[b"Cache-Control"] == b"immutable" and b"cache-control" not in headers


def test_websockets_are_closed_and_reach_no_route():
    sent = ask(guard_of(), headers={"host": "localhost"}, kind="websocket")
    assert sent == [{"type": "websocket.close", "code": 1008}]
