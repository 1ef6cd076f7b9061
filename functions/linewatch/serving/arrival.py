"""One HTTP request as its bytes arrive, without a thread that waits for them.

h11 parses it. What is whole goes on as a head and a body of known length, however it came:
nobody behind this has to agree with it about where a request ends.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import h11

from linewatch.errors import LinewatchError, TooLarge
from linewatch.serving import head

#: Enough for 64 KiB in packets of 20 ms; each one costs as much as many bytes.
_MOST_CHUNKS: Final = 4 * 1024


class Arrival:
    """The bytes of one request; *body_limit* is the longest body in bytes."""

    def __init__(self, body_limit: int) -> None:
        self._body_limit = body_limit
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=head.HEAD_LIMIT)
        self._head: head.Head | None = None
        self._body = bytearray()
        self._chunks = 0
        self._taken_bytes = 0
        self.is_whole = False
        #: The sender waits for "100 Continue" before it sends the body.
        self.expects_continue = False

    def __len__(self) -> int:
        return self._taken_bytes

    def take(self, piece: bytes) -> None:
        """Take what arrived next.

        Raises:
            LinewatchError: The answer to the sender; nothing more of it will be read.
        """
        if not self._taken_bytes:
            # RFC 9112, 2.2: empty lines before a request are nothing.
            piece = piece.lstrip(b"\r\n")
        if not piece:
            # To h11 it would be the end of the connection.
            return
        self._taken_bytes += len(piece)
        self._parser.receive_data(piece)
        try:
            while not self.is_whole and (event := self._parser.next_event()) is not h11.NEED_DATA:
                self._read(event)
        except h11.RemoteProtocolError as error:
            raise _refusal(error) from None
        self.expects_continue = self.expects_continue and not self.is_whole

    def parts(self) -> tuple[head.Head, bytearray, bytes]:
        """Return head and body of what is whole, and whatever came after it."""
        assert self._head
        return self._head, self._body, self._parser.trailing_data[0]

    def _read(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._head = head.read(event)
            self._check_bytes(int(dict(event.headers).get(b"content-length", 0)))
            self.expects_continue = self._parser.they_are_waiting_for_100_continue
        elif isinstance(event, h11.Data):
            self._check_bytes(len(self._body) + len(event.data))
            self._body += event.data
            self._count_chunk(event)
        elif isinstance(event, h11.EndOfMessage):
            self.is_whole = True

    def _check_bytes(self, length: int) -> None:
        if length > self._body_limit:
            raise TooLarge(f"send at most {self._body_limit} bytes at once")

    def _count_chunk(self, event: h11.Data) -> None:
        self._chunks += event.chunk_start
        if self._chunks > _MOST_CHUNKS:
            raise TooLarge(f"send at most {_MOST_CHUNKS} chunks, or a Content-Length")


def _refusal(error: h11.RemoteProtocolError) -> LinewatchError:
    if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return head.too_large()
    return head.unreadable("it is not HTTP/1.1", str(error))
