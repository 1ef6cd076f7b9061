"""gunicorn's threaded worker with a door: a thread serves a request only once it is whole.

gunicorn's own gives a thread to whoever connects, and lets it wait for the rest of the
request without end: as many slow senders as there are threads stop the service. Here one
selector reads them all, for a bounded time and within bounded memory.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import OrderedDict
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from linewatch.errors import LinewatchError, of_framework, problem
from linewatch.serving.arrival import Arrival
from linewatch.serving.head import HEAD_LIMIT
from linewatch.serving.thread_pool import ThreadPool
from linewatch.serving.whole_request import Requests

#: A request must be whole so long after its first byte, and that so long after connecting.
ARRIVAL_S: Final = 10.0
#: What all unfinished requests together may hold; the oldest make room.
ROOM_BYTES: Final = 32 * 1024 * 1024
#: How long a sender may take to read its answer.
ANSWER_S: Final = 5.0
#: Long before the arbiter takes a silent worker for a hung one: that is after 30 s at least.
_BEAT_S: Final = 1.0
#: How long an answered connection may still send what nobody reads: else it would be reset
#: before the sender has read the answer.
LINGER_S: Final = 2.0
_LINGER_REQUESTS: Final = 4
#: Where it is asked whether the process runs: answered while every other thread waits for a
#: store or for a name, else a pod that only waits would be killed.
LIVENESS: Final = "/health/liveness"
#: More than one: who does not read the answer holds its thread up for `ANSWER_S`.
_LIVENESS_THREADS: Final = 4
#: What an application takes that does not say.
_BODY_BYTES: Final = 1024 * 1024
_PIECE: Final = 64 * 1024
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Bounded(socket.socket):
    """A connection whose blocking calls end: a peer that stands still is one that hung up.

    What is sent is kept until `flush`: gunicorn sends an answer's head and body one by one.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self._answer = b""

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - socket's own
        self.settimeout(ANSWER_S if flag else 0.0)

    def sendall(self, data: Any, *_: int) -> None:  # noqa: ANN401 - socket's own
        self._answer += data

    def replace(self, answer: bytes) -> None:
        """Send *answer* instead of what was kept."""
        self._answer = answer

    def flush(self) -> None:
        """Send what was kept."""
        answer, self._answer = self._answer, b""
        try:
            super().sendall(answer)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the answer is not read") from None


class _Waiting:
    """A connection in front of the door; *said* is what it has sent of its request."""

    def __init__(self, since_s: float, body_limit: int) -> None:
        self.since_s = since_s
        self.is_watched = False
        self.said = Arrival(body_limit)


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves requests that are whole; whoever takes too long is told so and let go."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - gunicorn's own
        super().__init__(*args, **kwargs)
        self._waiting: OrderedDict[Any, _Waiting] = OrderedDict()
        self._leaving: OrderedDict[Any, tuple[float, int]] = OrderedDict()
        self._held_bytes = 0
        self._next_beat_s = 0.0

    @property
    def body_limit(self) -> int:
        """The longest body in bytes, as the application says by Flask's ``MAX_CONTENT_LENGTH``."""
        config = getattr(self.wsgi, "config", {})
        return int(config.get("MAX_CONTENT_LENGTH") or _BODY_BYTES)

    def get_thread_pool(self) -> ThreadPool:
        """Return what serves requests; gunicorn's hook."""
        self._liveness = ThreadPool(_LIVENESS_THREADS)
        return ThreadPool(self.cfg.threads)

    def run(self) -> None:
        """Serve until told to end."""
        try:
            super().run()
        finally:
            self._liveness.shutdown()

    def notify(self) -> None:
        """Show the arbiter that this worker lives, but not at each request."""
        now_s = time.monotonic()
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + _BEAT_S
            super().notify()

    # -- coming -----------------------------------------------------------------------

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's hook
        """Let a connection wait for its request; it is served at once if that is whole."""
        if conn.parser is None:
            conn.sock = _Bounded(fileno=conn.sock.detach())
            conn.parser = Requests()
        conn.sock.setblocking(False)
        self._waiting[conn] = waiting = _Waiting(time.monotonic(), self.body_limit)
        if conn.parser.rest:
            self._take(conn, conn.parser.take_rest())
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
        elif waiting.said.expects_continue:
            waiting.said.expects_continue = False
            self._say(conn, _GO_ON)

    def _serve(self, conn: Any) -> None:  # noqa: ANN401
        said = self._forget(conn).said
        conn.data_ready = True
        pool = self._liveness if conn.parser.put(said).path == LIVENESS else self.tpool
        pool.submit(partial(self._answer, conn))

    def _answer(self, conn: Any) -> None:  # noqa: ANN401
        """Serve one request; runs in a thread of the pool."""
        if not self._served(conn):
            self.method_queue.defer(self._leave, conn)
        elif conn.parser.rest:
            self.method_queue.defer(self.enqueue_req, conn)
        else:
            self._keep(conn)

    def _served(self, conn: Any) -> bool:  # noqa: ANN401
        """Answer; tell whether the connection may be used again."""
        is_kept = bool(self.handle(conn))
        try:
            conn.sock.flush()
        except OSError:
            self.log.debug("a connection broke before it was answered")
            return False
        return is_kept

    def _keep(self, conn: Any) -> None:  # noqa: ANN401
        """Keep a connection for its next request, without waking the selector's thread."""
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER_S)
        readable = partial(self.on_client_socket_readable, conn)
        try:
            self.poller.register(conn.sock, EVENT_READ, readable)
        except (OSError, ValueError):
            # The worker has ended meanwhile, and its selector with it.
            conn.close()

    def _cap_keepalive(self, deadline: float) -> None:
        # gunicorn's own walks through what `_keep` may be adding to.
        for conn in tuple(self.keepalived_conns):
            conn.timeout = min(conn.timeout, deadline)

    def _forget(self, conn: Any) -> _Waiting:  # noqa: ANN401
        waiting = self._waiting.pop(conn)
        self._held_bytes -= len(waiting.said)
        if waiting.is_watched:
            self.poller.unregister(conn.sock)
        return waiting

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ANN401 - gunicorn's hook
        """Answer what the application let fall with a problem; gunicorn logs it."""
        super().handle_error(req, client, addr, exc)
        client.replace(_problem_answer(LinewatchError("this is our fault: send it again")))

    # -- going ------------------------------------------------------------------------

    def _refuse(self, conn: Any, error: LinewatchError) -> None:  # noqa: ANN401
        self._forget(conn)
        self._say(conn, _problem_answer(error))
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
        if not thrown or thrown_away > _LINGER_REQUESTS * (HEAD_LIMIT + self.body_limit):
            self._left(conn)

    def _left(self, conn: Any) -> None:  # noqa: ANN401
        del self._leaving[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Any) -> None:  # noqa: ANN401
        self.nr_conns -= 1
        conn.close()

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


def _problem_answer(error: LinewatchError) -> bytes:
    """Return the whole HTTP answer that describes *error* and ends the connection."""
    body, status, headers = problem(error)
    sent = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in sent.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
