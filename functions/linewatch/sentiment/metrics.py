"""What the sentiment function counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from linewatch.serving import metrics_text

_SCORE_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class Metrics:
    """The counters of one sentiment process."""

    def __init__(self) -> None:
        registry = metrics_text.registry()
        self.scores = Counter(
            "linewatch_sentiment_scores", "Utterances scored and passed on", registry=registry
        )
        self.refused = Counter(
            "linewatch_sentiment_refused", "Events that can never be scored", registry=registry
        )
        self.score_s = Histogram(
            "linewatch_sentiment_score_seconds",
            "One utterance's score",
            buckets=_SCORE_BUCKETS,
            registry=registry,
        )
        self._registry = registry

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return metrics_text.text(self._registry)
