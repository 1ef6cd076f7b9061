"""What the board function counts."""

from __future__ import annotations

import logging

from prometheus_client import Counter

from linewatch.serving.function import FunctionMetrics

log = logging.getLogger(__name__)


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
        self.unreadable = Counter(
            "linewatch_board_unreadable",
            "Facts left out because newer code wrote them, each time",
            registry=self.registry,
        )
        self._warned = False

    def leave_out(self, facts: int) -> None:
        """Count *facts* that newer code wrote; the first time say so."""
        self.unreadable.inc(facts)
        if facts and not self._warned:
            log.warning("board: newer code wrote what is left out here; it stays as it is")
            self._warned = True
