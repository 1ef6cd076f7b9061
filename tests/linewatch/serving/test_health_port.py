"""Health and metrics of a role that serves nothing else."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection

import pytest

from linewatch.errors import SettingsError
from linewatch.serving import health_port
from linewatch.serving.health_port import MOST_CONNECTIONS, HealthPort
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


def test_idle_callers_hold_nobody_up(port, connection):
    """With 200 idle connections and 20 in the middle of a request one thread answers."""
    before = threading.active_count()
    with ExitStack() as callers:
        for number in range(220):
            idle = socket.create_connection(("127.0.0.1", port))
            callers.enter_context(idle)
            idle.sendall(b"" if number < 200 else b"GET /metrics HT")
        assert _ask(connection, "/health/liveness") == (200, b"alive\n")
        assert threading.active_count() == before


def test_longest_idle_makes_room(port):
    """A caller more than may be connected is answered; the one idle longest is let go."""
    with ExitStack() as callers:
        idle = [
            callers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(MOST_CONNECTIONS)
        ]
        last = HTTPConnection("127.0.0.1", port, timeout=30)
        callers.enter_context(closing(last))
        assert _ask(last, "/health/liveness")[0] == 200
        with suppress(ConnectionResetError):
            assert idle[0].recv(1) == b""
        idle[1].sendall(b"GET /health/liveness HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[1].recv(12) == b"HTTP/1.1 200"


def test_slow_callers_are_let_go(port, monkeypatch):
    """A request that does not arrive in time ends its connection."""
    monkeypatch.setattr(health_port, "IDLE_S", 0.1)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        with suppress(ConnectionResetError):
            assert slow.recv(1) == b""


def test_requests_may_follow_at_once(port):
    """Two requests in one packet are both answered; the second asks for the end and gets it."""
    ask = b"GET /health/liveness HTTP/1.1\r\nHost: x\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
        caller.sendall(ask + b"\r\n" + ask + b"Connection: close\r\n\r\n")
        with caller.makefile("rb") as answers:
            said = answers.read()
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert said.count(b"Connection: close") == 1


def test_nonsense_is_refused(port):
    """What is no request is 400, and ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
        caller.sendall(b"no request at all\r\n\r\n")
        with caller.makefile("rb") as answers:
            assert answers.read().startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_listens_on_ipv6():
    """An address of IPv6 is listened on."""
    shown = HealthPort("::1", 0, bytes)
    try:
        with closing(HTTPConnection("::1", shown.port, timeout=30)) as connection:
            assert _ask(connection, "/health/liveness")[0] == 200
        with pytest.raises(SettingsError, match=rf"\[::1\]:{shown.port}: Address already in use"):
            HealthPort("::1", shown.port, bytes)
    finally:
        shown.close()


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
