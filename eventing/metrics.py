"""What the dispatcher and the sink count, for Prometheus."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from linewatch.serving import metrics_text

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
        self._registry = metrics_text.registry()
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
        return metrics_text.text(self._registry)


class MissingMeters:
    """What the last comparison found; counts itself as one, so that none since is noticed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._missing = Gauge(
            "linewatch_missing_events",
            "Events without a result or a dead letter, by the last comparison",
            _SOURCE,
            registry=registry,
        )
        self._checked = Gauge(
            "linewatch_missing_checked_timestamp_seconds",
            "When the last comparison was made, or this process started",
            registry=registry,
        )
        self._checked.set_to_current_time()

    def show(self, source: str, missing: int) -> None:
        """Note what a comparison found just now."""
        self._missing.labels(source).set(missing)
        self._checked.set_to_current_time()


class Taking(StrEnum):
    """What became of an event that was posted to the sink."""

    TAKEN = "taken"
    REFUSED = "refused"
    FAILED = "failed"


class SinkMeters:
    """The counters of one sink process; another's may be shown beside, in *registry*."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry or metrics_text.registry()
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
        return metrics_text.text(self._registry)
