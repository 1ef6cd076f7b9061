"""Real decoder processes on loopback, real lines that call them, and what came out."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import urllib3

from infra.launcher import redis_server
from infra.launcher.redis_server import free_port
from linewatch import keys
from linewatch.calls import CallStart, Codec
from linewatch.events import PARTITIONS, partition_of
from linewatch.gateway.decoders import Decoders
from linewatch.gateway.line import Line
from linewatch.settings import host_port
from tests.support.source import ROOT
from tests.support.waiting import eventually

STARTED_AT_MS = 1_767_225_600_000
FAKE = "tests.support.fake_decoder:create()"
REAL = "linewatch.decoder.app:create()"


@contextmanager
def own_redis(folder):
    """Run a Redis of one's own that writes to *folder*; gives its URL."""
    port = free_port()
    server = redis_server.start(port, Path(folder), durable=False)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@dataclass
class Decoder:
    """One gunicorn master with its worker."""

    url: str
    process: subprocess.Popen

    @property
    def worker(self):
        """The worker's pid: the process that holds the sessions."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def signal_all(self, number):
        """Signal master and worker."""
        for pid in (self.worker, self.process.pid):
            os.kill(pid, number)

    def stop(self):
        """End it if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Fleet:
    """The decoders of one test."""

    def __init__(self, redis_url, app=FAKE, **env):
        self.redis_url = redis_url
        self.decoders = []
        self._app = app
        self._env = env

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for decoder in self.decoders:
            decoder.stop()

    def start(self, count=1, **env):
        """Start *count* more and wait until they are ready."""
        started = [self._spawn(env) for _ in range(count)]
        for decoder in started:
            eventually(lambda one=decoder: is_ready(one))
        self.decoders += started
        return started

    def _spawn(self, env):
        port = free_port()
        given = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("functions", "")),
            "PORT": str(port),
            "REDIS_URL": self.redis_url,
            "VOSK_MODEL_PATH": str(ROOT),
            # The calls of tests begin at one moment for ever: so are their events' bytes.
            "START_BELIEVED_S": "10000000000",
            "COOKIE_KEYS": "one-secret,older-secret",
            **self._env,
            **env,
        }
        conf = ROOT / "functions/linewatch/decoder/gunicorn.conf.py"
        command = [sys.executable, "-m", "gunicorn", "-c", str(conf), self._app]
        process = subprocess.Popen(
            command, env=given, start_new_session=True, stderr=subprocess.DEVNULL
        )
        where = host_port(given.get("BIND", "127.0.0.1"), port)
        return Decoder(f"http://{where}", process)

    @property
    def urls(self):
        """Where they listen."""
        return [decoder.url for decoder in self.decoders]

    def metric(self, name):
        """Return a counter's sum over the living decoders."""
        total = 0.0
        for decoder in self.decoders:
            if decoder.process.poll() is None:
                text = urllib3.request("GET", f"{decoder.url}/metrics").data.decode()
                rows = [row for row in text.splitlines() if row.startswith(f"{name} ")]
                total += sum(float(row.split()[1]) for row in rows)
        return total

    def owner_of(self, key):
        """Return the decoder that owns a session."""
        with redis.Redis.from_url(self.redis_url) as client:
            pod = client.hget(keys.session(key), "owner").decode()
            address = client.hget(keys.pod(pod), "address").decode()
        return next(decoder for decoder in self.decoders if decoder.url == address)


def is_ready(decoder):
    """Tell whether a decoder answers its readiness probe."""
    assert decoder.process.poll() is None, "the decoder ended at its start"
    try:
        url = f"{decoder.url}/health/readiness"
        return urllib3.request("GET", url, retries=False, timeout=1).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _in_names(character):
    return character.isascii() and (character.isalnum() or character in "._~-")


def line_to(
    urls,
    call,
    channels,
    *,
    chunk_ms=250,
    rate_hz=8000,
    codec=Codec.PCMU,
    seed=0,
    started_at_ms=STARTED_AT_MS,
):
    """Return a line that calls the decoders at *urls* at random."""
    start = CallStart("default", call, call, started_at_ms)
    transport = Decoders(urls, chance=random.Random(seed))
    chance = random.Random(seed)
    return Line(
        start,
        channels,
        codec,
        rate_hz,
        transport,
        chance=chance,
        stream=lambda: "".join(filter(_in_names, f"{call}-stream")),
        chunk_ms=chunk_ms,
    )


def published(redis_url, topic, calls):
    """Return the records of *calls* in a topic of the local log: (source, id) -> all copies."""
    found = {}
    with redis.Redis.from_url(redis_url) as client:
        for partition in sorted({partition_of(call) for call in calls}):
            for _, fields in client.xrange(keys.log(topic, partition)):
                if fields[b"key"].decode() in calls:
                    name = (fields[b"ce_source"], fields[b"ce_id"])
                    whole = tuple(sorted(fields.items()))
                    found.setdefault(name, []).append(whole)
    return found


def outbox_is_empty(redis_url):
    """Tell whether the relay has taken everything."""
    with redis.Redis.from_url(redis_url) as client:
        return not any(client.xlen(keys.outbox(partition)) for partition in range(PARTITIONS))


def once_each(records):
    """Return records without their repeats, which must be equal bytes."""
    for name, copies in records.items():
        assert len(set(copies)) == 1, f"{name} was published with different bytes"
    return {name: copies[0] for name, copies in records.items()}


def differences(found, expected):
    """Return what differs between two results of `once_each`, short enough to read."""
    told = [f"missing {name}" for name in expected if name not in found]
    told += [f"extra {name}" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        pairs = zip(expected[name], found[name], strict=False)
        told += [f"{name}: {one} became {two}" for one, two in pairs if one != two]
    return told
