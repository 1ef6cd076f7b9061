"""What ``kn func`` imports: the sentiment function behind a WSGI-to-ASGI bridge.

Under gunicorn the same application is ``linewatch.sentiment.app:create()``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, cast

from a2wsgi import WSGIMiddleware
from a2wsgi.asgi_typing import Receive, Scope, Send
from a2wsgi.wsgi_typing import Environ, StartResponse, WSGIApp

from linewatch.errors import Unavailable
from linewatch.sentiment import app
from linewatch.serving import function

__all__ = ["Function", "new"]

#: How many events are scored, or wait for the sink, at the same time.
THREADS: Final = 8


class Function:
    """Speaks ASGI to func's server and hands each request to a thread that speaks WSGI."""

    def __init__(self, service: function.Function) -> None:
        self._service = service
        # Flask and the bridge name the type of the same callable differently.
        self._wsgi = cast("WSGIApp", function.routed(service))
        self._bridge = WSGIMiddleware(self._to_the_end, workers=THREADS)

    def _to_the_end(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # The bridge's input ends where the body does, so a chunked body, which
        # has no length, may be read; Flask takes it for empty otherwise.
        terminated = cast("Environ", {**environ, "wsgi.input_terminated": True})
        return self._wsgi(terminated, start_response)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        await self._bridge(scope, receive, send)

    def ready(self) -> tuple[bool, str]:
        """Tell func's readiness probe whether an event would be scored at once."""
        try:
            self._service.readiness()
        except Unavailable as error:
            return False, error.detail
        return True, "ready"

    def alive(self) -> tuple[bool, str]:
        """Tell func's liveness probe that the process runs."""
        return True, "alive"


def new() -> Function:
    """Make the function; it begins to load its scorer now."""
    return Function(app.build(os.environ))
