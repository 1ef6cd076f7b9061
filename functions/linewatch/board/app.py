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
from flask import Flask, request
from werkzeug.exceptions import HTTPException

from linewatch import events, payloads
from linewatch.board.encoding import Fact
from linewatch.board.metrics import Metrics
from linewatch.board.scores import Shown
from linewatch.board.store import Board
from linewatch.calls import Alert, CallEnd, CallStart, Missing, Score
from linewatch.errors import BadEvent, LinewatchError, fault, problem, refused
from linewatch.sending.outlet import Answer, Outlet, Taker
from linewatch.serving import metrics_text
from linewatch.settings import FunctionSettings, load_or_exit
from linewatch.tracing.choice import TracingSettings, tracer
from linewatch.tracing.spans import OFF, Span, Tracer, child_of, traceparent_of

#: The largest event that is taken.
BODY_LIMIT_BYTES: Final = 256 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Function:
    """What answers the requests."""

    board: Board
    outlet: Outlet
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = OFF

    def receive(self) -> Answer:
        """Take one event in and publish the alerts that come of it."""
        self.outlet.check()
        began_ns = self.tracer.now_ns()
        event = events.from_http(dict(request.headers), request.get_data(cache=False))
        put = self.board.put(_fact(event))
        self.metrics.facts.inc()
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

    def refuse(self, error: LinewatchError) -> Answer:
        """Answer with what is wrong; sent again, a 4xx would be refused again."""
        if error.status < LinewatchError.status:
            self.metrics.refused.inc()
        return problem(error)

    def liveness(self) -> Answer:
        """Answer that the process runs."""
        return "alive\n", 200, {"Content-Type": "text/plain"}

    def readiness(self) -> Answer:
        """Answer whether an event could be taken."""
        self.outlet.check()
        self.board.ping()
        return "ready\n", 200, {"Content-Type": "text/plain"}

    def shown(self) -> Answer:
        """Show everything counted."""
        return self.metrics.text(), 200, {"Content-Type": metrics_text.CONTENT_TYPE}


def _fact(event: CloudEvent) -> Fact:
    value = payloads.read(event)
    if not isinstance(value, CallStart | CallEnd | Missing | Score):
        raise BadEvent(f"type {event.get_type()} is not kept on the board")
    return value


def create(env: Mapping[str, str] | None = None) -> Flask:
    """Make the WSGI application; gunicorn calls this.

    *env* is the environment unless a test gives another.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    env = os.environ if env is None else env
    settings = load_or_exit(FunctionSettings, env, "board")
    tracing = load_or_exit(TracingSettings, env, "board")
    outlet = Outlet.of(settings, "alerts", "the board only")
    told = tracer(tracing, "linewatch-board")
    board = Board.from_url(settings.redis_url, Shown(settings.consumers_shown))
    return _routed(Function(board, outlet, tracer=told))


def _routed(function: Function) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT_BYTES
    app.add_url_rule("/", view_func=function.receive, methods=["POST"])
    app.add_url_rule("/health/liveness", view_func=function.liveness)
    app.add_url_rule("/health/readiness", view_func=function.readiness)
    app.add_url_rule("/metrics", view_func=function.shown)
    app.register_error_handler(LinewatchError, function.refuse)
    app.register_error_handler(HTTPException, refused)
    app.register_error_handler(Exception, fault)
    return app
