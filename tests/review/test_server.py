"""Where the review page listens, and what is said when it cannot. Requests are in test_app.py."""

import socket

import pytest

from softfold.errors import InputError
from softfold.review.server import PORT, PORTS_TRIED, _listen


@pytest.fixture
def taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_free_port_is_listened_on_by_the_address_that_was_asked_for():
    with _listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        assert address[0] == "127.0.0.1"
        with socket.create_connection(address, timeout=5):
            pass


def test_without_a_port_the_first_free_one_is_taken():
    with _listen("127.0.0.1", None) as first, _listen("127.0.0.1", None) as second:
        ports = [listener.getsockname()[1] for listener in (first, second)]
    assert PORT <= ports[0] < ports[1] < PORT + PORTS_TRIED


def test_a_port_that_is_taken_is_refused_by_its_number(taken):
    with pytest.raises(InputError, match=rf"cannot listen on 127\.0\.0\.1, port {taken}: Address"):
        _listen("127.0.0.1", taken)


@pytest.mark.parametrize("port", [65_536, 70_000, -1])
def test_a_number_that_is_no_port_is_refused_and_not_taken_for_another(port):
    with pytest.raises(InputError, match=f"^--port {port}: want a number from 0 .* to 65535$"):
        _listen("127.0.0.1", port)


def test_an_address_that_is_not_this_machines_is_refused():
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1, port 0: "):
        _listen("192.0.2.1", 0)
    with pytest.raises(InputError, match=r"^--host no\.such\.host\.invalid: "):
        _listen("no.such.host.invalid", 0)
