"""A card number that a caller says, through every role: where it may stand, and for how long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest
import redis
import urllib3

from eventing import topology
from infra.launcher.redis_server import free_port
from linewatch import events, keys
from linewatch.board.store import Board
from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.eventlog.redis import RedisLog
from tests.support import fakes
from tests.support.decoders import FAKE, ROOT, line_to
from tests.support.otlp_receiver import collector
from tests.support.waiting import eventually

NUMBER, NAME = "4929123456781234", "Wilhelmina Quackenbush"
SAID = f"my card is {NUMBER} and my name is {NAME}"
CALL = "canary-1"
#: One of a tenant, however many calls: their entries are cleared once due.
SHARED = re.compile(
    r"(log:.*|logs|clock|quiet|outbox:[0-9]+|pods|board:default:(calls|rows|alerts|expiries|newest|lags))"
)


class Roles:
    """Decoder, sink, activator with sentiment and board, and dispatcher; each writes its log."""

    def __init__(self, folder, redis_url, otlp_url):
        self.folder = folder
        self.processes = []
        self.ports = {name: free_port() for name in ("decoder", "sink", "activator")}
        self._env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("functions", "")),
            "REDIS_URL": redis_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url,
            "PYTHONUNBUFFERED": "1",
        }

    def __enter__(self):
        conf = str(ROOT / "functions/linewatch/decoder/gunicorn.conf.py")
        decoder = {"VOSK_MODEL_PATH": str(ROOT), "COOKIE_KEYS": "x", "SAID": SAID}
        sink, here = f"http://127.0.0.1:{self.ports['sink']}", "http://127.0.0.1"
        self._start("decoder", "gunicorn", "-c", conf, FAKE, **decoder)
        self._start("sink", "eventing.sink")
        self._start("activator", "eventing.activator", SINK_URL=sink)
        for port in self.ports.values():
            eventually(lambda port=port: _is_ready(port))
        url = f"{here}:{self.ports['activator']}/{{name}}"
        self._start("dispatcher", "eventing.dispatcher", SERVICE_URL=url)
        return self

    def _start(self, name, *module, **env):
        told = {**self._env, **env, "PORT": str(self.ports.get(name, 0))}
        if name == "dispatcher":
            del told["PORT"]
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *module], env=told, cwd=ROOT, stdout=log, stderr=log
            )
        self.processes.append(process)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def text(self, name, path):
        """Return what a role answers at *path*, or nothing."""
        url = f"http://127.0.0.1:{self.ports[name]}{path}"
        answer = urllib3.request("GET", url, retries=False, timeout=60)
        return answer.data.decode() if answer.status == 200 else ""

    def logs(self):
        """Return every process's log."""
        return {file.name: file.read_text() for file in self.folder.glob("*.log")}


def _is_ready(port):
    try:
        url = f"http://127.0.0.1:{port}/health/readiness"
        return urllib3.request("GET", url, retries=False, timeout=60).status < 300
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(name="kept")
def _kept():
    with collector() as kept:
        yield kept


def _call(url):
    """Speak, and end the call."""
    line = line_to([url], CALL, (Channel.CUSTOMER,))
    line.open()
    for each in fakes.chunks(fakes.speech(2.0)):
        line.push(Channel.CUSTOMER, each.audio)
    assert line.close(60)


def _poisoned():
    """Return an utterance's record that no function takes."""
    key = ChannelKey("default", "canary-2", Channel.CUSTOMER)
    record = events.to_record(events.utterance_final(Utterance(key, 0, 0, 0, 0, 900, SAID)))
    broken = record.value.replace(b'"index": 0', f'"index": "{NUMBER}"'.encode())
    assert broken != record.value
    return events.Record(record.topic, record.key, record.headers, broken)


def _has_secret(text):
    return NUMBER in text or NAME in text or "Quackenbush" in text


def test_spoken_secret_stays_in_events(redis_url, tmp_path, kept):
    """No log, metric, span or dead letter's header holds it; keys of the ended call expire."""
    sentiment = next(
        each for each in topology.load(topology.FOLDER).sources if each.topic == "utterances"
    )
    with ExitStack() as held:
        roles = held.enter_context(Roles(tmp_path, redis_url, kept.url))
        log, board = RedisLog.at(redis_url), Board.from_url(redis_url)
        held.callback(log.close)
        held.callback(board.close)
        _call(f"http://127.0.0.1:{roles.ports['decoder']}")
        log.publish([_poisoned()])
        eventually(lambda: NUMBER in str(board.detail("default", CALL)), 90)
        (letter,) = eventually(lambda: log.letters(sentiment.dead_letters), 90)
        eventually(lambda: any(row.ended_at_ms for row in board.snapshot("default").rows))
        shown = [roles.text(name, "/metrics") for name in roles.ports]
        shown += [roles.text("activator", f"/{name}/metrics") for name in ("sentiment", "board")]
        unbounded = _unbounded(redis_url)
    told = dict(letter.fields)
    assert NUMBER.encode() in told.pop(b"value")
    assert any(b"knativeerrordata" in name for name in told)
    assert not _has_secret(str(told))
    assert sum("linewatch" in each for each in shown) >= 3
    assert not _has_secret("".join(shown))
    assert len(roles.logs()) == 4
    assert [name for name, text in roles.logs().items() if _has_secret(text)] == []
    assert kept.spans
    assert not _has_secret(str(kept.spans))
    assert unbounded == []


def _unbounded(redis_url):
    """Return the keys that nothing would ever take away."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        found = [name for name in client.scan_iter() if not SHARED.fullmatch(name)]
        assert keys.call("default", CALL) in found
        assert client.zcard(keys.SESSIONS) == 0
        assert sum(client.xlen(keys.outbox(each)) for each in range(events.PARTITIONS)) == 0
        return [name for name in found if client.ttl(name) == -1]
