"""How long the sentiment function takes from no process to a scored event at the sink.

Run from the project's root: ``python -m tests.bench.bench_cold_start``. It spawns the
real gunicorn command, bytecode compiled, and sends one event as soon as the port is bound.
Included: interpreter, gunicorn, all imports, word lists, scoring, the POST to the sink.
Not included: scheduling a pod and pulling an image.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, fields
from http.client import HTTPConnection

from infra.launcher import redis_server
from tests.bench.sentiment_service import (
    ROOT,
    NullSink,
    Service,
    null_sink,
    request_of,
    say,
    service,
)
from tests.support.waiting import eventually

RUNS = 5
LIMIT_S = 2.2
TEXT = "i have been waiting for forty minutes and my router is still not working"


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Seconds after the spawn at which a phase was over, and how long the two long ones took."""

    bound_s: float
    imports_s: float
    word_lists_s: float
    warm_s: float
    scored_s: float
    cpu_s: float


def compile_bytecode() -> None:
    """Compile this project's functions, as the image does; pip compiled the packages."""
    folders = [str(ROOT / "functions")]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def measure(sink: NullSink) -> ColdStart:
    """Start the service once and follow it to its first scored event."""
    before = len(sink.taken)
    with service(sink.url) as running:
        eventually(lambda: redis_server.is_listening(running.port), every_s=0.005)
        bound_s = time.perf_counter()
        sender = threading.Thread(target=_send, args=(running,))
        sender.start()
        warm_s = running.wait_ready()
        eventually(lambda: len(sink.taken) > before)
        sender.join()
        cpu_s = running.cpu_s()
        found = re.search(r"imports (\d+) ms, word lists (\d+) ms", running.log.read_text())
    assert found
    return ColdStart(
        bound_s=bound_s - running.spawned_s,
        imports_s=int(found[1]) / 1000,
        word_lists_s=int(found[2]) / 1000,
        warm_s=warm_s - running.spawned_s,
        scored_s=sink.taken[before].at_s - running.spawned_s,
        cpu_s=cpu_s,
    )


def _send(running: Service) -> None:
    headers, body = request_of(TEXT)
    connection = HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("POST", "/", body=body, headers=headers)
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 204, answer.status


def main() -> int:
    """Measure, print a table, and fail where the median is above the limit."""
    compile_bytecode()
    with null_sink() as sink:
        runs = [measure(sink) for _ in range(RUNS)]
    for each in fields(ColdStart):
        values = [getattr(run, each.name) for run in runs]
        say(f"{each.name:13} median {statistics.median(values):.2f}  min {min(values):.2f}")
    median_s = statistics.median(run.scored_s for run in runs)
    say(f"cold start, spawn to scored event sent: {median_s:.2f} s (limit {LIMIT_S} s)")
    return int(median_s > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
