"""The threads that serve requests: who was free last goes first, for its caches are warm."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class ThreadPool:
    """At most *size* threads, begun as they are needed. Jobs do not raise.

    All idle threads of the standard library's pool wait for one queue: each job wakes two
    of them, one for nothing, and they take the interpreter's lock from who serves.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._idle: list[SimpleQueue[Job | None]] = []
        self._jobs: deque[Job] = deque()
        self._guard = threading.Lock()
        self._is_closed = False

    def submit(self, job: Job) -> None:
        """Do *job* as soon as a thread is idle."""
        with self._guard:
            if self._idle:
                self._idle.pop().put(job)
            elif self._free:
                self._free -= 1
                threading.Thread(target=self._work, args=(job,), name="request").start()
            else:
                self._jobs.append(job)

    def shutdown(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - gunicorn's call
        """End every thread once it has done its job, without waiting for that."""
        with self._guard:
            self._is_closed = True
            while self._idle:
                self._idle.pop().put(None)

    def _work(self, first: Job) -> None:
        mine: SimpleQueue[Job | None] = SimpleQueue()
        job: Job | None = first
        while job:
            job()
            self._next(mine)
            job = mine.get()

    def _next(self, mine: SimpleQueue[Job | None]) -> None:
        with self._guard:
            if self._jobs or self._is_closed:
                mine.put(self._jobs.popleft() if self._jobs else None)
            else:
                self._idle.append(mine)
