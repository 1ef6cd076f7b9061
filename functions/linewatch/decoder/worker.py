"""gunicorn's threaded worker with a door: a thread serves a request only once it is whole.

gunicorn's own gives a thread to whoever connects, and lets it wait for the rest of the
request without end: as many slow senders as there are threads stop the decoder. Here one
selector reads them all, for a bounded time and within bounded memory.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import OrderedDict
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from linewatch.decoder.arrival import HEAD_LIMIT, Arrival
from linewatch.decoder.intake import BODY_LIMIT
from linewatch.errors import LinewatchError, of_framework, problem

#: A request must be whole so long after its first byte, and that so long after connecting.
ARRIVAL_S: Final = 10.0
#: What all unfinished requests together may hold; the oldest make room.
ROOM_BYTES: Final = 32 * 1024 * 1024
#: How long a sender may take to read its answer.
ANSWER_S: Final = 5.0
#: How long an answered connection may still send what nobody reads: else it would be reset
#: before the sender has read the answer.
LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 4 * (HEAD_LIMIT + BODY_LIMIT)
_PIECE: Final = 64 * 1024
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Bounded(socket.socket):
    """A connection whose blocking calls end: a peer that stands still is one that hung up."""

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - socket's own
        self.settimeout(ANSWER_S if flag else 0.0)

    def sendall(self, *args: Any) -> None:  # noqa: ANN401 - socket's own
        try:
            super().sendall(*args)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the answer is not read") from None


class _Waiting:
    """A connection in front of the door; *said* is what it has sent of its request."""

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.is_watched = False
        self.said = Arrival(BODY_LIMIT)


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves requests that are whole; whoever takes too long is told so and let go."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - gunicorn's own
        super().__init__(*args, **kwargs)
        self._waiting: OrderedDict[Any, _Waiting] = OrderedDict()
        self._leaving: OrderedDict[Any, tuple[float, int]] = OrderedDict()
        self._held_bytes = 0

    # -- coming -----------------------------------------------------------------------

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's hook
        """Let a connection wait for its request; it is served at once if that is whole."""
        if conn.parser is None:
            conn.sock = _Bounded(fileno=conn.sock.detach())
        conn.sock.setblocking(False)
        self._waiting[conn] = waiting = _Waiting(time.monotonic())
        if conn.parser is not None:
            self._take(conn, conn.parser.unreader.take_buffered())
        if conn in self._waiting:
            self._on_readable(conn, None)
        # Mostly it was whole by now.
        if conn in self._waiting:
            waiting.is_watched = True
            self.poller.register(conn.sock, EVENT_READ, partial(self._on_readable, conn))

    def _on_readable(self, conn: Any, _: object) -> None:  # noqa: ANN401
        try:
            piece = conn.sock.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if piece:
            self._take(conn, piece)
        else:
            self._forget(conn)
            self._close(conn)

    def _take(self, conn: Any, piece: bytes) -> None:  # noqa: ANN401
        waiting = self._waiting[conn]
        before = len(waiting.said)
        try:
            waiting.said.take(piece)
        except LinewatchError as error:
            self._held_bytes -= before - len(waiting.said)
            self._refuse(conn, error)
            return
        self._held_bytes += len(waiting.said) - before
        if waiting.said.is_whole:
            self._serve(conn)
        elif waiting.said.expects_word:
            waiting.said.expects_word = False
            self._say(conn, _GO_ON)

    def _serve(self, conn: Any) -> None:  # noqa: ANN401
        said = self._forget(conn).said
        conn.data_ready = True
        conn.init()
        conn.parser.unreader.unread(said.request())
        super().enqueue_req(conn)

    def _forget(self, conn: Any) -> _Waiting:  # noqa: ANN401
        waiting = self._waiting.pop(conn)
        self._held_bytes -= len(waiting.said)
        if waiting.is_watched:
            self.poller.unregister(conn.sock)
        return waiting

    # -- going ------------------------------------------------------------------------

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:  # noqa: ANN401 - gunicorn's hook
        """Keep the connection if it may be used again, else let it go without waiting for it."""
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._leave(conn)

    def _refuse(self, conn: Any, error: LinewatchError) -> None:  # noqa: ANN401
        self._forget(conn)
        body, status, headers = problem(error)
        told = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in told.items()]
        self._say(conn, ("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        self._leave(conn)

    def _say(self, conn: Any, text: bytes) -> None:  # noqa: ANN401
        try:
            conn.sock.send(text)
        except OSError:
            self.log.debug("a connection broke before it was answered")

    def _leave(self, conn: Any) -> None:  # noqa: ANN401
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            self._close(conn)
            return
        self._leaving[conn] = (time.monotonic(), 0)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_leaving, conn))

    def _on_leaving(self, conn: Any, _: object) -> None:  # noqa: ANN401
        since_s, thrown_away = self._leaving[conn]
        try:
            thrown = len(conn.sock.recv(_PIECE))
        except BlockingIOError:
            return
        except OSError:
            thrown = 0
        self._leaving[conn] = (since_s, thrown_away + thrown)
        if not thrown or thrown_away > _LINGER_BYTES:
            self._left(conn)

    def _left(self, conn: Any) -> None:  # noqa: ANN401
        del self._leaving[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Any) -> None:  # noqa: ANN401
        self.nr_conns -= 1
        conn.close()

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - gunicorn's hook
        """Leave at once when told to end: close the socket, and let the pod say that it goes.

        gunicorn's own keeps the listening socket until the last request is answered: whoever
        connects meanwhile would wait in vain, and the lease would tell others to do so. Kept
        connections are answered for two more seconds. A session that is adopted while its step
        is decoded here has a new epoch: this worker's utterance is refused, its sender is told
        to send again.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()
            self.service.pod.stop()

    @property
    def service(self) -> Any:  # noqa: ANN401 - none until the application was made
        """The decoder's service; none where the application was never made."""
        return getattr(getattr(self, "wsgi", None), "extensions", {}).get("linewatch")

    # -- time and room ----------------------------------------------------------------

    def murder_pending(self) -> None:
        """Let go whoever takes too long, and the oldest where there is no room for all."""
        super().murder_pending()
        while self._leaving and self._is_over(next(iter(self._leaving.values()))[0], LINGER_S):
            self._left(next(iter(self._leaving)))
        while self._waiting and self._is_over(
            next(iter(self._waiting.values())).since_s, ARRIVAL_S if self.alive else LINGER_S
        ):
            self._send_away(next(iter(self._waiting)))

    def _is_over(self, since_s: float, patience_s: float) -> bool:
        return self._is_full() or time.monotonic() > since_s + patience_s

    def _is_full(self) -> bool:
        return self.nr_conns >= self.worker_connections or self._held_bytes > ROOM_BYTES

    def _send_away(self, conn: Any) -> None:  # noqa: ANN401
        if len(self._waiting[conn].said) and not self._is_full():
            late = "the request did not arrive in time: send it again, at once"
            self._refuse(conn, of_framework(408, "Request timeout", late))
        else:
            self._forget(conn)
            self._close(conn)
