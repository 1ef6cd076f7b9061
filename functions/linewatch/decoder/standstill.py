"""What to do while Redis stands still: one caller waits for it, the others learn it at once.

Each of a hundred calls would wait its own time-out, in the few threads that there are, and
so learn only seconds later that its chunk has to be sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Standstill:
    """Remembers whether the last answer of Redis was late; *late* is the error that says so."""

    def __init__(self, late: type[Exception]) -> None:
        self._late = late
        self._is_still = False
        self._waiter = threading.Lock()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask Redis in the block.

        Raises:
            Exception: *late*, at once: another caller waits for Redis already.
        """
        waits = self._is_still
        if waits and not self._waiter.acquire(blocking=False):
            raise self._late("Redis stands still")
        try:
            yield
            self._is_still = False
        except self._late:
            self._is_still = True
            raise
        finally:
            if waits:
                self._waiter.release()
