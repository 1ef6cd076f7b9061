"""From a sender's count of samples to the call's time, and to the numbers that name events.

A sender counts its own samples: from anew when a leg comes back, at another rate after a
re-INVITE, and not at all while it is silent. The call's time goes on all the while.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a count of samples stands in the call.

    The sample at *position* is heard *ms* after the call's first, and events name it *sample*.
    It has *rate_hz* from there on; 0 is the rate that the channel began with.
    """

    position: int = 0
    sample: int = 0
    ms: int = 0
    rate_hz: int = 0


class Timeline:
    """The call's times from *origin* on; *named_hz* is the rate that the channel began with.

    Events are named by samples at that rate, so no two have one name whatever the sender counts.
    """

    def __init__(self, named_hz: int, origin: Origin = Origin()) -> None:
        self._named_hz = named_hz
        self._origin = origin
        self.rate_hz = origin.rate_hz or named_hz

    def ms(self, position: int) -> int:
        """Return the call's time at *position*."""
        origin = self._origin
        return origin.ms + (position - origin.position) * 1000 // self.rate_hz

    def sample(self, position: int) -> int:
        """Return the number that events have for *position*."""
        origin = self._origin
        passed = position - origin.position
        return origin.sample + passed * self._named_hz // self.rate_hz

    def after(self, end: int, away_ms: int, position: int, rate_hz: int = 0) -> Origin:
        """Return the origin of a count that goes on at *position*, *away_ms* after *end*."""
        rate_hz = rate_hz or self.rate_hz
        return Origin(
            position,
            self.sample(end) + away_ms * self._named_hz // 1000,
            self.ms(end) + away_ms,
            0 if rate_hz == self._named_hz else rate_hz,
        )
