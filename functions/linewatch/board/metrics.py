"""What the board function counts."""

from __future__ import annotations

from prometheus_client import Counter

from linewatch.serving import metrics_text


class Metrics:
    """The counters of one board process."""

    def __init__(self) -> None:
        registry = metrics_text.registry()
        self.facts = Counter(
            "linewatch_board_facts", "Events the board holds, repeats included", registry=registry
        )
        self.alerts = Counter("linewatch_board_alerts", "Alerts published", registry=registry)
        self.refused = Counter(
            "linewatch_board_refused", "Events the board can never hold", registry=registry
        )
        self._registry = registry

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return metrics_text.text(self._registry)
