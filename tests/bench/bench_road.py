"""The whole road on this machine: how fast words reach the board, and how many calls fit.

``python -m tests.bench.bench_road`` starts everything the launcher starts, on a Redis of its
own whose commands it watches (MONITOR: Redis' own clock). Latency runs from the commit of
the utterance (its XADD to the outbox) to the row on the board (the board's HSET), sentiment
warm, with 15 lines without added hold (HOLD=0). Capacity is the CPU of every process
of the launcher, simulated lines included, at two numbers of lines; the calls at which the
machine is 60 % busy lie on the line through them.
"""

import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import redis

from infra.launcher import redis_server
from tests.bench.bench_service import cpu_s
from tests.infra.standins import ROOT, marked

LATENCY_LINES = 15
FEW_LINES, MANY_LINES = 4, 12
WARM_S, MEASURE_S = 25, 45
BUSY = 0.6
LIMITS_MS = {"p50": 150, "p95": 400}
# redis-py gives a command's words without their quotes.
_FINAL = re.compile(r"ce_source /tenants/default/calls/(\S+)/channels/(\w+) ce_id (\d+)-final")
_ROW = re.compile(r"HSET board:default:call:(\S+) version \d+ score:(\w+):(\d+) ")


class Everything:
    """The launcher with so many lines, on a Redis of the bench's own; *more* is set as well."""

    def __init__(self, lines, **more):
        self._mark = uuid.uuid4().hex
        self._folder = Path(tempfile.mkdtemp(prefix="linewatch-bench-"))
        port = redis_server.free_port()
        self.redis = redis_server.start(port, self._folder)
        self.url = f"redis://127.0.0.1:{port}/0"
        env = {
            **os.environ,
            "LINES": str(lines),
            "HOLD": "0",
            "MARK": self._mark,
            "REDIS_URL": self.url,
            "STATE_DIR": str(self._folder / "state"),
            **more,
        }
        self._launcher = subprocess.Popen(
            [sys.executable, "-m", "infra.local"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        time.sleep(WARM_S)
        assert self._launcher.poll() is None, "the launcher ended: run `make demo` to see why"
        return self

    def __exit__(self, *_):
        self._launcher.send_signal(signal.SIGINT)
        self._launcher.wait(30)
        self.redis.terminate()
        self.redis.wait()

    def cpu_s(self):
        """Return the CPU seconds of all processes so far; of one that ended, none."""
        found = {}
        for pid in [*marked(self._mark), self.redis.pid]:
            with contextlib.suppress(OSError):
                found[pid] = cpu_s(pid)
        return found


def latencies_ms(**more):
    """Return the times from commit to row, in ms; *more* is the launcher's environment."""
    with (
        Everything(LATENCY_LINES, **more) as everything,
        redis.Redis.from_url(everything.url) as client,
    ):
        return _watched(client, time.monotonic() + MEASURE_S)


def _watched(client, until_s):
    committed, took = {}, []
    with client.monitor() as monitor:
        for told in monitor.listen():
            said = _FINAL.search(told["command"])
            if said:
                committed.setdefault(said.groups(), told["time"])
            row = _ROW.search(told["command"])
            if row and row.groups() in committed:
                took.append(1000 * (told["time"] - committed.pop(row.groups())))
            if time.monotonic() > until_s:
                return took
    return took


def load(lines):
    """Return the CPU cores that everything uses with so many lines."""
    with Everything(lines) as everything:
        before, begun = everything.cpu_s(), time.monotonic()
        time.sleep(MEASURE_S)
        after, took = everything.cpu_s(), time.monotonic() - begun
        return sum(after[pid] - before.get(pid, 0.0) for pid in after) / took


def main():
    """Print the figures; return 1 when a limit is passed."""
    took = latencies_ms()
    p50, p95 = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    print(f"commit of the utterance to row on the board, {LATENCY_LINES} lines, {len(took)} rows")
    print(f"  p50 {p50:6.1f} ms  limit {LIMITS_MS['p50']} ms")
    print(f"  p95 {p95:6.1f} ms  limit {LIMITS_MS['p95']} ms")
    few, many = load(FEW_LINES), load(MANY_LINES)
    each = (many - few) / (MANY_LINES - FEW_LINES)
    cores = os.cpu_count() or 1
    calls = FEW_LINES + (BUSY * cores - few) / each
    print(f"two-channel calls at {BUSY:.0%} of {cores} cores, everything on this machine")
    print(f"  {FEW_LINES} calls use {few:.2f} cores, {MANY_LINES} use {many:.2f}: {each:.3f} each")
    print(f"  {calls:.0f} calls carried")
    return int(p50 > LIMITS_MS["p50"] or p95 > LIMITS_MS["p95"])


if __name__ == "__main__":
    sys.exit(main())
