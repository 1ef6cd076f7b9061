"""HTTP connections that are kept, each request of which leaves in one piece.

urllib3 sends the head and the body one after the other: two system calls, two packets,
and whoever reads is woken for a head whose body is not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping

import urllib3
from urllib3.connection import HTTPConnection


class OneWriteConnection(HTTPConnection):
    """Sends the head of a request together with its body, which is bytes."""

    _pieces: list[bytes] | None = None

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **options: bool,
    ) -> None:
        """See `urllib3.connection.HTTPConnection.request`."""
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            super().request(method, url, body, headers, **options)
        finally:
            self._pieces = None
        self.send(b"".join(pieces))

    def send(self, data: bytes) -> None:  # type: ignore[override]
        """Send *data*, or keep it until the whole request is there."""
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)


def connection_pool(
    url: str, timeout: urllib3.Timeout, most: int, *, retries: bool | None = None
) -> urllib3.HTTPConnectionPool:
    """Return a pool to *url* that keeps up to *most* connections; *retries* is urllib3's."""
    pool = urllib3.connection_from_url(url, timeout=timeout, maxsize=most, retries=retries)
    if pool.scheme == "http":
        pool.ConnectionCls = OneWriteConnection  # type: ignore[assignment] # bytes are all it sends
    return pool
