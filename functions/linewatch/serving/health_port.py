"""Health and metrics of a role that serves nothing else by HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from linewatch.errors import SettingsError
from linewatch.serving.metrics_text import CONTENT_TYPE

_IDLE_S: Final = 60.0
_PLAIN: Final = "text/plain"

Shown = tuple[HTTPStatus, str, bytes]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A start anew need not wait for the kernel to forget the last one's connections.
    allow_reuse_address = True

    def __init__(self, bind: str, port: int, show: Callable[[str], Shown | None]) -> None:
        self.show = show
        super().__init__((bind, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a caller that hung up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    server: _Server

    def do_GET(self) -> None:
        missing = (HTTPStatus.NOT_FOUND, _PLAIN, b"not found\n")
        status, kind, body = self.server.show(self.path.partition("?")[0]) or missing
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            # Else a caller may send its next request into what we close.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of probes."""


class HealthPort:
    """Answers ``/health/liveness``, ``/health/readiness`` and ``/metrics`` until it is closed.

    Args:
        bind: The address to listen on.
        port: The port; 0 takes a free one.
        metrics: What ``/metrics`` shows.
        is_ready: What ``/health/readiness`` asks.

    Raises:
        SettingsError: it cannot listen there.
    """

    def __init__(
        self,
        bind: str,
        port: int,
        metrics: Callable[[], bytes],
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._metrics = metrics
        self._is_ready = is_ready
        try:
            self._server = _Server(bind, port, self._show)
        except OSError as error:
            raise SettingsError(f"cannot listen on {bind}:{port}: {error.strerror}") from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _show(self, path: str) -> Shown | None:
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics()
        if path == "/health/liveness":
            return HTTPStatus.OK, _PLAIN, b"alive\n"
        if path != "/health/readiness":
            return None
        if self._is_ready():
            return HTTPStatus.OK, _PLAIN, b"ready\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"not ready\n"
