"""What the sentiment function counts."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from linewatch.serving.function import FunctionMetrics

_SCORE_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class Metrics(FunctionMetrics):
    """The counters of one sentiment process."""

    def __init__(self) -> None:
        super().__init__("sentiment", "Events that can never be scored")
        self.scores = Counter(
            "linewatch_sentiment_scores", "Utterances scored and passed on", registry=self.registry
        )
        self.score_s = Histogram(
            "linewatch_sentiment_score_seconds",
            "One utterance's score",
            buckets=_SCORE_BUCKETS,
            registry=self.registry,
        )
