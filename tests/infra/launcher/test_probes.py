"""How the launcher sees that a process is ready."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest
import redis

from infra.launcher import probes
from infra.launcher.redis_server import free_port


@pytest.fixture(name="server_port")
def _server_port():
    """An HTTP server that answers 204 on /ready, 503 on /busy and rubbish on /rubbish."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/rubbish":
                self.wfile.write(b"rubbish\r\n\r\n")
                return
            self.send_response({"/ready": 204, "/busy": 503}[self.path])
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(name="silent_port")
def _silent_port():
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("path", "ready"), [("/ready", True), ("/busy", False), ("/rubbish", False)]
)
def test_only_success_is_ready(server_port, path, ready):
    """2xx is ready; an error or an answer that is no HTTP is not."""
    assert probes.answers(server_port, path)() is ready


def test_nobody_is_not_ready():
    """Where nobody listens nothing is ready, and nothing is raised."""
    port = free_port()
    assert not probes.answers(port, "/")()
    assert not probes.redis_serves(f"redis://127.0.0.1:{port}/0")()
    assert not probes.redis_serves("unix:///nowhere/redis.sock")()


def test_silence_is_cut_short(silent_port):
    """A server that accepts and never answers does not hold the launcher up."""
    assert not probes.answers(silent_port, "/")()
    assert not probes.redis_serves(f"redis://127.0.0.1:{silent_port}/0")()


def test_redis_is_seen(redis_url):
    """A Redis that serves is seen, by the key it holds too."""
    assert probes.redis_serves(redis_url)()
    assert not probes.redis_has(redis_url, "health:dispatcher")()
    with redis.Redis.from_url(redis_url) as client:
        client.hset("health:dispatcher", "lag.x", 0)
    assert probes.redis_has(redis_url, "health:dispatcher")()


def test_redis_database_counts(redis_url):
    """A key is looked for in the database that the URL names."""
    with redis.Redis.from_url(redis_url) as client:
        client.set("here", 1)
    assert not probes.redis_has(redis_url.replace("/0", "/1"), "here")()


def test_redis_login_is_used(redis_url):
    """User and password of the URL open a Redis that asks for them; a wrong one does not."""
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL SETUSER probe on >p@ss ~* +ping +select")
        client.execute_command("ACL SETUSER default >else resetpass >word")
        try:
            right = redis_url.replace("//", "//probe:p%40ss@")
            wrong = redis_url.replace("//", "//probe:no@")
            assert probes.redis_serves(right)()
            assert not probes.redis_serves(wrong)()
            assert probes.redis_serves(redis_url.replace("//", "//:word@"))()
        finally:
            client.execute_command("ACL SETUSER default nopass")
            client.execute_command("ACL DELUSER probe")
