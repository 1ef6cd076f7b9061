"""What every function shares: its routes, its health, its counters, and how it refuses.

A function is a package ``linewatch/NAME``: ``app.py``, whose ``create()`` returns `routed` of a
`Function`, and ``settings.py`` with a class ``Settings``. The event comes in by ``POST /``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from cloudevents.core.v1.event import CloudEvent
from flask import Flask
from prometheus_client import Counter
from werkzeug.wsgi import get_input_stream

from linewatch import events
from linewatch.errors import LinewatchError, TooLarge
from linewatch.sending.outlet import Answer, Outlet
from linewatch.serving import metrics_text
from linewatch.serving.environ import headers_of
from linewatch.serving.fast_lane import FastLane, plain
from linewatch.serving.problems import answer_to
from linewatch.settings import load_or_exit
from linewatch.tracing.choice import TracingSettings, tracer
from linewatch.tracing.spans import Tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

#: The largest event that is taken, where a function does not say otherwise.
BODY_LIMIT_BYTES: Final = 1024 * 1024
S = TypeVar("S")


class FunctionMetrics:
    """The counters of one process of function *name*; a function adds its own to *registry*.

    Args:
        name: The function's.
        refused: What it means that an event is refused for good.
    """

    def __init__(self, name: str, refused: str = "Events that can never be taken") -> None:
        self.registry = metrics_text.registry()
        self.refused = Counter(f"linewatch_{name}_refused", refused, registry=self.registry)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return metrics_text.text(self.registry)


class Handler(Protocol):
    """What one function does that others do not."""

    def take(self, event: CloudEvent) -> Answer:
        """Do everything that comes of *event*; return the answer, 204 where there is no reply.

        Raises:
            LinewatchError: below 500 the event is refused for good, else it is sent again.
        """
        ...

    def check(self) -> None:
        """Return if an event could be taken now.

        Raises:
            Unavailable: it could not; says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class Function:
    """Answers the requests to one function; one that publishes nothing has no *outlet*."""

    handler: Handler
    metrics: FunctionMetrics
    outlet: Outlet | None = None
    body_limit_bytes: int = BODY_LIMIT_BYTES

    def lane(self, environ: WSGIEnvironment) -> WSGIApplication | None:
        """Answer an event; see `FastLane`."""
        is_event = environ["PATH_INFO"] == "/" and environ["REQUEST_METHOD"] == "POST"
        return plain(*self.answer(environ)) if is_event else None

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Answer the POST of an event, whatever comes."""
        try:
            return self._receive(environ)
        except Exception as error:  # noqa: BLE001 - as Flask's own handler
            return self.refuse(error)

    def _receive(self, environ: WSGIEnvironment) -> Answer:
        self._check_outlet()
        return self.handler.take(events.from_http(headers_of(environ), self._body(environ)))

    def _body(self, environ: WSGIEnvironment) -> bytes:
        # One more than is taken: a body without a length is cut there, not refused.
        body = get_input_stream(environ, max_content_length=self.body_limit_bytes + 1).read()
        if len(body) > self.body_limit_bytes:
            raise TooLarge(f"an event is at most {self.body_limit_bytes} bytes")
        return body

    def _check_outlet(self) -> None:
        if self.outlet:
            self.outlet.check()

    def refuse(self, error: Exception) -> Answer:
        """Answer with what is wrong; sent again, a 4xx would be refused again."""
        if isinstance(error, LinewatchError) and error.status < LinewatchError.status:
            self.metrics.refused.inc()
        return answer_to(error)

    def liveness(self) -> Answer:
        """Answer that the process runs."""
        return "alive\n", 200, {"Content-Type": "text/plain"}

    def readiness(self) -> Answer:
        """Answer whether an event could be taken now.

        Raises:
            Unavailable: it could not, or what comes of it has nowhere to go.
        """
        self._check_outlet()
        self.handler.check()
        return "ready\n", 200, {"Content-Type": "text/plain"}

    def shown(self) -> Answer:
        """Show everything counted."""
        return self.metrics.text(), 200, {"Content-Type": metrics_text.CONTENT_TYPE}


def begin(name: str, kind: type[S], env: Mapping[str, str]) -> tuple[S, Tracer]:
    """Return the settings of function *name* and what it tells its spans.

    Raises:
        SystemExit: a setting is wrong; one line on stderr says which.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    settings = load_or_exit(kind, env, name)
    return settings, tracer(load_or_exit(TracingSettings, env, name), f"linewatch-{name}")


def routed(function: Function) -> Flask:
    """Give *function* its routes; whatever goes wrong is answered with problem JSON."""
    app = Flask(__name__, static_folder=None)
    # What the door lets in; see `linewatch.serving.worker`.
    app.config["MAX_CONTENT_LENGTH"] = function.body_limit_bytes + 1
    app.add_url_rule("/health/liveness", view_func=function.liveness)
    app.add_url_rule("/health/readiness", view_func=function.readiness)
    app.add_url_rule("/metrics", view_func=function.shown)
    # No view: the fast lane answers events, Flask every other method on their path.
    app.add_url_rule("/", methods=["POST"], endpoint="event")
    app.register_error_handler(Exception, function.refuse)
    app.wsgi_app = FastLane(function.lane, app.wsgi_app)  # type: ignore[method-assign] # Flask's way
    return app
