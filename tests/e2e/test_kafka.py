"""The demo on a real Kafka, whose broker is killed in the middle of calls: nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import threading

import pytest
import redis

from tests.e2e.test_demo import Demo
from tests.infra.standins import marked
from tests.support.waiting import eventually

# redis-py gives a command's words without their quotes.
_COMMITTED = re.compile(r"XADD outbox:\d+ .*ce_source (\S+) ce_id (\d+)-final")
_SHOWN = re.compile(r"HSET board:default:call:(\S+) version \d+ score:(\w+):(\d+) ")


class Watch:
    """Every utterance that the decoders committed and that came to the board, by Redis' MONITOR."""

    def __init__(self, url):
        self.committed = set()
        self.shown = set()
        # It says nothing until the demo is up.
        self._client = redis.Redis.from_url(url, socket_timeout=240)
        self._monitor = self._client.monitor()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._client.ping()
        self._thread.join()
        self._monitor.__exit__(None, None, None)
        self._client.close()

    def _run(self):
        for told in self._monitor.listen():
            if self._ends.is_set():
                return
            if found := _COMMITTED.search(told["command"]):
                self.committed.add((found[1], int(found[2])))
            if found := _SHOWN.search(told["command"]):
                source = f"/tenants/default/calls/{found[1]}/channels/{found[2]}"
                self.shown.add((source, int(found[3])))


@pytest.fixture(name="demo")
def _demo(own_kafka, redis_url, tmp_path, prepared_model):
    """The demo with four lines that talk all the time; none of its processes outlives the test."""
    demo = Demo(
        tmp_path,
        prepared_model,
        LOG="kafka",
        LINES="4",
        HOLD="0",
        REDIS_URL=redis_url,
        **own_kafka.env,
    )
    yield demo
    for pid in marked(demo.mark):
        os.kill(pid, signal.SIGKILL)
    demo.launcher.wait()


def test_killed_broker_loses_no_word(demo, own_kafka, redis_url):
    """Every utterance committed before, in and after the outage is in Kafka and on the board."""
    with Watch(redis_url) as watch:
        demo.ready()
        eventually(lambda: watch.shown)
        own_kafka.kill()
        before = set(watch.committed)
        eventually(lambda: watch.committed - before)
        in_outage = set(watch.committed)
        own_kafka.start()
        eventually(lambda: in_outage <= watch.shown, 300)
        eventually(lambda: watch.shown - in_outage)
        lines = demo.process("linewatch.gateway")
        os.kill(lines, signal.SIGSTOP)
        settled = set(watch.committed)
        eventually(lambda: settled <= watch.shown)
        told = {_named(record) for record in own_kafka.read("utterances")}
    os.kill(lines, signal.SIGCONT)
    assert settled <= told
    demo.launcher.send_signal(signal.SIGINT)
    assert demo.launcher.wait(timeout=60) == 0
    assert not any("Traceback" in line for line in demo.lines)


def _named(record):
    return record.headers["ce_source"].decode(), int(record.headers["ce_id"].split(b"-")[0])
