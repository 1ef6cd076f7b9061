"""The function as func's server drives it: ASGI in, the same answers out."""

from __future__ import annotations

import asyncio
import json

import pytest

import function
from linewatch import events, payloads
from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.sending.outlet import Outlet
from linewatch.sentiment import app, warmup
from linewatch.sentiment.warmup import Warmup

REPLY = Outlet(is_reply=True)


@pytest.fixture(scope="module", name="scorer")
def _scorer():
    """The real scorer."""
    return warmup.load()


@pytest.fixture(name="served")
def _served(scorer):
    """The function in reply mode with a warm scorer."""
    return function.Function(app.function("func", Warmup(lambda: scorer), REPLY))


def _told(text="i want to cancel my contract"):
    key = ChannelKey("acme", "call-7", Channel.CUSTOMER)
    said = Utterance(key, 1_700_000_000_000, 3, 48_000, 6_000, 9_000, text)
    return events.to_http(events.utterance_final(said))


def _ask(served, method="POST", path="/", headers=None, body=(b"",)):
    """Drive the function with a hand-made scope and return status, headers and body."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    return asyncio.run(_exchange(served, scope, list(body)))


async def _exchange(served, scope, pieces):
    sent = []

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    await served.handle(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each["body"] for each in sent[1:])


def test_event_is_scored(served):
    """A CloudEvent that func's server hands over is scored as under gunicorn."""
    headers, body = _told()
    length = {"content-length": str(len(body))}
    status, answered, scored = _ask(served, headers=headers | length, body=[body])
    assert status == 200
    assert payloads.read(events.from_http(answered, scored)).polarity == -0.5


def test_same_answer_as_gunicorn(served, scorer):
    """The bridge changes neither a header of the event nor a byte of it."""
    headers, body = _told()
    client = app.routed(app.function("func", Warmup(lambda: scorer), REPLY)).test_client()
    expected = client.post("/", headers=headers, data=body)
    length = {"content-length": str(len(body))}
    _, answered, scored = _ask(served, headers=headers | length, body=[body])
    assert scored == expected.data
    told = {name.lower(): value for name, value in expected.headers if name.startswith("ce-")}
    assert told.items() <= answered.items()


def test_chunked_body_is_read(served):
    """A body in pieces and without a length is read to its end."""
    headers, body = _told()
    status, _, scored = _ask(served, headers=headers, body=[body[:40], body[40:]])
    assert status == 200
    assert json.loads(scored)["text"] == "i want to cancel my contract"


def test_endless_body_is_refused(served):
    """A body without a length is cut off at 1 MiB."""
    headers, _ = _told()
    pieces = [b"x" * 65_536] * 17
    status, answered, _ = _ask(served, headers=headers, body=pieces)
    assert (status, answered["kne-reason"]) == (413, "too-large")


def test_poison_gets_reason(served):
    """What is no event is 400 with a reason through the bridge, too."""
    status, answered, body = _ask(served, body=[b"hello"])
    assert (status, answered["kne-reason"]) == (400, "bad-event")
    assert json.loads(body)["status"] == 400


def test_probes_tell_readiness(scorer):
    """Func's own probes hear that the scorer is loaded, and that the process lives."""
    served = function.Function(app.function("", Warmup(lambda: scorer), REPLY))
    assert served.alive() == (True, "alive")
    assert served._service.handler.warmup.scorer() is scorer
    assert served.ready() == (True, "ready")


def test_probe_waits_for_scorer():
    """While the scorer cannot be had, func's probe is told why."""

    def broken():
        raise ImportError("spacy")

    served = function.Function(app.function("", Warmup(broken), REPLY))
    assert served.ready() == (False, "the scorer is still being loaded")


def test_probe_tells_what_is_missing(scorer):
    """Where scores have nowhere to go, func's probe is told what to set, and events wait."""
    served = function.Function(app.function("", Warmup(lambda: scorer), Outlet()))
    served._service.handler.warmup.scorer()
    is_ready, why = served.ready()
    assert not is_ready
    assert "SinkBinding" in why
    headers, body = _told()
    assert _ask(served, headers=headers, body=[body])[0] == 503


def test_new_reads_environment(monkeypatch):
    """What func calls makes a function of the environment's settings."""
    monkeypatch.setenv("CONSUMER", "late-shift")
    monkeypatch.setenv("REPLY", "true")
    served = function.new()
    headers, body = _told("my router is broken")
    status, _, scored = _ask(served, headers=headers, body=[body])
    assert status == 200
    assert json.loads(scored)["consumer"] == "late-shift"
