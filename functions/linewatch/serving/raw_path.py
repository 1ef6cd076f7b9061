"""The path of a request as it was sent, so that a name in it may hold a slash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from linewatch.errors import BadRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class RawPath:
    """Shows *application* the path as it was sent: servers decode it, and ``%2F`` is lost then."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        environ["PATH_INFO"] = raw_path(environ)
        return self._application(environ, start_response)


def raw_path(environ: WSGIEnvironment) -> str:
    """Return the path as it was sent; encoded anew where the server does not tell."""
    target: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target is None:
        # Latin-1 is how WSGI writes the bytes of a path.
        return quote(environ["PATH_INFO"].encode("latin-1"), safe="/")
    path = target if target.startswith("/") else urlsplit(target).path
    return path.partition("#")[0].partition("?")[0]


def decoded(segment: str) -> str:
    """Return one segment of a path without its percent-encoding.

    Raises:
        BadRequest: it is not UTF-8.
    """
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest("the path must be percent-encoded UTF-8") from None
