"""Requests that are whole, as gunicorn's worker takes them."""

from __future__ import annotations

import pytest

from linewatch.serving.arrival import Arrival
from linewatch.serving.whole_request import Requests

ONE = b"POST /x?y HTTP/1.1\r\nHost: y\r\nContent-Length: 2\r\n%s\r\nab"


def requests_of(sent):
    """Return the requests of a connection on which *sent* came."""
    arrival, found = Arrival(1000), Requests()
    arrival.take(sent)
    found.put(arrival)
    return found


def test_request_says_what_was_sent():
    """The application is given line, fields, and a body of known length."""
    request = next(requests_of(ONE % b"Connection: x\r\n"))
    assert (request.method, request.path, request.query) == ("POST", "/x", "y")
    assert ("CONTENT-LENGTH", "2") in request.headers
    assert request.body.read() == b"ab"


@pytest.mark.parametrize(("field", "version", "is_last"), [
    (b"", b"1.1", False), (b"Connection: Close\r\n", b"1.1", True),
    (b"", b"1.0", True), (b"Connection: keep-alive\r\n", b"1.0", False),
])  # fmt: skip
def test_sender_says_whether_more_comes(field, version, is_last):
    """A connection is kept as HTTP/1.1 does, or as its sender says."""
    request = next(requests_of((ONE % field).replace(b"1.1", version)))
    assert request.should_close() is is_last


def test_each_request_is_served_once():
    """A connection without another request has none to serve; what came after is kept."""
    found = requests_of(ONE % b"" + b"GET ")
    next(found)
    with pytest.raises(StopIteration):
        next(found)
    assert found.take_rest() == b"GET "
    assert not found.rest
