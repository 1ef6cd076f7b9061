"""The sentiment function over HTTP: an ``utterance.final`` in, an ``utterance.scored`` out.

The score goes to ``K_SINK`` and the answer is 204; with ``REPLY=true`` the score is the
reply, as a Broker wants it. See `linewatch.sending.outlet`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cloudevents.core.v1.event import CloudEvent
from flask import Flask

from linewatch import events, payloads
from linewatch.calls import Utterance
from linewatch.errors import BadEvent, Unavailable, Unprocessable
from linewatch.sending.outlet import Answer, Outlet
from linewatch.sentiment import warmup
from linewatch.sentiment.metrics import Metrics
from linewatch.sentiment.settings import Settings
from linewatch.sentiment.warmup import Warmup
from linewatch.serving.function import Function, begin, routed
from linewatch.tracing.spans import OFF, Span, Tracer, traceparent_of

if TYPE_CHECKING:
    from linewatch.sentiment.scorer import Scorer

#: An utterance lasts some 20 s: nobody says more in it.
TEXT_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores each utterance as *consumer* and passes the score on."""

    consumer: str
    warmup: Warmup
    outlet: Outlet
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer = OFF

    def take(self, event: CloudEvent) -> Answer:
        """Score one utterance; silence has no score."""
        began_ns = self.tracer.now_ns()
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

    def check(self) -> None:
        """Return if an utterance would be scored at once.

        Raises:
            Unavailable: the scorer is not loaded yet.
        """
        if not self.warmup.is_ready:
            raise Unavailable("the scorer is still being loaded")


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
    settings, tracer = begin("sentiment", Settings, env)
    outlet = Outlet.of(settings, "scores", "the reply")
    return function(settings.consumer, Warmup(load_scorer), outlet, tracer)


def function(consumer: str, warm: Warmup, outlet: Outlet, tracer: Tracer = OFF) -> Function:
    """Make the function of its parts."""
    scoring = Scoring(consumer, warm, outlet, tracer=tracer)
    return Function(scoring, scoring.metrics, outlet)
