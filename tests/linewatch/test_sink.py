"""Posting to K_SINK, against a real server on loopback."""

from __future__ import annotations

import json
import socket

import pytest

from infra import redis_server
from linewatch import events, payloads
from linewatch.calls import Channel, ChannelKey, Score
from linewatch.errors import SinkUnavailable
from linewatch.sink import Sink
from tests.bench.sentiment_service import null_sink


@pytest.fixture(name="server")
def _server():
    """A sink that keeps what it is sent."""
    with null_sink() as server:
        yield server


@pytest.fixture(name="scored")
def _scored():
    """A scored event."""
    key = ChannelKey("default", "call-1", Channel.CUSTOMER)
    text = "my bill is wrong"
    score = Score(key, 1_767_225_600_000, 0, 0, 100, 900, text, -0.5, 0.5, ("bill",), "c", "s")
    return events.utterance_scored(score)


def test_event_arrives_whole(server, scored):
    """The sink gets the event in binary content mode and can read it back."""
    Sink(server.url, 5).send(scored)
    (taken,) = server.taken
    assert payloads.read(events.from_http(taken.headers, taken.body)) == payloads.read(scored)
    assert json.loads(taken.body)["text"] == "my bill is wrong"


def test_connection_is_kept(server, scored):
    """Events one after the other share a connection."""
    sink = Sink(server.url, 5)
    for _ in range(5):
        sink.send(scored)
    assert (len(server.taken), server.connections) == (5, 1)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_only_2xx_is_success(server, scored, status):
    """Any other answer is an error, so that the source sends the event again."""
    server.status = status
    with pytest.raises(SinkUnavailable, match=str(status)):
        Sink(server.url, 5).send(scored)
    assert len(server.taken) == 1


def test_refused_connection_is_unavailable(scored):
    """A sink that does not listen is unavailable."""
    url = f"http://127.0.0.1:{redis_server.free_port()}/scores"
    with pytest.raises(SinkUnavailable, match="send it again"):
        Sink(url, 5).send(scored)


def test_silent_sink_times_out(scored):
    """A sink that never answers is given up after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/scores"
        with pytest.raises(SinkUnavailable, match="ReadTimeout"):
            Sink(url, 0.1).send(scored)


def test_sink_that_returns_is_used(server, scored):
    """After a failure the next event goes through."""
    sink = Sink(server.url, 5)
    server.status = 503
    with pytest.raises(SinkUnavailable):
        sink.send(scored)
    server.status = 202
    sink.send(scored)
    assert len(server.taken) == 2
