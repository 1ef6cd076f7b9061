"""Requests that arrived whole, as gunicorn's worker takes them: nothing is read twice."""

from __future__ import annotations

import io

from gunicorn.http.message import Request

from linewatch.serving.arrival import Arrival
from linewatch.serving.head import Fields, Head


class Whole(Request):  # type: ignore[misc] # gunicorn has no types
    """A request of which everything is known; gunicorn's own would read and parse."""

    scheme = "http"
    proxy_protocol_info = None

    def __init__(self, head: Head, body: bytearray) -> None:
        self.method, self.uri, self.version = head.method, head.target, head.version
        self.path, self.query = head.path, head.query
        self.headers: Fields = [*head.fields, ("CONTENT-LENGTH", str(len(body)))]
        self.body = io.BytesIO(body)
        self.must_close = False


class Requests:
    """The requests of one connection, where gunicorn has its parser."""

    def __init__(self) -> None:
        self._next: Whole | None = None
        #: What came after the last one: the beginning of another.
        self.rest = b""

    def put(self, said: Arrival) -> Whole:
        """Let *said* be the next request, and return it."""
        head, body, self.rest = said.parts()
        self._next = Whole(head, body)
        return self._next

    def take_rest(self) -> bytes:
        """Return what came after the last request, once."""
        rest, self.rest = self.rest, b""
        return rest

    def __next__(self) -> Whole:
        request, self._next = self._next, None
        if request is None:
            raise StopIteration
        return request

    def finish_body(self, deadline: float) -> bool:  # noqa: ARG002 - gunicorn's own
        """Tell that no byte of the body is still to be read from the connection."""
        return True
