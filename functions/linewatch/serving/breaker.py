"""A circuit breaker for a store: while it stands still one caller waits, the others go on.

Each of a hundred calls would wait its own time-out, in the few threads that there are, and
so learn only seconds later that its chunk has to be sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Breaker:
    """Remembers whether the store's last answer was late; *late* is the error that says so."""

    def __init__(self, late: type[Exception]) -> None:
        self._late = late
        self._is_still = False
        self._waiter = threading.Lock()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask the store in the block.

        Raises:
            Exception: *late*, at once: another caller waits for the store already.
        """
        waits = self._is_still
        if waits and not self._waiter.acquire(blocking=False):
            raise self._late("the store stands still: ask again in a second")
        try:
            yield
            self._is_still = False
        except self._late:
            self._is_still = True
            raise
        finally:
            if waits:
                self._waiter.release()
