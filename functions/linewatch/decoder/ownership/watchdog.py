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
        deadline_s: How long one decode may take, of up to a second of audio.
        end: What ends the process.
    """

    def __init__(self, deadline_s: float, end: Callable[[], None] = _end) -> None:
        self._allowed = max(1, round(deadline_s / TICK_S))
        self._end = end
        self._ticks = 0
        self._ends: dict[int, int] = {}

    @contextmanager
    def watching(self, audio_s: float = 1.0) -> Iterator[None]:
        """Watch the block that runs in this thread; more than a second of audio takes longer."""
        thread = threading.get_ident()
        self._ends[thread] = self._ticks + round(self._allowed * max(1.0, audio_s))
        try:
            yield
        finally:
            del self._ends[thread]

    def tick(self) -> None:
        """Call this every `TICK_S`."""
        self._ticks += 1
        if any(self._ticks > end for end in list(self._ends.values())):
            log.critical("a decode passed its deadline: this process ends")
            self._end()
