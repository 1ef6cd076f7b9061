"""What delivers events, as processes beside a rig; and a function that notes what it was given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from redis.exceptions import ResponseError

from infra.launcher.tether import tethered
from linewatch import events, keys
from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.eventlog.redis_writer import RedisLogWriter, connect
from linewatch.events import PARTITIONS
from tests.support.decoders import ROOT, STARTED_AT_MS
from tests.support.loopback import serving

#: A record that stands for what a customer says in some six seconds.
TEXT = "this is the worst service i have ever had"
_BATCH = 250
_END_S = 20


def running(site, module, **env):
    """Run a role of ``eventing``; see `started`."""
    return started(site, module, "-m", f"eventing.{module}", **env)


@contextmanager
def started(site, name, *words, **env):
    """Run Python on the rig's Redis; it has ended when this ends, and *name* is its log's."""
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "functions"), str(ROOT))),
        "REDIS_URL": site.redis_url,
        **env,
    }
    command = tethered([sys.executable, *words], signal.SIGKILL)
    with (site.folder / f"{name}.log").open("a") as log:
        process = subprocess.Popen(command, env=given, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children(pid):
    """Return the pids of a process' children, whichever of its threads started them."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return list(map(int, found))


def utterance(name, index, text=TEXT):
    """Return the record of one thing a customer said in the call *name*."""
    key = ChannelKey("default", name, Channel.CUSTOMER)
    begin_ms = 6000 * index
    said = Utterance(key, STARTED_AT_MS, index, 48_000 * index, begin_ms, begin_ms + 4000, text)
    return events.to_record(events.utterance_final(said))


def publish(site, records):
    """Write *records* to the local log."""
    with connect(site.redis_url, 10) as client:
        writer = RedisLogWriter(client)
        for begin in range(0, len(records), _BATCH):
            writer.publish(records[begin : begin + _BATCH])


def names(records):
    """Return what tells *records* apart."""
    told = [(each.headers["ce_source"], each.headers["ce_id"]) for each in records]
    return {
        tuple(part if isinstance(part, str) else part.decode() for part in each) for each in told
    }


def unsettled(site, group, topic="utterances"):
    """Count what *group* has in hand."""
    streams = [keys.log(topic, partition) for partition in range(PARTITIONS)]
    return sum(_pending(site.client, stream, group) for stream in streams)


def _pending(client, stream, group):
    try:
        return client.xpending(stream, group)["pending"]
    except ResponseError:
        # Nobody has read it yet.
        return 0


def length(site, topic):
    """Count what the local log holds of *topic*."""
    return sum(site.client.xlen(keys.log(topic, partition)) for partition in range(PARTITIONS))


class Target:
    """A function that notes in *taken* what it was given, and refuses those named in *bad*.

    While *gate* is not set it answers nobody.
    """

    def __init__(self, bad=()):
        self.bad = frozenset(bad)
        self.taken = set()
        self.gate = threading.Event()
        self.gate.set()
        self._serving = serving(type("Handler", (_Handler,), {"target": self}))
        #: Where events are posted to, once it is entered.
        self.url = ""

    def __enter__(self):
        self.url = f"{self._serving.__enter__()}/"
        return self

    def __exit__(self, *error):
        self.gate.set()
        self._serving.__exit__(*error)

    def answer(self, headers):
        """Take one event."""
        self.gate.wait()
        name = headers["ce-source"], headers["ce-id"]
        if name in self.bad:
            return 400
        self.taken.add(name)
        return 204


class _Handler(BaseHTTPRequestHandler):
    target: Target
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        """Answer one event."""
        self.rfile.read(int(self.headers["Content-Length"]))
        status = self.target.answer(self.headers)
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Stay quiet."""
