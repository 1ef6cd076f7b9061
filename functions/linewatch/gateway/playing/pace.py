"""Real time: pieces of audio leave at absolute deadlines, so that no error adds up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """The time as a line needs it; `wait` ends early, with True, when *stop* is set."""

    stop: threading.Event = field(default_factory=threading.Event)
    monotonic_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time

    def wait(self, seconds: float) -> bool:
        """Wait *seconds*; tell whether it is time to stop."""
        return self.stop.wait(max(0.0, seconds))

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return round(self.wall_s() * 1000)


class Pace:
    """Lets audio pass at exactly 1x, counted from its first sample.

    One that was held up does not skip: it lets everything pass that is late.
    """

    def __init__(self, clock: Clock, rate_hz: int) -> None:
        self._clock = clock
        self._rate_hz = rate_hz
        self._began_s = clock.monotonic_s()
        self._samples = 0

    def spoken(self, samples: int) -> bool:
        """Wait until the next *samples* were spoken; tell whether it is time to stop."""
        self._samples += samples
        due_s = self._began_s + self._samples / self._rate_hz
        return self._clock.wait(due_s - self._clock.monotonic_s())
