"""The door of a role that serves nobody: health and metrics by HTTP, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from linewatch import exposition
from linewatch.errors import LinewatchError, NotFound, SettingsError, Unavailable, problem

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base's names
        """Say nothing: probes come every second."""


class Door:
    """``/health/liveness``, ``/health/readiness`` and ``/metrics``."""

    def __init__(
        self, host: str, port: int, is_ready: Callable[[], bool], metrics: Callable[[], bytes]
    ) -> None:
        self._is_ready = is_ready
        self._metrics = metrics
        try:
            self._server: WSGIServer = make_server(host, port, self, handler_class=_Quiet)
        except OSError as error:
            raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="door", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    def open(self) -> None:
        """Begin to answer, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            status, headers, body = self._answer(environ.get("PATH_INFO", "/"))
        except LinewatchError as error:
            text, code, headers = problem(error)
            status, body = HTTPStatus(code), text.encode()
        start(f"{status.value} {status.phrase}", list(headers.items()))
        return [body]

    def _answer(self, path: str) -> tuple[HTTPStatus, dict[str, str], bytes]:
        if path == "/metrics":
            return HTTPStatus.OK, {"Content-Type": exposition.CONTENT_TYPE}, self._metrics()
        if path == "/health/readiness" and not self._is_ready():
            raise Unavailable("the event log is away")
        if path in {"/health/liveness", "/health/readiness"}:
            return HTTPStatus.NO_CONTENT, {}, b""
        raise NotFound("use /health/liveness, /health/readiness or /metrics")
