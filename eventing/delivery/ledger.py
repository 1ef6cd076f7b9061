"""The ledger of one partition: which offsets were taken and settled, and how far to commit.

Deliveries settle in any order, and Kafka keeps one number a partition: everything
below it is done. No I/O.
"""

from __future__ import annotations

from collections import deque


class Ledger:
    """Counts from the first offset taken; gaps between offsets (Kafka has them) are no matter."""

    def __init__(self) -> None:
        self._taken: deque[int] = deque()
        self._settled: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None

    def take(self, offset: int) -> None:
        """Note that the entry at *offset* is being delivered; offsets come in their order."""
        self._taken.append(offset)

    def settle(self, offset: int) -> None:
        """Note that the entry at *offset* is done; one below the first in delivery was already."""
        if not self._taken or offset < self._taken[0]:
            return
        self._settled.add(offset)
        while self._taken and self._taken[0] in self._settled:
            done = self._taken.popleft()
            self._settled.discard(done)
            self._next = done + 1

    @property
    def due(self) -> int | None:
        """The offset to commit: the lowest not settled; None where it is committed already."""
        return None if self._next == self._committed else self._next

    def commit(self, offset: int) -> None:
        """Note that Kafka keeps *offset*."""
        self._committed = offset
