"""The shell that every function shares: routes, refusals, health, counters."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from linewatch import events
from linewatch.calls import CallStart
from linewatch.errors import BadEvent, Unavailable
from linewatch.sending.outlet import Outlet
from linewatch.serving.function import Function, FunctionMetrics, begin, routed
from linewatch.settings import setting

EVENT = events.call_started(CallStart("default", "c1", "line-1", 1_767_225_600_000))
LIMIT_BYTES = 2_000


@dataclass(frozen=True)
class Settings:
    """Settings of a function."""

    shelf: str = setting("SHELF", str, None, "where it is kept")


class Counting:
    """A handler that keeps what it took, and fails as told."""

    def __init__(self):
        self.taken = []
        self.fault = None
        self.away = None

    def take(self, event):
        """See `Handler`."""
        if self.fault:
            raise self.fault
        self.taken.append(event)
        return "", 204, {}

    def check(self):
        """See `Handler`."""
        if self.away:
            raise self.away


@pytest.fixture(name="counting")
def _counting():
    return Counting()


@pytest.fixture(name="client")
def _client(counting):
    """A function that publishes nothing."""
    return client_of(counting)


def client_of(handler, outlet=None):
    """Return a client of the function of *handler*."""
    metrics = FunctionMetrics("counting")
    return routed(Function(handler, metrics, outlet, LIMIT_BYTES)).test_client()


def post(client, event=EVENT, **changed):
    """Post *event* as a source does."""
    headers, body = events.to_http(event)
    return client.post("/", **{"headers": headers, "data": body, **changed})


def test_event_is_taken_once(client, counting):
    """An event reaches the handler, and its answer the source."""
    assert post(client).status_code == 204
    assert [each.get_id() for each in counting.taken] == [EVENT.get_id()]


@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_other_method_is_405(client, method):
    """Events come by POST: another method is refused, and told so, without a body for HEAD."""
    answer = getattr(client, method)("/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")
    assert bool(answer.data) == (method != "head")


@pytest.mark.parametrize(
    "changed", [{"headers": {}}, {"data": b"x" * (LIMIT_BYTES + 1)}], ids=["no event", "too large"]
)
def test_bad_event_is_refused(client, counting, changed):
    """What is no event, or too large for one, is refused for good, and counted."""
    answer = post(client, **changed)
    assert 400 <= answer.status_code < 500
    assert answer.mimetype == "application/problem+json"
    assert "linewatch_counting_refused_total 1.0" in client.get("/metrics").text
    assert counting.taken == []


@pytest.mark.parametrize(
    ("fault", "status", "counted"),
    [(BadEvent("no"), 400, "1.0"), (Unavailable("later"), 503, "0.0"), (KeyError("x"), 500, "0.0")],
)
def test_handler_refuses(client, counting, fault, status, counted):
    """Whatever a handler raises is a problem; only what is refused for good is counted."""
    counting.fault = fault
    answer = post(client)
    assert (answer.status_code, answer.json["status"]) == (status, status)
    assert f"linewatch_counting_refused_total {counted}" in client.get("/metrics").text


def test_readiness_asks_handler(client, counting):
    """It is ready while its handler is, and alive anyway."""
    assert client.get("/health/readiness").status_code == 200
    counting.away = Unavailable("the shelf is away")
    answer = client.get("/health/readiness")
    assert (answer.status_code, answer.json["detail"]) == (503, "the shelf is away")
    assert client.get("/health/liveness").status_code == 200


def test_without_sink_nothing_is_taken(counting):
    """A function that publishes takes no event, and is not ready, before it has a sink."""
    client = client_of(counting, Outlet())
    assert post(client).status_code == client.get("/health/readiness").status_code == 503
    assert counting.taken == []


def test_wrong_settings_end_the_start(capsys):
    """A setting that is wrong ends the start with one line that names the function."""
    with pytest.raises(SystemExit):
        begin("counting", Settings, {})
    assert capsys.readouterr().err == "counting: SHELF must be set: where it is kept\n"
