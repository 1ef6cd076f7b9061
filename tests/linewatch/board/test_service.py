"""The real gunicorn process of the board, whose store and names may stand still."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from infra.launcher import probes
from infra.launcher.redis_server import free_port
from linewatch import events
from tests.support.board_facts import start
from tests.support.source import ROOT
from tests.support.waiting import eventually

THREADS = 8
CROWD = 10 * THREADS
#: What the manifests give a liveness probe.
PROBE_S = 5


@contextmanager
def served(app, redis_url):
    """Run *app* as the image does; gives its port."""
    port = free_port()
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}",
        "REDIS_URL": redis_url,
        "REPLY": "true",
    }
    command = [
        *(sys.executable, "-m", "gunicorn", "--no-control-socket", "-b", f"127.0.0.1:{port}"),
        *("-k", "linewatch.serving.worker.Worker", "--workers", "1", "--threads", str(THREADS)),
    ]
    process = subprocess.Popen([*command, app], cwd=ROOT, env=env, start_new_session=True)
    try:
        eventually(probes.answers(port, "/metrics"))
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(name="port", params=["nameless", "silent"])
def _port(request):
    """A board that waits for its store: for its name without end, or for each answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        app = "tests.support.nameless" if request.param == "nameless" else "linewatch.board.app"
        with served(f"{app}:create()", url) as port:
            yield port


def ask(port, path, method="GET", timeout_s=PROBE_S, message=(None, None)):
    """Return the answer's status, 0 where none came in time, and the seconds that took."""
    headers, body = message
    began_s = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body, headers or {})
        status = connection.getresponse().status
    except TimeoutError:
        status = 0
    finally:
        connection.close()
    return status, time.monotonic() - began_s


def post(port):
    """Post an event, and wait for no answer."""
    ask(port, "/", "POST", 0.1, events.to_http(events.call_started(start())))


def test_liveness_waits_for_nobody(port, record_property):
    """With every thread waiting for the store, and more requests behind, liveness is answered."""
    with ThreadPoolExecutor(CROWD) as crowd:
        list(crowd.map(lambda _: post(port), range(CROWD)))
    assert not probes.answers(port, "/metrics")()
    found = [ask(port, "/health/liveness") for _ in range(10)]
    assert [status for status, _ in found] == [200] * 10
    record_property("slowest_s", max(took_s for _, took_s in found))


def test_readiness_takes_no_threads(port):
    """However many ask whether it is ready, all are told that it is not, and threads are left."""
    with ThreadPoolExecutor(CROWD) as crowd:
        found = list(crowd.map(lambda _: ask(port, "/health/readiness"), range(CROWD)))
    assert {status for status, _ in found} == {503}
    assert ask(port, "/metrics")[0] == 200
