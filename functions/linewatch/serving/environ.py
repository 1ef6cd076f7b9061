"""What a WSGI environment says of a request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the request's headers, their names in lower case."""
    return {
        _header(name): value
        for name, value in environ.items()
        if name.startswith(("HTTP_", "CONTENT_"))
    }


@lru_cache(maxsize=512)
def _header(name: str) -> str:
    return name.removeprefix("HTTP_").replace("_", "-").lower()
