"""Health and metrics of a role that serves nothing else."""

from __future__ import annotations

import socket
from contextlib import closing
from http.client import HTTPConnection

import pytest

from linewatch.errors import SettingsError
from linewatch.serving.health_port import HealthPort
from linewatch.serving.metrics_text import CONTENT_TYPE


class _Role:
    is_ready = True


@pytest.fixture(name="role")
def _role():
    return _Role()


@pytest.fixture(name="port")
def _port(role):
    shown = HealthPort("127.0.0.1", 0, lambda: b"things_total 3.0\n", lambda: role.is_ready)
    yield shown.port
    shown.close()


@pytest.fixture(name="connection")
def _connection(port):
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        yield connection


def _ask(connection, path, method="GET"):
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_metrics_are_shown(connection):
    """The metrics are what the role says, in Prometheus' type, whatever the query."""
    connection.request("GET", "/metrics?name[]=things")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"things_total 3.0\n")
    assert answer.headers["Content-Type"] == CONTENT_TYPE


def test_readiness_follows_role(connection, role):
    """Readiness is 503 while the role is not ready; liveness stays 200, on one connection."""
    assert _ask(connection, "/health/readiness") == (200, b"ready\n")
    role.is_ready = False
    assert _ask(connection, "/health/readiness") == (503, b"not ready\n")
    assert _ask(connection, "/health/liveness") == (200, b"alive\n")


def test_unknown_path_is_404(connection):
    """Nothing else is there."""
    assert _ask(connection, "/")[0] == 404


def test_only_get_is_answered(connection):
    """Nothing can be posted."""
    assert _ask(connection, "/metrics", "POST")[0] == 501


def test_cut_callers_are_harmless(port, connection, capsys):
    """A caller that hangs up in the middle leaves no trace, and others are answered."""
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert _ask(connection, "/health/liveness")[0] == 200
    assert capsys.readouterr().err == ""


def test_taken_port_stops_start(port):
    """A port that is taken stops the start with one clear line."""
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port}: Address already in use"):
        HealthPort("127.0.0.1", port, bytes)


def test_closed_port_is_free():
    """After closing nobody listens any more."""
    shown = HealthPort("127.0.0.1", 0, bytes)
    shown.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", shown.port), timeout=60)
