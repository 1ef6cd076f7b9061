"""Holds the door to what probes and Prometheus ask."""

from __future__ import annotations

import json
import socket

import pytest
import urllib3

from eventing.door import Door
from linewatch.errors import SettingsError


@pytest.fixture(name="ready")
def _ready():
    return [True]


@pytest.fixture(name="ask")
def _ask(ready):
    door = Door("127.0.0.1", 0, lambda: ready[0], lambda: b"lag 3\n")
    door.open()
    with urllib3.HTTPConnectionPool("127.0.0.1", door.port, retries=False) as pool:
        yield lambda path: pool.request("GET", path, headers={"Connection": "close"})
    door.close()


def test_liveness_always_answers(ask, ready):
    """The process is alive whether or not the log is there."""
    ready[0] = False
    assert ask("/health/liveness").status == 204


def test_readiness_follows_log(ask, ready):
    """It is ready while it reads, and says why it is not."""
    assert ask("/health/readiness").status == 204
    ready[0] = False
    answer = ask("/health/readiness")
    assert answer.status == 503
    assert json.loads(answer.data)["detail"] == "the event log is away"


def test_metrics_are_prometheus(ask):
    """Metrics come as they are told, in Prometheus' content type."""
    answer = ask("/metrics")
    assert (answer.status, answer.data) == (200, b"lag 3\n")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_other_paths_are_told(ask):
    """Nothing else is there, and what is there is said."""
    answer = ask("/")
    assert answer.status == 404
    assert "/health/readiness" in json.loads(answer.data)["detail"]


def test_taken_port_is_told():
    """A port of another stops the start with one line."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: Address"):
            Door("127.0.0.1", port, lambda: True, lambda: b"")
