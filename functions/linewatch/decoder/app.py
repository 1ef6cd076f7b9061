"""The decoder's HTTP edge: requests in, replies and problems out."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import flask
from flask import Flask, Response
from werkzeug.sansio.http import parse_cookie

from linewatch import __version__, errors
from linewatch.calls import CallStart, Channel, ChannelKey, End, Step
from linewatch.decoder.http import intake, kaldi_clients
from linewatch.decoder.http.announcements import Announcement, announcement_of
from linewatch.decoder.http.answers import handed_back, json_of, reply_of
from linewatch.decoder.http.producer_events import Deed, Ending, HeardOn, deeds_of, events_of
from linewatch.decoder.http.request import Request
from linewatch.decoder.ownership.cookies import COOKIE, COOKIE_AGE_S, FORWARD_HEADER, Hint
from linewatch.decoder.ownership.forwarder import Answer
from linewatch.decoder.ownership.road import Passage
from linewatch.decoder.ownership.sessions import Reply
from linewatch.decoder.recognition.recognizer import load
from linewatch.decoder.service import Service, build
from linewatch.decoder.settings import DecoderSettings
from linewatch.decoder.store.answers import Stored
from linewatch.serving.fast_lane import FastLane
from linewatch.serving.metrics_text import CONTENT_TYPE
from linewatch.serving.problems import answer_to
from linewatch.serving.raw_path import RawPath, decoded
from linewatch.settings import BOOT_FAILED
from linewatch.settings import load as load_settings
from linewatch.step_requests import ChannelRequests, call_path
from linewatch.tracing.choice import TracingSettings, tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger(__name__)

_JSON: Final = "application/json"
_ALIAS_EXPIRES_S: Final = 25
_GC_THRESHOLD: Final = 20_000

#: The request that comes four times a second from every speaker.
_AUDIO: Final = re.compile(r"/v1/calls/([^/]+)/channels/([^/]+)/audio")

Route = Callable[..., Response]


class Routes:
    """The routes of one decoder."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # -- steps ------------------------------------------------------------------------

    def audio(self, request: Request, call: str, channel: str) -> Response:
        """Take one chunk."""
        tenant = self._tenant(request)
        heard = intake.chunk_of(request.headers, request.body)
        key = ChannelKey.of(tenant, call, channel)
        return self._step(request, key, heard.chunk, self._start(key, heard))

    def gap(self, request: Request, call: str, channel: str) -> Response:
        """Take a gap."""
        key = ChannelKey.of(self._tenant(request), call, channel)
        return self._step(request, key, intake.gap_of(intake.json_object(request.body)))

    def end(self, request: Request, call: str, channel: str) -> Response:
        """Take a channel's end."""
        key = ChannelKey.of(self._tenant(request), call, channel)
        end = intake.end_of(intake.json_object(request.body))
        try:
            return self._step(request, key, end)
        except errors.NotFound:
            # Announced, or its call's other channel was, and never heard: that ends too.
            if not self._service.store.end_unheard(key):
                raise
        self._service.store.close(key.tenant, key.call, self._service.now_ms())
        return reply_of(Reply(end.seq + 1, 0))

    def _start(self, key: ChannelKey, heard: intake.Heard) -> CallStart:
        arrival = self._service.arrival().of_start(heard.chunk)
        started_at_ms, off_ms = arrival.believed(heard.started_at_ms)
        return CallStart(key.tenant, key.call, key.call, started_at_ms, clock_off_ms=off_ms)

    def _step(
        self, request: Request, key: ChannelKey, step: Step, start: CallStart | None = None
    ) -> Response:
        hint = self._hint(key, request)
        after = request.query.get("after")
        passage = Passage(
            key=key,
            step=step,
            after=None if after is None else intake.after_of(after),
            start=start,
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=request.body,
            hinted=hint.pod if hint else None,
            forwarded=self._is_forwarded(request),
        )
        with self._service.metrics.reply_s.time():
            found = self._service.road.travel(passage)
        if isinstance(found, Answer):
            return handed_back(found)
        return self._with_cookie(reply_of(found), request, key, hint)

    # -- calls ------------------------------------------------------------------------

    def announce(self, request: Request) -> Response:
        """Take what is known of a call that begins; idempotent."""
        tenant = self._tenant(request)
        fields = intake.json_object(request.body)
        return self._announced(announcement_of(tenant, fields, self._service.arrival()))

    def _announced(self, said: Announcement) -> Response:
        store = self._service.store
        self._service.road.admit(lambda: store.is_known(said.start.tenant, said.start.call))
        state, started_at_ms = store.announce(
            said.start, said.update.channels, said.update, is_dated=said.is_dated
        )
        if state < 0:
            raise errors.CallEnded("this call has ended: a new call needs a new id")
        told = {"call": said.start.call, "started_at_ms": started_at_ms}
        return json_of(told, 201 if state else 200)

    def channel(self, request: Request, call: str, channel: str) -> Response:
        """Tell where a channel stands, so that a sender can go on there."""
        key = ChannelKey.of(self._tenant(request), call, channel)
        stored = self._service.store.peek(key)
        if stored is None:
            raise errors.NotFound("this channel is not known: send its audio first")
        return json_of(
            {
                "stream": stored.stream,
                "next_seq": stored.next_seq,
                "next_position": stored.next_position,
                "rate_hz": stored.timeline.rate_hz,
                "ended": bool(stored.ended),
            }
        )

    def events(self, request: Request) -> Response:
        """Take producers' CloudEvents, one or a batch, in their order; repeats are harmless."""
        headers = request.headers
        tenant = self._tenant(request)
        found = events_of(headers.get("content-type", ""), headers, request.body)
        results: list[dict[str, Any]] = []
        for index, deed in enumerate(deeds_of(found, tenant, self._service.arrival())):
            with errors.in_batch(index, index, of=len(found)):
                results.append(self._done(deed, headers))
        return json_of({"results": results})

    def _done(self, deed: Deed, headers: Mapping[str, str]) -> dict[str, Any]:
        if isinstance(deed, Announcement):
            return dict(self._announced(deed).get_json())
        if isinstance(deed, Ending):
            return {"ended": self._hung_up(deed, headers)}
        return self._heard(deed, headers)

    def _hung_up(self, end: Ending, headers: Mapping[str, str]) -> list[str]:
        """End a call whatever was heard of it; return the channels that had not ended."""
        store = self._service.store
        channels = store.channels(end.tenant, end.call)
        for key in channels:
            self._end(key, headers)
        store.close(end.tenant, end.call, self._service.now_ms(), reason=end.reason)
        return [str(key.channel) for key in channels]

    def _heard(self, deed: HeardOn, headers: Mapping[str, str]) -> dict[str, Any]:
        start = self._start(deed.key, deed.heard)
        return self._inner(deed.key, deed.heard.chunk, headers, start)

    def _end(self, key: ChannelKey, headers: Mapping[str, str]) -> None:
        stored = self._service.store.peek(key)
        if stored and stored.stream:
            self._inner(key, End(stored.next_seq, stored.stream), headers)
        else:
            self._service.store.end_unheard(key)

    def _inner(
        self,
        key: ChannelKey,
        step: Step,
        headers: Mapping[str, str],
        start: CallStart | None = None,
    ) -> dict[str, Any]:
        """Take a step that came inside another request, forwarded as a request of its own."""
        started_at_ms = start.started_at_ms if start else None
        request = ChannelRequests(key, step.stream, started_at_ms, name_tenant=True).step(step)
        kept = {name: headers[name] for name in ("authorization",) if name in headers}
        passage = Passage(
            *(key, step, None, start, request.method, request.path),
            headers={**request.headers, **kept},
            body=request.body,
        )
        found = self._service.road.travel(passage)
        if isinstance(found, Reply):
            return asdict(found)
        if found.status != 200:  # noqa: PLR2004 - the only good answer to a step
            raise errors.of_problem(found.status, found.body)
        return dict(json.loads(found.body))

    def decode(self, request: Request) -> Response:
        """Take a request of the original demo's clients."""
        tenant = self._tenant(request)
        wish = kaldi_clients.request_of(intake.json_object(request.body))
        now_ms = self._service.now_ms()
        call = kaldi_clients.call_for(wish.name, now_ms)
        alias = call.rpartition("-")[0]
        key, stored = self._meant(tenant, alias, call)
        steps = kaldi_clients.steps_for(wish, stored)
        call = key.call
        start = CallStart(tenant, call, alias, now_ms)
        replies = [self._inner(key, step, request.headers, start) for step in steps]
        finals = [final for reply in replies for final in reply["finals"]]
        partial = replies[-1]["partial"] if replies else ""
        return json_of(kaldi_clients.answer(finals, partial, final=wish.finalize))

    def _meant(self, tenant: str, alias: str, new: str) -> tuple[ChannelKey, Stored | None]:
        """Return the channel that a client means; a *new* call's if its last one ended."""
        store = self._service.store
        for anew in (False, True):
            call = store.alias(tenant, alias, new, _ALIAS_EXPIRES_S, anew=anew)
            key = ChannelKey.of(tenant, call, Channel.MIXED)
            stored = store.peek(key)
            if not stored or not stored.ended:
                break
        return key, stored

    # -- about ------------------------------------------------------------------------

    def info(self, _: Request) -> Response:
        """Tell what this is and what its words depend on."""
        model = self._service.recognizers
        facts = {"digest": model.digest, **model.profile}
        return json_of(
            {
                "service": "linewatch decoder",
                "version": __version__,
                "pod": self._service.pod_id,
                "sessions": len(self._service.sessions),
                "model": facts,
            }
        )

    def alive(self, _: Request) -> Response:
        """Answer probes: the model is loaded before the first request is taken."""
        return json_of({"status": "ok"})

    def ready(self, _: Request) -> Response:
        """Answer probes: a Redis that is away comes back, one that refuses us needs somebody."""
        if self._service.pod.refusal:
            raise errors.StoreRefused(self._service.pod.refusal)
        return json_of({"status": "ok"})

    def api(self, _: Request) -> Response:
        """Tell what can be requested here, as OpenAPI."""
        return Response(_openapi(), content_type=_JSON)

    def metrics(self, _: Request) -> Response:
        """Show everything counted."""
        return Response(self._service.metrics.text(), content_type=CONTENT_TYPE)

    # -- who --------------------------------------------------------------------------

    def _tenant(self, request: Request) -> str:
        headers = request.headers
        return self._service.tenants.of(headers.get("authorization"), headers.get("ce-tenant"))

    def _is_forwarded(self, request: Request) -> bool:
        raw = request.headers.get(FORWARD_HEADER)
        if raw is None:
            return False
        if self._service.passes.read(raw) != self._service.pod_id:
            raise errors.AnotherPod("the forward is for another pod: locate the session again")
        return True

    def _hint(self, key: ChannelKey, request: Request) -> Hint | None:
        raw = parse_cookie(request.headers.get("cookie", "")).get(COOKIE)
        hint = self._service.cookies.read(raw) if raw else None
        if hint and hint.tenant != key.tenant:
            raise errors.Forbidden("the cookie belongs to another tenant")
        return hint if hint and hint.call == key.call else None

    def _with_cookie(
        self, response: Response, request: Request, key: ChannelKey, hint: Hint | None
    ) -> Response:
        here = Hint(key.tenant, key.call, self._service.pod_id)
        if hint != here:
            response.set_cookie(
                COOKIE,
                self._service.cookies.sign(here),
                max_age=COOKIE_AGE_S,
                path=call_path(key.call),
                httponly=True,
                secure=request.headers.get("x-forwarded-proto") == "https",
                samesite="Strict",
            )
        return response


@lru_cache(maxsize=1)
def _openapi() -> bytes:
    return Path(__file__).with_name("openapi.json").read_bytes()


def _on_error(error: Exception) -> Response:
    return Response(*answer_to(error))


def _view(route: Route) -> Route:
    def view(**names: str) -> Response:
        told = {name: decoded(text) for name, text in names.items()}
        return route(Request.of(flask.request.environ), **told)

    return view


def _chunks(audio: Route) -> Callable[[WSGIEnvironment], Response | None]:
    """Return what answers chunks by *audio*; see `FastLane`."""

    def answer(environ: WSGIEnvironment) -> Response | None:
        found = _AUDIO.fullmatch(environ["PATH_INFO"])
        if not found or environ["REQUEST_METHOD"] != "POST":
            return None
        try:
            return audio(Request.of(environ), *map(decoded, found.groups()))
        except Exception as error:  # noqa: BLE001 - as Flask's own handler
            return _on_error(error)

    return answer


def app_of(service: Service) -> Flask:
    """Return the WSGI application of *service*, which somebody else starts."""
    app = Flask("linewatch.decoder", static_folder=None)
    app.url_map.merge_slashes = False
    # Longer ones are refused before they are read; see `linewatch.serving.worker`.
    app.config["MAX_CONTENT_LENGTH"] = intake.BODY_LIMIT
    app.extensions["linewatch"] = service
    routes = Routes(service)
    channel = "/v1/calls/<call>/channels/<channel>"
    for method, rule, route in (
        ("POST", f"{channel}/gap", routes.gap),
        ("POST", f"{channel}/end", routes.end),
        ("GET", channel, routes.channel),
        ("POST", "/v1/calls", routes.announce),
        ("POST", "/v1/events", routes.events),
        ("POST", "/decode", routes.decode),
        ("GET", "/", routes.info),
        ("GET", "/health/liveness", routes.alive),
        ("GET", "/health/readiness", routes.ready),
        ("GET", "/metrics", routes.metrics),
        ("GET", "/openapi.json", routes.api),
    ):
        app.add_url_rule(rule, f"{method} {rule}", _view(route), methods=[method])
    # No view: the fast lane answers chunks, Flask every other method on their path.
    app.add_url_rule(f"{channel}/audio", methods=["POST"], endpoint="audio")
    app.register_error_handler(Exception, _on_error)
    lane = FastLane(_chunks(routes.audio), app.wsgi_app)
    app.wsgi_app = RawPath(lane)  # type: ignore[method-assign] # Flask's way
    return app


def create() -> Flask:
    """Make the application from the environment and start its threads; gunicorn calls this."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        settings = load_settings(DecoderSettings, os.environ)
        spans = tracer(load_settings(TracingSettings, os.environ), "linewatch-decoder")
        service = build(settings, load(settings.model_path), spans)
    except errors.SettingsError as error:
        print(f"decoder: {error.detail}", file=sys.stderr)  # noqa: T201 - the one clear line
        raise SystemExit(BOOT_FAILED) from None
    service.start()
    # What was loaded stays: the collector need not walk through it between chunks.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    log.info("pod %s serves model %s", service.pod_id, service.recognizers.digest)
    return app_of(service)
