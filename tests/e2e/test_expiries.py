"""What stays in Redis once nobody calls any more: nothing that was said, but for the log's."""

from __future__ import annotations

import time
from contextlib import closing
from fnmatch import fnmatchcase

import pytest
import redis

from linewatch import keys
from linewatch.board.store import Board
from linewatch.decoder.outbox.relay import Relay
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import RedisLogWriter, connect
from linewatch.events import Record, from_record
from linewatch.payloads import read
from tests.linewatch.decoder.pods import (
    AGENT,
    CUSTOMER,
    NOW_MS,
    START,
    STEPS,
    Caller,
    Pod,
    chunk,
    run_together,
)
from tests.support.board_facts import TENANT, score

#: Keys that may stay, and why.
STAYS = {
    keys.PODS: "ids of decoders, forgotten by the next one that looks",
    keys.SESSIONS: "channels of calls that go on; gone with the last of them",
    keys.QUIET: "calls to look after; gone with the last of them",
    keys.CLOCK: "one hash, whatever is called",
    keys.LOGS: "names of streams",
    "outbox:*": "streams that a relay empties; empty now",
    "log:*": "streams that the dispatcher trims, by what was settled and by age",
}
TOPICS = ("calls", "utterances")


@pytest.fixture(name="client")
def _client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def talked(redis_url):
    """Let a call be announced, heard, partly undecodable, and ended; leave an odd record."""
    pod = Pod(redis_url)
    pod.store.renew({"address": "http://pod-a"})
    pod.store.announce(START, [AGENT.channel, CUSTOMER.channel])
    pod.store.alias("default", "line-7", "c1", 25)
    pod.store.keep_undecodable(AGENT, [chunk()], 2)
    callers = [Caller(key, STEPS, pod.take) for key in (AGENT, CUSTOMER)]
    run_together(callers)
    pod.store.show_partials({AGENT: "good morn"})
    pod.store.close("default", "c1", NOW_MS)


def passed_on(redis_url, client):
    """Let a relay pass everything on, and one entry that is no record."""
    client.xadd(keys.outbox(3), {"value": "what was said"})
    with connect(redis_url) as own:
        relay = Relay(own, RedisLogWriter(own), "pod-a")
        relay.turn()
        while relay.turn():
            pass
        relay._leases.release(relay.held)


def shown(redis_url):
    """Let the board's group settle every event, and put the call on the board."""
    with closing(Board.from_url(redis_url)) as board, closing(RedisLog.at(redis_url)) as log:
        for topic in TOPICS:
            group = Group(topic, "linewatch-board", "here")
            log.ensure(group)
            while entries := log.read(group, count=100):
                for entry in entries:
                    log.acknowledge(group, entry)
                    _put(board, entry)
        log.report("dispatcher", {"lag.board-calls": 0})
        (alert,) = board.put(score(0, text="lawyer")).unpublished
        board.mark_published(alert)


def _put(board, entry):
    if entry.fields[b"topic"] == b"calls":
        board.put(read(from_record(Record.of_fields(entry.fields))))


def lasting(client):
    """Return the keys without an expiry that are not known to stay."""
    names = client.keys("*")
    return {
        name
        for name in names
        if client.ttl(name) == -1 and not any(fnmatchcase(name, known) for known in STAYS)
    }


def test_nothing_said_stays(redis_url, client):
    """After a call every key expires, but for indexes and for streams that somebody empties."""
    talked(redis_url)
    passed_on(redis_url, client)
    shown(redis_url)
    assert lasting(client) == set()
    assert client.zcard(keys.SESSIONS) == 0
    assert sum(client.xlen(name) for name in client.keys("outbox:*")) == 0
    assert client.ttl(keys.log(keys.UNREADABLE, 3)) > 0
    assert client.exists(keys.board_rows(TENANT), keys.board_alerts(TENANT)) == 2


def test_settled_records_leave_log(redis_url, client, monkeypatch):
    """What every group settled leaves the log by its age, though no event comes after it."""
    talked(redis_url)
    passed_on(redis_url, client)
    shown(redis_url)
    later_s = time.time() + 700
    with closing(RedisLog.at(redis_url)) as log:
        monkeypatch.setattr(time, "time", lambda: later_s)
        for topic in TOPICS:
            assert log.lags(topic, ["linewatch-board"]) == (0,)
            assert log.count(topic) == 0


def test_walk_can_fail(client):
    """A key that is not known to stay is found (the walk can fail)."""
    client.set("s:default:c9:agent", "left")
    assert lasting(client) == {"s:default:c9:agent"}
