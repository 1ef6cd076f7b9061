"""Who may open a WebSocket of the dashboard, and whom that asks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from infra.launcher.probes import answers
from infra.launcher.redis_server import free_port
from tests.support.source import ROOT
from tests.support.waiting import eventually

ACCEPTED, REFUSED = 101, 403


@contextmanager
def dashboard(**env):
    """Run a dashboard whose requests to the outside would go to a proxy: (its port, the proxy)."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port, outside = free_port(), f"http://127.0.0.1:{proxy.getsockname()[1]}"
        paths = os.pathsep.join((str(ROOT / "functions"), str(ROOT)))
        given = {"PYTHONPATH": paths, "http_proxy": outside, "https_proxy": outside, **env}
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit_app", "--server.port", str(port)],
            env=os.environ | given,
            cwd=ROOT,
        )
        try:
            eventually(answers(port, "/_stcore/health"), timeout_s=60)
            yield port, proxy
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module", name="served")
def _served():
    with dashboard() as served:
        yield served


def opened(port, host, origin=None):
    """Ask for a WebSocket and return the status of the answer."""
    lines = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *([f"Origin: {origin}"] if origin else []),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
        caller.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(caller.recv(12).split()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8501", "[::1]:8501"])
def test_names_of_loopback_are_ours(served, host):
    """Under the names of loopback the page is served, to its own origin."""
    assert opened(served[0], host, f"http://{host}") == ACCEPTED
    assert opened(served[0], host) == ACCEPTED


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8501", "10.0.0.1"])
def test_other_hosts_are_refused(served, host):
    """Another name is refused, of its own origin too: its DNS may answer with our address."""
    assert opened(served[0], host, f"http://{host}") == REFUSED
    assert opened(served[0], host) == REFUSED


@pytest.mark.parametrize("origin", ["http://evil.example", "https://10.0.0.1:8501", "null"])
def test_foreign_origin_asks_nobody(served, origin):
    """A foreign origin is refused at once, and no host outside is asked for anything."""
    port, proxy = served
    begun_s = time.monotonic()
    assert opened(port, "127.0.0.1", origin) == REFUSED
    assert time.monotonic() - begun_s < 5
    proxy.settimeout(0.2)
    with pytest.raises(TimeoutError):
        proxy.accept()


def test_ingress_names_may_be_set():
    """STREAMLIT_SERVER_ALLOWED_HOSTS names the hosts of an ingress instead."""
    with dashboard(STREAMLIT_SERVER_ALLOWED_HOSTS="board.example localhost") as (port, _):
        assert opened(port, "board.example", "https://board.example") == ACCEPTED
        assert opened(port, "localhost") == ACCEPTED
        assert opened(port, "evil.example") == REFUSED
