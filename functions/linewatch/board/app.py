"""The board function over HTTP: scores and what happens to calls in, alerts out.

The answer is 204 once the board holds the event and the sink took every alert
that came of it. Otherwise it is an error, the source sends the event again, and
nothing is doubled: the board upserts, and an alert that was taken is marked. With
``REPLY=true`` alerts stay on the board and nothing is published: one event may raise
several, and a reply is one event. See `linewatch.sending.outlet`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cloudevents.core.v1.event import CloudEvent
from flask import Flask

from linewatch import events, payloads
from linewatch.board.encoding import Fact
from linewatch.board.metrics import Metrics
from linewatch.board.scores import Shown
from linewatch.board.settings import Settings
from linewatch.board.store import Board
from linewatch.calls import Alert, CallEnd, CallResumed, CallStart, CallUpdate, Missing, Score
from linewatch.errors import BadEvent
from linewatch.sending.outlet import Answer, Outlet, Taker
from linewatch.serving.function import Function, begin, routed
from linewatch.settings import exits_on_wrong
from linewatch.tracing.spans import OFF, Span, Tracer, child_of, traceparent_of

#: The largest event that is taken.
BODY_LIMIT_BYTES: Final = 256 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Keeps the board and publishes the alerts that come of an event."""

    board: Board
    outlet: Outlet
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = OFF

    def take(self, event: CloudEvent) -> Answer:
        """Put one event on the board and publish the alerts that come of it."""
        began_ns = self.tracer.now_ns()
        put = self.board.put(_fact(event))
        self.metrics.facts.inc()
        self.metrics.leave_out(put.unreadable)
        given = traceparent_of(event)
        own = child_of(given, "board")
        if self.outlet.sink:
            for alert in put.unpublished:
                self._publish(self.outlet.sink, alert, own)
        self.tracer.tell(Span("board", own, began_ns, given))
        return "", 204, {}

    def _publish(self, sink: Taker, alert: Alert, parent: str) -> None:
        began_ns = self.tracer.now_ns()
        event = events.call_alert(alert)
        sink.send(event)
        self.board.mark_published(alert)
        log.info("alert published rule=%s severity=%s", alert.rule, alert.severity)
        self.metrics.alerts.inc()
        self.tracer.tell(Span("alert", traceparent_of(event), began_ns, parent))

    def check(self) -> None:
        """Return if the board's store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        self.board.ping()


def _fact(event: CloudEvent) -> Fact:
    value = payloads.read(event)
    if not isinstance(value, CallStart | CallUpdate | CallEnd | CallResumed | Missing | Score):
        raise BadEvent(f"type {event.get_type()} is not kept on the board")
    return value


def create(env: Mapping[str, str] | None = None) -> Flask:
    """Make the WSGI application; gunicorn calls this.

    *env* is the environment unless a test gives another.
    """
    settings, tracer = begin("board", Settings, os.environ if env is None else env)
    outlet = Outlet.of(settings, "alerts", "the board only")
    shown = Shown(settings.consumers_shown)
    board = Board.from_url(settings.redis_url, shown, settings.log_kept_hours * 3600)
    with exits_on_wrong("board"):
        board.check()
    return _routed(Keeping(board, outlet, tracer=tracer))


def _routed(keeping: Keeping) -> Flask:
    return routed(Function(keeping, keeping.metrics, keeping.outlet, BODY_LIMIT_BYTES))
