"""Health and metrics of a role that serves nothing else by HTTP: one thread for all who ask."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from linewatch.errors import LinewatchError, SettingsError, problem
from linewatch.serving.arrival import Arrival
from linewatch.serving.head import Head
from linewatch.serving.metrics_text import CONTENT_TYPE
from linewatch.settings import host_port

#: A connection may stay so long without a whole request.
IDLE_S: Final = 60.0
#: How long a caller may take to read its answer.
ANSWER_S: Final = 5.0
#: Connections at once; the one that has waited longest makes room for another.
MOST_CONNECTIONS: Final = 256
_PIECE: Final = 4096
_PLAIN: Final = "text/plain"

Shown = tuple[int, str, bytes]


class HealthPort:
    """Answers ``/health/liveness``, ``/health/readiness`` and ``/metrics`` until it is closed.

    Args:
        bind: The address to listen on.
        port: The port; 0 takes a free one.
        metrics: What ``/metrics`` shows; it may not wait for anything.
        is_ready: What ``/health/readiness`` asks; likewise.

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
        self._listener = _listener(bind, port)
        self.port: Final = int(self._listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._connections = 0
        # Those without a whole request, longest first.
        self._waiting: dict[asyncio.Task[None] | None, None] = {}
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._connected, sock=self._listener, backlog=MOST_CONNECTIONS
        )
        async with server:
            await self._closed.wait()

    # -- a connection -----------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        if self._connections > MOST_CONNECTIONS:
            self._make_room()
        rest: bytes | None = b""
        try:
            while rest is not None:
                rest = await self._answered(reader, writer, rest)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()

    def _make_room(self) -> None:
        longest = next(iter(self._waiting), None)
        if longest:
            del self._waiting[longest]
            longest.cancel()

    async def _answered(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes
    ) -> bytes | None:
        """Answer one request that begins with *rest*.

        Returns:
            What came after it, or none if the connection ends here.
        """
        arrival = Arrival(0)
        try:
            if not await self._arrived(arrival, reader, rest):
                return None
            head, _, rest = arrival.parts()
            answer, is_kept = self._show(head), _is_kept(head)
        except LinewatchError as error:
            body, status, headers = problem(error)
            answer, is_kept = (status, headers["Content-Type"], body.encode()), False
        writer.write(_bytes_of(answer, is_kept=is_kept))
        async with asyncio.timeout(ANSWER_S):
            await writer.drain()
        return rest if is_kept else None

    async def _arrived(self, arrival: Arrival, reader: asyncio.StreamReader, piece: bytes) -> bool:
        """Read one whole request; tell whether there was one."""
        task = asyncio.current_task()
        self._waiting[task] = None
        try:
            async with asyncio.timeout(IDLE_S):
                arrival.take(piece)
                while not arrival.is_whole and (piece := await reader.read(_PIECE)):
                    arrival.take(piece)
        finally:
            self._waiting.pop(task, None)
        return arrival.is_whole

    def _show(self, head: Head) -> Shown:
        if head.method != "GET":
            return HTTPStatus.NOT_IMPLEMENTED, _PLAIN, b"send GET\n"
        if head.path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics()
        if head.path == "/health/liveness":
            return HTTPStatus.OK, _PLAIN, b"alive\n"
        if head.path != "/health/readiness":
            return HTTPStatus.NOT_FOUND, _PLAIN, b"not found\n"
        if self._is_ready():
            return HTTPStatus.OK, _PLAIN, b"ready\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"not ready\n"


def _listener(bind: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET)
    # A start anew need not wait for the kernel to forget the last one's connections.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((bind, port))
        listener.listen(MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        where = host_port(bind, port)
        raise SettingsError(f"cannot listen on {where}: {error.strerror}") from None
    return listener


def _is_kept(head: Head) -> bool:
    said = [value.lower() for name, value in head.fields if name == "CONNECTION"]
    return head.version > (1, 0) and "close" not in said


def _bytes_of(answer: Shown, *, is_kept: bool) -> bytes:
    status, kind, body = answer
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *([] if is_kept else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
