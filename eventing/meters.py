"""What the dispatcher and the sink count, for Prometheus."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from linewatch import exposition

_DELIVERY_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

_SOURCE: Final = ("source",)


class Outcome(StrEnum):
    """What became of an event that the dispatcher brought to its function."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    DEAD = "dead"


class DispatcherMeters:
    """The counters of one dispatcher process."""

    def __init__(self) -> None:
        self._registry = exposition.registry()
        self._lag = Gauge(
            "linewatch_source_lag", "Entries not settled", _SOURCE, registry=self._registry
        )
        self._dead = Gauge(
            "linewatch_source_dead_letters",
            "Dead letters not replayed",
            _SOURCE,
            registry=self._registry,
        )
        self._deliveries = Counter(
            "linewatch_deliveries",
            "Events brought to their function, and tries repeated",
            (*_SOURCE, "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "linewatch_delivery_seconds",
            "One delivery with its tries",
            _SOURCE,
            registry=self._registry,
            buckets=_DELIVERY_BUCKETS,
        )

    def begin(self, source: str) -> None:
        """Let every counter of *source* begin at 0: a rate needs that."""
        self._seconds.labels(source)
        for outcome in Outcome:
            self._deliveries.labels(source, outcome)

    def count(self, source: str, outcome: Outcome) -> None:
        """Count one delivery, or one try that is repeated."""
        self._deliveries.labels(source, outcome).inc()

    def took(self, source: str, seconds: float) -> None:
        """Note how long one delivery took."""
        self._seconds.labels(source).observe(seconds)

    def show(self, source: str, lag: int, dead: int) -> None:
        """Note what lies before *source* and what it gave up."""
        self._lag.labels(source).set(lag)
        self._dead.labels(source).set(dead)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return exposition.text(self._registry)


class Taking(StrEnum):
    """What became of an event that was posted to the sink."""

    TAKEN = "taken"
    REFUSED = "refused"
    FAILED = "failed"


class SinkMeters:
    """The counters of one sink process."""

    def __init__(self) -> None:
        self._registry = exposition.registry()
        self._events = Counter(
            "linewatch_sink_events",
            "Events posted to the sink",
            ("sink", "outcome"),
            registry=self._registry,
        )

    def begin(self, sink: str) -> None:
        """Let every counter of *sink* begin at 0: a rate needs that."""
        for outcome in Taking:
            self._events.labels(sink, outcome)

    def count(self, sink: str, outcome: Taking) -> None:
        """Count one event."""
        self._events.labels(sink, outcome).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return exposition.text(self._registry)
