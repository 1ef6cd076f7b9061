"""What a decoder counts, for Prometheus and for the board."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from linewatch.calls import GapReason
from linewatch.serving import metrics_text

_COMMIT_BUCKETS: Final = (0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 0.5)
_DECODE_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
_REPLY_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2)


class Metrics:
    """The counters of one decoder process."""

    def __init__(self) -> None:
        self._registry = metrics_text.registry()
        self.steps = self._counter("steps", "Steps committed and decoded")
        self.utterances = self._counter("utterances", "Utterances with words published")
        self.gaps = Counter(
            "linewatch_decoder_gaps", "Gaps published", ["reason"], registry=self._registry
        )
        for reason in GapReason:  # So that each begins at 0: a rate needs that.
            self.gaps.labels(reason)
        self.forwards = self._counter("forwards", "Requests forwarded to their owner")
        self.adoptions = self._counter("adoptions", "Sessions taken over from a dead pod")
        self.releases = self._counter("releases", "Sessions given up for another pod to take")
        self.undecodable = self._counter("undecodable", "Tails skipped because they kill decoders")
        self.parked = self._counter("parked", "Channels whose memory was freed in a silence")
        self.abandoned = self._counter("abandoned", "Calls ended because nobody came back")
        self.refused = self._counter("refused_calls", "New channels refused with 503")
        self.sessions = self._gauge("decoder_sessions", "Sessions owned")
        self.capacity = self._gauge("decoder_capacity_sessions", "Sessions this pod takes")
        self.outbox = self._gauge("outbox_records", "Records waiting for the log")
        self.outbox_limit = self._gauge("outbox_limit_records", "Records that may wait")
        self.store_used = self._gauge("store_used_ratio", "Part of Redis' memory limit in use")
        self.commit_s = self._histogram("commit_seconds", "One fenced commit", _COMMIT_BUCKETS)
        self.decode_s = self._histogram("decode_seconds", "One step's decode", _DECODE_BUCKETS)
        self.replay_s = self._histogram("replay_seconds", "One tail's replay", _REPLY_BUCKETS)
        self.reply_s = self._histogram("reply_seconds", "One step's reply", _REPLY_BUCKETS)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"linewatch_decoder_{name}", meaning, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"linewatch_{name}", meaning, registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        full = f"linewatch_decoder_{name}"
        return Histogram(full, meaning, buckets=buckets, registry=self._registry)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return metrics_text.text(self._registry)

    def shown(self) -> dict[str, int]:
        """Return what the board shows of this pod."""
        counters = {
            "chunks": self.steps,
            "forwards": self.forwards,
            "adoptions": self.adoptions,
            "undecodable": self.undecodable,
        }
        return {name: _value(counter) for name, counter in counters.items()}


def _value(counter: Counter) -> int:
    (metric,) = counter.collect()
    return int(metric.samples[0].value)
