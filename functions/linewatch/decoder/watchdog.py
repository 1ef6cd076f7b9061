"""Ends the process when one decode hangs: the session's next owner counts the death."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

log = logging.getLogger(__name__)

TICK_S: Final = 0.25
HUNG_EXIT: Final = 70


def _end() -> None:
    os._exit(HUNG_EXIT)


class Watchdog:
    """Counts its own ticks, so a process that was paused as a whole has not hung.

    Args:
        deadline_s: How long one decode may take.
        end: What ends the process.
    """

    def __init__(self, deadline_s: float, end: Callable[[], None] = _end) -> None:
        self._allowed = max(1, round(deadline_s / TICK_S))
        self._end = end
        self._ticks = 0
        self._began: dict[int, int] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the block that runs in this thread."""
        thread = threading.get_ident()
        self._began[thread] = self._ticks
        try:
            yield
        finally:
            del self._began[thread]

    def tick(self) -> None:
        """Call this every `TICK_S`."""
        self._ticks += 1
        if any(self._ticks - began > self._allowed for began in list(self._began.values())):
            log.critical("a decode passed its deadline: this process ends")
            self._end()
