"""What the board function counts."""

from __future__ import annotations

from prometheus_client import Counter

from linewatch.serving.function import FunctionMetrics


class Metrics(FunctionMetrics):
    """The counters of one board process."""

    def __init__(self) -> None:
        super().__init__("board", "Events the board can never hold")
        self.facts = Counter(
            "linewatch_board_facts",
            "Events the board holds, repeats included",
            registry=self.registry,
        )
        self.alerts = Counter("linewatch_board_alerts", "Alerts published", registry=self.registry)
