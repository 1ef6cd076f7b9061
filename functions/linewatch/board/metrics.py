"""What the board function counts."""

from __future__ import annotations

from prometheus_client import Counter

from linewatch import exposition


class Metrics:
    """The counters of one board process."""

    def __init__(self) -> None:
        registry = exposition.registry()
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
        return exposition.text(self._registry)
