"""The functions at zero, then a burst: every event is held until they are up, none is lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import redis

from infra.launcher.redis_server import free_port
from linewatch import events, keys
from linewatch.board.store import Board
from linewatch.calls import Channel, ChannelKey, Utterance
from linewatch.eventlog.redis_writer import RedisLogWriter, connect
from tests.support.decoders import ROOT, STARTED_AT_MS
from tests.support.waiting import PATIENCE_S, eventually

CALLS, EACH = 20, 10
IDLE_WINDOW_S = 2


def utterance(call, index):
    """One thing a customer said."""
    return Utterance(
        key=ChannelKey("default", f"burst-{call}", Channel.CUSTOMER),
        started_at_ms=STARTED_AT_MS,
        index=index,
        first_sample=8000 * index,
        start_ms=1000 * index,
        end_ms=1000 * index + 900,
        text="this is the worst service i have ever had",
    )


@pytest.fixture(name="delivery")
def _delivery(redis_url):
    """Sink, activator and dispatcher as the launcher runs them; both functions at zero."""
    sink, activator = free_port(), free_port()
    base = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "functions"), str(ROOT))),
        "REDIS_URL": redis_url,
    }
    home = f"http://127.0.0.1:{sink}"
    roles = {
        "sink": {"PORT": str(sink)},
        "activator": {
            "PORT": str(activator),
            "SINK_URL": home,
            "IDLE_WINDOW_S": str(IDLE_WINDOW_S),
        },
        "dispatcher": {"SERVICE_URL": f"http://127.0.0.1:{activator}/{{name}}"},
    }
    processes = [
        subprocess.Popen([sys.executable, "-m", f"eventing.{name}"], env={**base, **env}, cwd=ROOT)
        for name, env in roles.items()
    ]
    yield redis_url
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(60)


def replicas(client, name):
    """How many processes of a function the activator reports; none before it reports."""
    told = client.hget(keys.health("functions"), f"{name}.replicas")
    return None if told is None else int(told)


def test_burst_from_zero(delivery):
    """200 events that find no process are all scored, and the processes go away again."""
    board = Board.from_url(delivery)
    with redis.Redis.from_url(delivery) as client:
        eventually(lambda: replicas(client, "sentiment") == 0)
        burst = [utterance(call, index) for call in range(CALLS) for index in range(EACH)]
        records = [events.to_record(events.utterance_final(each)) for each in burst]
        RedisLogWriter(connect(delivery)).publish(records)
        # Asked while they are scored: later it may be gone again.
        eventually(lambda: replicas(client, "sentiment") == 1)
        eventually(
            lambda: sum(row.utterances for row in board.snapshot("default").rows) == CALLS * EACH
        )
        eventually(lambda: replicas(client, "sentiment") == 0, IDLE_WINDOW_S + PATIENCE_S)
    assert not any(board.snapshot("default").health.dead_letters.values())
