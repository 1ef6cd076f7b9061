"""The real sentiment service as a process, between a sender and a sink that only counts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from infra.launcher import redis_server
from linewatch import events
from linewatch.calls import Channel, ChannelKey, Utterance
from tests.support.loopback import serving
from tests.support.source import ROOT
from tests.support.waiting import eventually

_DEADLINE_S = 30.0


@dataclass
class Taken:
    """One event that arrived at the sink."""

    at_s: float
    headers: Mapping[str, str]
    body: bytes


@dataclass
class NullSink:
    """What arrived; *status* is what the next event is answered with."""

    url: str = ""
    status: int = 202
    taken: list[Taken] = field(default_factory=list)
    connections: int = 0


@contextmanager
def null_sink() -> Iterator[NullSink]:
    """Serve a sink on loopback that answers at once and keeps its connections."""
    sink = NullSink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            sink.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            sink.taken.append(Taken(time.perf_counter(), dict(self.headers), body))
            self.send_response_only(sink.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Handler) as url:
        sink.url = f"{url}/scores"
        yield sink


def command(port: int) -> list[str]:
    """Return the command that the activator and the image start the service with."""
    return [
        *(sys.executable, "-m", "gunicorn", "--no-control-socket", "-b", f"127.0.0.1:{port}"),
        *("-k", "linewatch.serving.worker.Worker", "--workers", "1", "--threads", "8"),
        *("--keep-alive", "300", "--log-level", "warning"),
        "linewatch.sentiment.app:create()",
    ]


@dataclass
class Service:
    """A running service; ``spawned_s`` is when its process was asked for."""

    port: int
    process: subprocess.Popen[bytes]
    spawned_s: float
    log: Path

    def get(self, path: str) -> int:
        """Return the status of a GET, 0 where nobody answers yet."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_DEADLINE_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def wait_ready(self) -> float:
        """Wait until the service is ready and return when that was."""
        eventually(lambda: self.get("/health/readiness") == 200)
        return time.perf_counter()

    def cpu_s(self) -> float:
        """Return the CPU seconds that the service's processes have used."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sum(_cpu_s(int(pid)) for pid in (self.process.pid, *children.split()))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", maxsplit=1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def service(sink_url: str, **env: str) -> Iterator[Service]:
    """Run the service, its bytecode compiled, and end it."""
    port = redis_server.free_port()
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = {"PYTHONPATH": f"{ROOT / 'functions'}"}
    with tempfile.NamedTemporaryFile() as log:
        spawned_s = time.perf_counter()
        process = subprocess.Popen(
            command(port),
            cwd=ROOT,
            env=inherited | paths | {"K_SINK": sink_url} | env,
            stderr=log,
        )
        try:
            yield Service(port, process, spawned_s, Path(log.name))
        finally:
            process.terminate()
            process.wait(_DEADLINE_S)


def request_of(text: str, number: int = 0) -> tuple[dict[str, str], bytes]:
    """Return headers and body of an ``utterance.final`` in which a customer says *text*."""
    key = ChannelKey("default", f"call-{number % 30}", Channel.CUSTOMER)
    start_ms = number * 4000
    said = Utterance(
        key, 1_700_000_000_000, number, number * 64_000, start_ms, start_ms + 3000, text
    )
    return events.to_http(events.utterance_final(said))


def say(line: str) -> None:
    """Print *line*: a bench's output is what it is run for."""
    sys.stdout.write(f"{line}\n")
