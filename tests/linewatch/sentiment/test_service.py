"""The real gunicorn process: from nothing to a score, and to an end."""

from __future__ import annotations

import os
import subprocess
from http.client import HTTPConnection

import pytest

from infra.launcher import redis_server
from linewatch import events, payloads
from tests.bench.sentiment_service import ROOT, command, null_sink, request_of, service
from tests.support.waiting import eventually


@pytest.fixture(scope="module", name="running")
def _running():
    """A running service and its sink; the first event was sent before it was warm."""
    with null_sink() as sink, service(sink.url, CONSUMER="night-shift") as started:
        eventually(lambda: redis_server.is_listening(started.port))
        started.first_status = _post(started.port, "i want to cancel my contract")
        yield started, sink


def _post(port, text, number=0, **more):
    headers, body = request_of(text, number)
    return _send(port, headers | more, body)


def _send(port, headers, body):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/", body=body, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_first_event_is_held(running):
    """An event sent as soon as the port is open is scored, not failed."""
    started, sink = running
    assert started.first_status == 204
    score = payloads.read(events.from_http(sink.taken[0].headers, sink.taken[0].body))
    assert (score.polarity, score.consumer) == (-0.5, "night-shift")
    assert started.get("/health/readiness") == 200


def test_bad_bodies_leave_it_well(running):
    """After poison of every kind the next event is scored by the same process."""
    started, sink = running
    headers, body = request_of("hello")
    before = len(sink.taken)
    assert _send(started.port, headers, b"{" * 100_000) == 422
    assert _send(started.port, headers, b" " * (1024 * 1024 + 1)) == 413
    assert _send(started.port, {"Content-Type": "text/plain"}, b"\xff\0") == 400
    assert _send(started.port, headers | {"ce-type": "x"}, body) == 400
    assert _post(started.port, "hello", 1) == 204
    assert len(sink.taken) == before + 1


def test_sink_failure_is_passed_on(running):
    """While the sink fails the source is told to retry."""
    started, sink = running
    sink.status = 500
    assert _post(started.port, "hello", 2) == 503
    sink.status = 202
    assert _post(started.port, "hello", 2) == 204


def test_log_has_no_words(running):
    """The process' log names its mode and no word that was said."""
    started, sink = running
    log = started.log.read_text()
    assert f"scores go to K_SINK {sink.url}" in log
    assert "contract" not in log
    assert "Traceback" not in log


def test_term_ends_it():
    """SIGTERM ends the process at once and without an error, also while it loads."""
    with service("") as started:
        # gunicorn loses a signal that comes before its worker listens for any.
        eventually(lambda: started.get("/health/liveness") == 200)
        started.process.terminate()
        assert started.process.wait(60) == 0


def test_wrong_setting_ends_it():
    """A wrong setting ends gunicorn with one clear line; it does not start again and again."""
    ended = subprocess.run(
        command(redis_server.free_port()),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "functions", "K_SINK": "nowhere"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 4
    assert "K_SINK: must begin" in ended.stderr
    assert "Traceback" not in ended.stderr
