"""The sentiment function over HTTP: an ``utterance.final`` in, an ``utterance.scored`` out.

The score goes to ``K_SINK`` and the answer is 204; with ``REPLY=true`` the score is the
reply, as a Broker wants it. See `linewatch.sending.outlet`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cloudevents.core.v1.event import CloudEvent
from flask import Flask, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_input_stream

from linewatch import events, payloads
from linewatch.calls import Utterance
from linewatch.errors import (
    BadEvent,
    LinewatchError,
    TooLarge,
    Unavailable,
    Unprocessable,
    fault,
    problem,
    refused,
)
from linewatch.sending.outlet import Answer, Outlet
from linewatch.sentiment import warmup
from linewatch.sentiment.metrics import Metrics
from linewatch.sentiment.warmup import Warmup
from linewatch.serving import metrics_text
from linewatch.serving.environ import headers_of
from linewatch.serving.fast_lane import FastLane, plain
from linewatch.settings import FunctionSettings, load_or_exit
from linewatch.tracing.choice import TracingSettings, tracer
from linewatch.tracing.spans import OFF, Span, Tracer, traceparent_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from linewatch.sentiment.scorer import Scorer

#: The largest event that is taken.
BODY_LIMIT_BYTES: Final = 1024 * 1024
#: An utterance lasts some 20 s: nobody says more in it.
TEXT_LIMIT: Final = 20_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Function:
    """What answers the requests."""

    consumer: str
    warmup: Warmup
    outlet: Outlet
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = OFF

    def lane(self, environ: WSGIEnvironment) -> WSGIApplication | None:
        """Answer an event; see `FastLane`."""
        is_event = environ["PATH_INFO"] == "/" and environ["REQUEST_METHOD"] == "POST"
        return plain(*self.answer(environ)) if is_event else None

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Answer the POST of an event, whatever comes."""
        try:
            self.outlet.check()
            return self.receive(headers_of(environ), _body(environ))
        except LinewatchError as error:
            return self.refuse(error)
        except HTTPException as error:
            return refused(error)
        except Exception as error:  # noqa: BLE001 - as Flask's own handler
            return fault(error)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Take one event: read it, score it, pass the score on.

        Raises:
            LinewatchError: what the sender is told.
        """
        began_ns = self.tracer.now_ns()
        event = events.from_http(headers, body)
        utterance = _utterance(event)
        if not utterance.text.strip():
            return "", 204, {}
        scored = self._scored(utterance)
        answer = self.outlet.answer(scored)
        self.metrics.scores.inc()
        self.tracer.tell(Span("score", traceparent_of(scored), began_ns, traceparent_of(event)))
        return answer

    def _scored(self, utterance: Utterance) -> CloudEvent:
        scorer = self.warmup.scorer()
        with self.metrics.score_s.time():
            return events.utterance_scored(scorer.score(utterance, self.consumer))

    def refuse(self, error: LinewatchError) -> Answer:
        """Answer with what is wrong; sent again, a 4xx would be refused again."""
        if error.status < LinewatchError.status:
            self.metrics.refused.inc()
        return problem(error)

    def liveness(self) -> Answer:
        """Answer that the process runs."""
        return "alive\n", 200, {"Content-Type": "text/plain"}

    def readiness(self) -> Answer:
        """Answer whether an event would be scored at once.

        Raises:
            Unavailable: the scorer is not loaded yet, or scores have nowhere to go.
        """
        self.outlet.check()
        if not self.warmup.is_ready:
            raise Unavailable("the scorer is still being loaded")
        return "ready\n", 200, {"Content-Type": "text/plain"}

    def shown(self) -> Answer:
        """Show everything counted."""
        return self.metrics.text(), 200, {"Content-Type": metrics_text.CONTENT_TYPE}


def _body(environ: WSGIEnvironment) -> bytes:
    # One more than is taken: a body without a length is cut there, not refused.
    body = get_input_stream(environ, max_content_length=BODY_LIMIT_BYTES + 1).read()
    if len(body) > BODY_LIMIT_BYTES:
        raise TooLarge(f"an event is at most {BODY_LIMIT_BYTES} bytes")
    return body


def _utterance(event: CloudEvent) -> Utterance:
    if event.get_type() != events.UTTERANCE_FINAL:
        raise BadEvent(
            f"type {event.get_type()[:80]!r} is not scored here: send {events.UTTERANCE_FINAL}"
        )
    utterance = payloads.read(event)
    if not isinstance(utterance, Utterance):
        raise BadEvent("this is no utterance")
    return _checked(utterance)


def _checked(utterance: Utterance) -> Utterance:
    if len(utterance.text) > TEXT_LIMIT:
        raise Unprocessable(f"data.text is longer than {TEXT_LIMIT} characters")
    return utterance


def create(
    env: Mapping[str, str] | None = None, load_scorer: Callable[[], Scorer] = warmup.load
) -> Flask:
    """Make the WSGI application and begin to load the scorer; gunicorn calls this.

    *env* is the environment unless a test gives another.
    """
    return routed(build(os.environ if env is None else env, load_scorer))


def build(env: Mapping[str, str], load_scorer: Callable[[], Scorer] = warmup.load) -> Function:
    """Make the function of the settings in *env* and begin to load its scorer.

    Raises:
        SystemExit: a setting is wrong; one line on stderr says which.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    settings = load_or_exit(FunctionSettings, env, "sentiment")
    tracing = load_or_exit(TracingSettings, env, "sentiment")
    outlet = Outlet.of(settings, "scores", "the reply")
    warm = Warmup(load_scorer)
    told = tracer(tracing, "linewatch-sentiment")
    return Function(settings.consumer, warm, outlet, tracer=told)


def routed(function: Function) -> Flask:
    """Give *function* its routes; whatever goes wrong is answered with problem JSON."""
    app = Flask(__name__, static_folder=None)
    # What the door lets in; see `linewatch.serving.worker`.
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT_BYTES + 1
    app.add_url_rule("/", "event", lambda: function.answer(request.environ), methods=["POST"])
    app.add_url_rule("/health/liveness", view_func=function.liveness)
    app.add_url_rule("/health/readiness", view_func=function.readiness)
    app.add_url_rule("/metrics", view_func=function.shown)
    app.register_error_handler(LinewatchError, function.refuse)
    app.register_error_handler(HTTPException, refused)
    app.wsgi_app = FastLane(function.lane, app.wsgi_app)  # type: ignore[method-assign] # Flask's way
    return app
