"""A clock whose time passes only where somebody waits."""

from __future__ import annotations

import threading


class FakeClock:
    """Stands in for `linewatch.gateway.playing.pace.Clock`; stops at *until_s*."""

    def __init__(self, *, oversleep_s=0.0, until_s=float("inf")):
        self.now_s = 1000.0
        self.waits = []
        self.stop = threading.Event()
        self._oversleep_s = oversleep_s
        self._until_s = until_s

    def monotonic_s(self):
        """Return the time waited so far."""
        return self.now_s

    def wall_ms(self):
        """Return the same as milliseconds since some 1970."""
        return round(self.now_s * 1000)

    def wait(self, seconds):
        """Let *seconds* pass at once."""
        self.waits.append(seconds)
        if seconds > 0:
            self.now_s += seconds + self._oversleep_s
        if self.now_s >= self._until_s:
            self.stop.set()
        return self.stop.is_set()
