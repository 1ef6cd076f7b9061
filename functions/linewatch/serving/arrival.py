"""One HTTP request as its bytes arrive, without a thread that waits for them.

What is whole goes on as a head and a body of known length, however it came: nobody behind
this has to agree with it about where a request ends.
"""

from __future__ import annotations

import re
from typing import Final

from linewatch.errors import BadRequest, TooLarge
from linewatch.serving import head

#: A bearer token of 8 kB, a cookie and everything an ingress adds.
HEAD_LIMIT: Final = 32 * 1024
_LONGEST_SIZE: Final = 256
_MOST_CHUNKS: Final = 16 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")
_LENGTH: Final = re.compile(r"[0-9]{1,16}")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")


class Arrival:
    """The bytes of one request; *body_limit* is the longest body in bytes."""

    def __init__(self, body_limit: int) -> None:
        self._body_limit = body_limit
        self._data = bytearray()
        self._head: head.Head | None = None
        self._length: int | None = None
        self._chunks = 0
        self._body = bytearray()
        self.is_whole = False
        #: The sender waits for a word before it sends the body.
        self.expects_word = False

    def __len__(self) -> int:
        return len(self._data) + len(self._body)

    def take(self, piece: bytes) -> None:
        """Take what arrived next.

        Raises:
            LinewatchError: what the sender is told; nothing more of it will be read.
        """
        self._data += piece
        if self._head is None:
            self._read_head()
        if self._head is not None and not self.is_whole:
            self.is_whole = self._read_body()
            self.expects_word = self.expects_word and not self.is_whole

    def parts(self) -> tuple[head.Head, bytearray, bytes]:
        """Return head and body of what is whole, and whatever came after it."""
        assert self._head
        return self._head, self._body, bytes(self._data)

    def _read_head(self) -> None:
        # RFC 9112, 2.2: empty lines before a request are nothing.
        if empty := _EMPTY_LINES.match(self._data):
            del self._data[: empty.end()]
        end = self._data.find(_HEAD_END)
        if end > HEAD_LIMIT or (end < 0 and len(self._data) > HEAD_LIMIT):
            raise head.too_large(f"send at most {HEAD_LIMIT} bytes of headers")
        if end >= 0:
            self._head = head.read(self._data[:end].decode("latin-1"))
            del self._data[: end + len(_HEAD_END)]
            self._understand(self._head)

    def _understand(self, said: head.Head) -> None:
        """Find out how the body comes: its length in bytes, none if it comes in chunks."""
        is_new = said.version >= (1, 1)
        expected = [each.lower() for each in said.own("EXPECT")]
        self.expects_word = is_new and expected == ["100-continue"]
        codings, lengths = said.own("TRANSFER-ENCODING"), said.own("CONTENT-LENGTH")
        if not codings and not lengths:
            self._length = 0
        elif is_new and not lengths and [each.lower() for each in codings] == ["chunked"]:
            self._length = None
        elif codings or len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise BadRequest("send one Content-Length, or Transfer-Encoding: chunked alone")
        else:
            self._length = int(lengths[0])
            self._check(self._length)

    def _check(self, length: int) -> None:
        if length > self._body_limit:
            raise TooLarge(f"send at most {self._body_limit} bytes at once")

    def _read_body(self) -> bool:
        if self._length is None:
            return self._read_chunks()
        # Copied once, however many pieces it came in.
        if len(self._data) < self._length:
            return False
        self._body = self._data[: self._length]
        del self._data[: self._length]
        return True

    def _read_chunks(self) -> bool:
        at = 0
        while (found := self._chunk(at)) is not None:
            begin, size = found
            if size == 0:
                return self._read_trailers(at, begin)
            self._body += self._data[begin : begin + size]
            self._chunks += 1
            at = begin + size + 2
        del self._data[:at]
        return False

    def _chunk(self, at: int) -> tuple[int, int] | None:
        """Return where the chunk's bytes begin and how many they are, once all are here."""
        end = self._data.find(b"\r\n", at, at + _LONGEST_SIZE)
        if end < 0 and len(self._data) - at < _LONGEST_SIZE:
            return None
        size_line = _SIZE.fullmatch(self._data[at:end]) if end >= 0 else None
        if not size_line:
            raise BadRequest("the body's chunks cannot be read: send a Content-Length")
        size = int(size_line[1], 16)
        self._check(len(self._body) + size)
        if self._chunks >= _MOST_CHUNKS:
            raise TooLarge(f"send at most {_MOST_CHUNKS} chunks, or a Content-Length")
        begin = end + 2
        if size and len(self._data) < begin + size + 2:
            return None
        if size and self._data[begin + size : begin + size + 2] != b"\r\n":
            raise BadRequest("the body's chunks cannot be read: send a Content-Length")
        return begin, size

    def _read_trailers(self, at: int, begin: int) -> bool:
        end = self._data.find(_HEAD_END, begin - 2)
        if end < 0:
            if len(self._data) - begin > HEAD_LIMIT:
                raise TooLarge("send no headers after the body")
            del self._data[:at]
            return False
        del self._data[: end + len(_HEAD_END)]
        return True
