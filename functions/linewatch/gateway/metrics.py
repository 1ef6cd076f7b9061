"""What the lines of a gateway count, together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from linewatch.calls import Chunk, Gap, GapReason, Step, span
from linewatch.serving import metrics_text

#: Gaps that stand for chunks which were there and will not be heard.
_LOSSES: Final = frozenset({GapReason.LOST, GapReason.OVERRUN})
_REPLY_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2)


class Metrics:
    """The counters of one gateway process."""

    def __init__(self) -> None:
        registry = metrics_text.registry()
        self.calls = Gauge("linewatch_line_calls", "Calls going on", registry=registry)
        self.chunks = Counter(
            "linewatch_line_chunks", "Chunks that a decoder has taken", registry=registry
        )
        self.resent = Counter(
            "linewatch_line_resent", "Steps that were sent once more", registry=registry
        )
        self.lost_chunks = Counter(
            "linewatch_line_lost_chunks", "Chunks that no decoder will hear", registry=registry
        )
        self.reply_s = Histogram(
            "linewatch_line_reply_seconds",
            "One step's answer, as the line waits for it",
            buckets=_REPLY_BUCKETS,
            registry=registry,
        )
        self._registry = registry

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return metrics_text.text(self._registry)


class Tally:
    """One channel's part in *metrics*: each chunk counts once, however often it is sent."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._sent_to = 0
        self._taken_to = 0
        self._lost_to = 0

    @contextmanager
    def sending(self, step: Step) -> Iterator[None]:
        """Count *step* as sent and time its answer, or how long none came."""
        first, after = span(step)
        self._metrics.resent.inc(first < self._sent_to)
        self._sent_to = max(self._sent_to, after)
        with self._metrics.reply_s.time():
            yield

    def taken(self, step: Step, next_seq: int) -> None:
        """Count *step*, which was answered with *next_seq*."""
        first, after = span(step)
        if isinstance(step, Chunk):
            self._metrics.chunks.inc(self._taken_to <= first < next_seq)
            self._taken_to = max(self._taken_to, min(after, next_seq))
        elif isinstance(step, Gap) and step.reason in _LOSSES:
            self._metrics.lost_chunks.inc(max(0, after - max(first, self._lost_to)))
            self._lost_to = max(self._lost_to, after)

    def given_up(self, chunks: int) -> None:
        """Count *chunks* that were not yet taken when the channel could not go on."""
        self._metrics.lost_chunks.inc(chunks)
