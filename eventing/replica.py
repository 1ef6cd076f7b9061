"""A replica: the one gunicorn process of a function, or none while nobody asks for it."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from linewatch.errors import Unavailable
from linewatch.serving.gunicorn_conf import PARENT

log = logging.getLogger(__name__)

START_S: Final = 30.0
_READY = "/health/readiness"
_POLL_S: Final = 0.02
_WATCH_S: Final = 0.25
_END_S: Final = 12.0
_PAUSE_S: Final = 1.0


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def command(target: str, port: int) -> list[str]:
    """Return the command line that serves *target* (``module:create()``) on *port*."""
    config = "python:linewatch.serving.gunicorn_conf"
    return [sys.executable, "-m", "gunicorn", "-c", config, "-b", f"127.0.0.1:{port}", target]


class Replica:
    """Starts the process for the first request, ends it when idle, starts it again if it died."""

    def __init__(
        self,
        name: str,
        target: str,
        env: Mapping[str, str],
        *,
        idle_window_s: float,
        start_s: float = START_S,
        on_change: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.cold_starts = 0
        self._target = target
        # With bytecode not written, every cold start would compile its imports anew.
        self._env = {k: v for k, v in env.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._idle_window_s = idle_window_s
        self._start_s = start_s
        self._on_change = on_change
        # gunicorn waits for kept connections to end: the activator closes its own here.
        self._on_end = on_end
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None
        self._in_use = 0
        self._failures = 0
        self._used_at = 0.0
        self._closing = False
        # The kernel's parent-death signal follows the thread that spawned: it must live on.
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)
        self._keeper.start()

    @property
    def replicas(self) -> int:
        """How many processes there are: 0 or 1."""
        return 0 if self._process is None else 1

    @property
    def pid(self) -> int | None:
        """The process, which leads its own group."""
        return None if self._process is None else self._process.pid

    def acquire(self) -> int:
        """Hold the caller until the process is ready; return its port. Then `release`.

        Raises:
            Unavailable: it did not start within the time it has.
        """
        with self._changed:
            self._in_use += 1
            self._changed.notify_all()
            failures = self._failures
            self._changed.wait_for(
                lambda: self._port or self._failures > failures or self._closing,
                self._start_s + _END_S,
            )
            if self._port is not None:
                return self._port
            self._in_use -= 1
            raise Unavailable(f"{self.name} did not start: its own log says why")

    def release(self) -> None:
        """Note that the request that `acquire` let in was answered."""
        with self._changed:
            self._in_use -= 1
            self._used_at = time.monotonic()

    def close(self) -> None:
        """End the process and take no more requests."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._keeper.join()

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._in_use or self._closing)
                if self._closing:
                    return
            self._live()

    def _live(self) -> None:
        """Start the process, look after it, end it."""
        port = free_port()
        began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            command(self._target, port),
            env={**self._env, PARENT: str(os.getpid())},
            start_new_session=True,
        )
        self.cold_starts += 1
        self._on_change()
        ready = self._wait_until_ready(self._process, port, began)
        if ready:
            self._set_port(port)
            self._watch(self._process)
        self._on_end()
        self._end(self._process)
        self._process = None
        self._on_change()
        if not ready:
            self._fail()

    def _set_port(self, port: int | None) -> None:
        with self._changed:
            self._port = port
            self._used_at = time.monotonic()
            self._changed.notify_all()

    def _fail(self) -> None:
        with self._changed:
            self._failures += 1
            self._changed.notify_all()
            # What cannot start must not be started in a tight loop.
            self._changed.wait_for(lambda: self._closing, _PAUSE_S)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], port: int, began: float) -> bool:
        bound_ms: int | None = None
        while time.monotonic() - began < self._start_s and not self._closing:
            if process.poll() is not None:
                log.error("%s: ended while it started, status %s", self.name, process.returncode)
                return False
            status = _status(port)
            if status is not None:
                bound_ms = bound_ms or _ms_since(began)
            if status is not None and status < HTTPStatus.MULTIPLE_CHOICES:
                log.info(
                    "%s: cold start %d, bound %d ms, ready %d ms after spawn (local activator)",
                    self.name,
                    self.cold_starts,
                    bound_ms,
                    _ms_since(began),
                )
                return True
            time.sleep(_POLL_S)
        log.error("%s: not ready within %g s", self.name, self._start_s)
        return False

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Return once the process died, was idle for the window, or is not wanted any more."""
        with self._changed:
            while not self._closing:
                if process.poll() is not None:
                    log.error("%s: died, status %s", self.name, process.returncode)
                    break
                idle_s = time.monotonic() - self._used_at
                if not self._in_use and idle_s >= self._idle_window_s:
                    log.info("%s: idle for %g s, scales to zero", self.name, self._idle_window_s)
                    break
                self._changed.wait(_WATCH_S)
            # Under the lock: nobody may get the port of a process that is to end.
            self._port = None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _status(port: int) -> int | None:
    """Return what the readiness path answers, or nothing while nobody listens."""
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        caller.request("GET", _READY)
        return caller.getresponse().status
    except TimeoutError:
        # It listens: the kernel took the connection.
        return HTTPStatus.SERVICE_UNAVAILABLE
    except (OSError, http.client.HTTPException):
        return None
    finally:
        caller.close()


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
