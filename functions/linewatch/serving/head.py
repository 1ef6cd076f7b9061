"""The head of an HTTP/1 request as the application sees it, refused unless it is certain.

h11 has checked its grammar; here is what two readers may still understand in two ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from linewatch.errors import BadRequest, LinewatchError, of_framework

if TYPE_CHECKING:
    import h11

#: A bearer token of 8 kB, a cookie and everything an ingress adds.
HEAD_LIMIT: Final = 32 * 1024
_LONGEST_QUOTE: Final = 60
#: How the body came; nobody behind this needs it.
_FRAMING: Final = frozenset({"TRANSFER-ENCODING", "CONTENT-LENGTH", "EXPECT"})

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Head:
    """What a request asks; names of *fields* are in capitals, none says how the body came."""

    method: str
    target: str
    path: str
    query: str
    version: tuple[int, int]
    fields: Fields


def read(request: h11.Request) -> Head:
    """Understand the head of *request*.

    Raises:
        LinewatchError: It is too long, or two readers may understand it in two ways.
    """
    lengths = (len(name) + len(value) for name, value in request.headers)
    if len(request.target) + sum(lengths) > HEAD_LIMIT:
        raise too_large()
    major, minor = request.http_version.decode().split(".")
    if major != "1":
        raise unreadable("its version must be HTTP/1.1", f"HTTP/{major}.{minor}")
    method, target = request.method.decode(), request.target.decode()
    path, query = _split(method, target)
    fields = [(name.decode().upper(), value.decode("latin-1")) for name, value in request.headers]
    _check_framing({name for name, _ in fields}, minor)
    return Head(method, target, path, query, (1, int(minor)), _visible(fields))


def unreadable(why: str, what: str) -> LinewatchError:
    """Return the error of a request that cannot be read, quoting *what* of it."""
    return BadRequest(f"the request cannot be read: {why}: {what[:_LONGEST_QUOTE]!r}")


def too_large() -> LinewatchError:
    """Return the error of a head that is too long."""
    detail = f"send at most {HEAD_LIMIT} bytes of headers"
    return of_framework(431, "Request header fields too large", detail)


def _split(method: str, target: str) -> tuple[str, str]:
    """Return path and query, both as they were sent."""
    if target.startswith("/"):
        path, _, query = target.partition("#")[0].partition("?")
        return path, query
    if "://" not in target and (method, target) != ("OPTIONS", "*"):
        raise unreadable("its path must begin with a slash", target)
    try:
        parts = urlsplit(target)
    except ValueError:
        raise unreadable("its address is not a URL", target) from None
    return parts.path, parts.query


def _check_framing(names: set[str], minor: str) -> None:
    """Refuse a body whose end a proxy in front may see elsewhere (RFC 9112, 6.1 and 6.3)."""
    if "TRANSFER-ENCODING" in names and ("CONTENT-LENGTH" in names or minor == "0"):
        raise BadRequest("send one Content-Length, or Transfer-Encoding: chunked alone")


def _visible(fields: Fields) -> Fields:
    """Return the fields for the application."""
    # X_Y and X-Y are one name to an application (CGI): who sends the first means mischief.
    return [each for each in fields if "_" not in each[0] and each[0] not in _FRAMING]
