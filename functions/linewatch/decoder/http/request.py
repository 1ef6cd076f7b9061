"""A request as the decoder's edge reads it, from any WSGI server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from linewatch.decoder.http.intake import BODY_LIMIT
from linewatch.errors import TooLarge, UnsupportedMedia
from linewatch.serving.environ import headers_of

_QUERIES_REMEMBERED: Final = 512


@dataclass(frozen=True, slots=True)
class Request:
    """A request: *path* with its query, *headers* in lower case, the *body* whole."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Self:
        """Read a WSGI environment, and its body to the end.

        Raises:
            UnsupportedMedia: the body is packed.
            TooLarge: it is longer than `BODY_LIMIT`.
        """
        _check_encoding(environ.get("HTTP_CONTENT_ENCODING", ""))
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > BODY_LIMIT:
            raise TooLarge(f"send at most {BODY_LIMIT} bytes at once")
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        return cls(
            method=environ["REQUEST_METHOD"],
            path=f"{path}?{query}" if query else path,
            query=_query(query),
            headers=headers_of(environ),
            body=environ["wsgi.input"].read(length),
        )


def _check_encoding(encoding: str) -> None:
    packed = {each.strip().lower() for each in encoding.split(",")} - {"", "identity"}
    if packed:
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:40]!r} is not supported: send the body as it is"
        )


@lru_cache(maxsize=_QUERIES_REMEMBERED)
def _query(raw: str) -> Mapping[str, str]:
    return dict(reversed(parse_qsl(raw, keep_blank_values=True)))
