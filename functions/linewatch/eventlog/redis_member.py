"""One member of a consumer group on the log in Redis, which reads and settles in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from linewatch.errors import Unavailable
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.record import Entry

#: Well below the 5 s after which another member takes over what nobody touched.
_TOUCH_S: Final = 1.0


class Groups(Protocol):
    """What a member asks of the log."""

    def ensure(self, group: Group) -> None:
        """Make *group* unless it is there."""

    def pending(self, group: Group) -> list[Entry]:
        """Return what this consumer read and never acknowledged."""

    def claim(self, group: Group) -> list[Entry]:
        """Take over what no other consumer has touched for a while."""

    def read(self, group: Group, *, wait_s: float) -> list[Entry]:
        """Return new entries."""

    def touch(self, group: Group, entries: Iterable[tuple[int, int]]) -> None:
        """Show that *entries* are still being worked on."""

    def release(self, group: Group, entries: Iterable[tuple[int, int]]) -> None:
        """Let others take *entries* over at once."""

    def acknowledge(self, group: Group, entry: Entry) -> None:
        """Tell that *entry* is done."""


class RedisMember:
    """See `Member`; a thread shows that what was read is still being worked on."""

    def __init__(
        self, log: Groups, group: Group, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._group = group
        self._monotonic_s = monotonic_s
        self._reading: set[tuple[int, int]] = set()
        self._claim_at_s = 0.0
        self._left = threading.Event()
        log.ensure(group)
        self._before: list[Entry] = log.pending(group)
        self._toucher = threading.Thread(target=self._touch, name="touch", daemon=True)
        self._toucher.start()

    def poll(self, wait_s: float) -> list[Entry]:
        """Return first what was read before a crash, then what others left, then what is new."""
        found, self._before = self._before or self._left_over(), []
        found = found or self._log.read(self._group, wait_s=wait_s)
        self._reading = {entry.place for entry in found}
        return found

    def _left_over(self) -> list[Entry]:
        now_s = self._monotonic_s()
        if now_s < self._claim_at_s:
            return []
        self._claim_at_s = now_s + _TOUCH_S
        return self._log.claim(self._group)

    def settle(self, entry: Entry) -> None:
        """See `Member`."""
        self._log.acknowledge(self._group, entry)
        self._reading = self._reading - {entry.place}

    def close(self) -> None:
        """See `Member`."""
        self._left.set()
        self._toucher.join()
        unsettled = self._reading | {entry.place for entry in self._before}
        # Where Redis is away they are another's after a while.
        with suppress(Unavailable):
            self._log.release(self._group, unsettled)

    def _touch(self) -> None:
        while not self._left.wait(_TOUCH_S):
            with suppress(Unavailable):
                self._log.touch(self._group, self._reading)
