"""When something came, by our clock, and whether a sender's clock is believed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from linewatch.calls import Chunk

#: An announcement may come after a day in a queue.
LATE_MS: Final = 24 * 3600 * 1000
#: No call begins in the future: clocks that a server sets differ by less.
EARLY_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something came at *at_ms*; what was *late_ms* before is believed to have been then."""

    at_ms: int
    late_ms: int = LATE_MS

    def believed(self, told_ms: int | None) -> tuple[int, int]:
        """Return when a call started, and by how many ms the sender's clock is ahead of ours.

        *told_ms* is what the sender says. The arrival takes its place if there is none, or if
        it lies too long before the arrival, or after it.
        """
        if told_ms is None:
            return self.at_ms, 0
        off_ms = told_ms - self.at_ms
        if -self.late_ms <= off_ms <= EARLY_MS:
            return told_ms, 0
        return self.at_ms, off_ms

    def of_start(self, chunk: Chunk) -> Arrival:
        """Return when the first sample of a channel came of which *chunk* came now."""
        return replace(self, at_ms=self.at_ms - chunk.position * 1000 // chunk.rate_hz)
