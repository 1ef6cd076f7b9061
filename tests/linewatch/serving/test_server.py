"""Holds the server to serving, on kept connections, until it is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.client import HTTPConnection

import pytest

from eventing.replica import free_port
from linewatch.eventlog.redis import RedisLog
from linewatch.serving.server import Server
from tests.eventing.subscriber import record
from tests.support.source import ROOT
from tests.support.waiting import eventually


@pytest.fixture(name="sink")
def _sink(redis_url):
    """Run the real sink; yield its process and port."""
    port = free_port()
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}/functions:{ROOT}",
        "REDIS_URL": redis_url,
        "PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "eventing.sink"], cwd=ROOT, env=env)
    eventually(lambda: _is_ready(port))
    yield process, port
    process.kill()
    process.wait()


def _is_ready(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/health/readiness")
        return connection.getresponse().status == 204
    except OSError:
        return False
    finally:
        connection.close()


def test_process_serves_kept_connection(sink, redis_url):
    """The sink as a process takes event after event on one connection, and ends with 0."""
    process, port = sink
    made = record()
    headers = {name.replace("ce_", "ce-"): value.decode() for name, value in made.headers.items()}
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for path, status in (("/scores", 202), ("/nowhere", 404), ("/scores", 202)):
        connection.request("POST", path, body=made.value, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert answer.getheader("Connection") != "close"
    connection.close()
    log = RedisLog.at(redis_url)
    assert log.count("scores") == 2
    log._client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_options_are_ours():
    """The server is one worker of ours and keeps connections longer than its callers do."""
    ended = []
    server = Server(lambda: "app", "127.0.0.1:0", 7, lambda: ended.append(1))
    assert server.cfg.worker_class_str == "linewatch.serving.worker.Worker"
    assert (server.cfg.workers, server.cfg.threads) == (1, 7)
    assert server.cfg.keepalive >= 300
    assert server.cfg.control_socket_disable
    assert server.load() == "app"
    server.cfg.worker_exit(None, None)
    assert ended == [1]
