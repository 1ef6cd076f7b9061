"""Holds the local event log to what a log owes: nothing lost, nothing kept for ever."""

from __future__ import annotations

import time

import pytest

from eventing.replica import free_port
from linewatch import keys
from linewatch.errors import StoreUnavailable
from linewatch.eventlog.protocol import KEPT_S, Group
from linewatch.eventlog.redis import COMPARED_S, KEPT, RedisLog
from linewatch.eventlog.redis_writer import connect
from linewatch.events import PARTITIONS, Record
from tests.eventing.subscriber import record, source
from tests.support.full_store import full

_GROUP = Group("utterances", "linewatch-sentiment", "here")
_OTHER = Group("utterances", "linewatch-other", "here")


@pytest.fixture(name="log")
def _log(redis_url):
    log = RedisLog.at(redis_url)
    log.ensure(_GROUP)
    yield log
    log._client.close()


@pytest.fixture(name="client")
def _client(redis_url):
    with connect(redis_url) as client:
        yield client


def _entry_id(entry):
    return f"{entry.offset // 1_000_000}-{entry.offset % 1_000_000}"


def _publish(log, count=1, topic="utterances"):
    log.publish([record(f"call-{number}", topic) for number in range(count)])


def test_client_gives_up_within_a_second():
    """A client waits less than a second for a Redis that hangs, and does not try again."""
    with connect("redis://127.0.0.1:1/0") as client:
        options = client.connection_pool.connection_kwargs
        assert 0 < options["socket_timeout"] < 1
        assert 0 < options["socket_connect_timeout"] < 1
        assert options["retry"].get_retries() == 0


def test_group_reads_from_earliest(log):
    """A group made after an event was published still reads it."""
    _publish(log)
    log.ensure(_OTHER)
    (entry,) = log.read(_OTHER)
    assert Record.of_fields(entry.fields) == record("call-0")
    assert entry.partition == record("call-0").partition


def test_ensure_keeps_position(log):
    """Making a group that exists does not read anything again."""
    _publish(log)
    (entry,) = log.read(_GROUP)
    log.acknowledge(_GROUP, entry)
    log.ensure(_GROUP)
    assert log.read(_GROUP) == []


def test_unacknowledged_entry_comes_back(log):
    """A consumer that starts again gets what it had read and not acknowledged."""
    _publish(log)
    first = log.read(_GROUP)
    assert log.pending(_GROUP) == first
    log.acknowledge(_GROUP, first[0])
    assert log.pending(_GROUP) == []


def test_dead_consumers_entries_claimed(log):
    """Entries of a consumer that stopped touching them go to another one."""
    _publish(log, 3)
    dead = Group("utterances", _GROUP.name, "dead")
    read = log.read(dead, count=3)
    assert log.claim(_GROUP, idle_ms=60_000) == []
    assert sorted(e.place for e in log.claim(_GROUP, idle_ms=0)) == sorted(e.place for e in read)
    assert log.pending(dead) == []


def test_touched_entry_stays(log, client):
    """An entry that is worked on for long is not claimed while its consumer touches it."""
    _publish(log)
    (entry,) = log.read(_GROUP)
    stream = keys.log("utterances", entry.partition)
    client.xclaim(stream, _GROUP.name, "here", 0, [_entry_id(entry)], idle=9000, justid=True)
    log.touch(_GROUP, [entry.place])
    other = Group("utterances", _GROUP.name, "other")
    assert log.claim(other, idle_ms=5000) == []


def test_acknowledged_entries_are_trimmed(log, monkeypatch):
    """What the only group acknowledged is dropped; what it has in hand stays, and is lag."""
    monkeypatch.setattr("linewatch.eventlog.redis._TRIMMED_S", -60)
    _publish(log, 30)
    entries = log.read(_GROUP, count=30)
    for entry in entries[1:]:
        log.acknowledge(_GROUP, entry)
    assert log.lags("utterances", [_GROUP.name]) == (1,)
    assert log.pending(_GROUP) == [entries[0]]
    log.acknowledge(_GROUP, entries[0])
    assert log.lags("utterances", [_GROUP.name]) == (0,)
    assert log.count("utterances") == 0


def _add(client, age_s):
    at_ms = round((time.time() - age_s) * 1000)
    return client.xadd(keys.log("utterances", 0), record().fields(), id=f"{at_ms}-0")


def test_acknowledged_entries_are_kept_a_while(log, client):
    """What is acknowledged stays as long as scores are compared with it, and not much longer."""
    for age_s in (COMPARED_S + 90, COMPARED_S + 30, 1):
        _add(client, age_s)
    for entry in log.read(_GROUP, count=3):
        log.acknowledge(_GROUP, entry)
    assert log.lags("utterances", [_GROUP.name]) == (0,)
    kept_s = [time.time() - entry.written_at_ms / 1000 for entry in log.entries("utterances")]
    assert [round(each, -1) for each in kept_s] == [COMPARED_S + 30, 0]
    since_s = time.time() - log.kept_since_ms("utterances") / 1000
    assert COMPARED_S - 1 < since_s < COMPARED_S + 1


@pytest.fixture(name="short_of_memory")
def _short_of_memory(client):
    """Redis uses four fifths of its memory."""
    client.config_set("maxmemory", round(client.info("memory")["used_memory"] / 0.8))
    yield
    client.config_set("maxmemory", 0)


def test_short_memory_keeps_nothing(log, client, short_of_memory):
    """Where memory is short what is acknowledged goes at once, and what is left says since when."""
    began_ms = time.time() * 1000
    _add(client, 2)
    (entry,) = log.read(_GROUP)
    log.acknowledge(_GROUP, entry)
    _add(client, 1)
    assert log.lags("utterances", [_GROUP.name]) == (1,)
    assert log.count("utterances") == 1
    assert log.kept_since_ms("utterances") >= round(began_ms)


def test_full_redis_is_trimmed(log, client, redis_url):
    """On a full Redis a group is read, acknowledges, and what it acknowledged goes at once."""
    _publish(log)
    with full(redis_url):
        log.ensure(_GROUP)
        (entry,) = log.read(_GROUP)
        log.acknowledge(_GROUP, entry)
        assert log.lags("utterances", [_GROUP.name]) == (0,)
    assert log.count("utterances") == 0
    assert 0 < client.ttl(keys.log_kept("utterances")) <= COMPARED_S + 60


def test_full_redis_lets_group_join(log, redis_url):
    """On a full Redis a group that was not there yet is made: it is what will free memory."""
    _publish(log)
    with full(redis_url):
        log.ensure(_OTHER)
        assert len(log.read(_OTHER)) == 1


def test_full_redis_shows_report(log, client, redis_url):
    """On a full Redis the dashboard is told how far everybody is."""
    with full(redis_url):
        log.report("dispatcher", {"lag.board": 7})
    assert client.hgetall(keys.health("dispatcher")) == {b"lag.board": b"7"}
    assert 0 < client.pttl(keys.health("dispatcher")) <= keys.HEALTH_EXPIRES_MS


def test_settled_is_below_what_is_in_hand(log):
    """A group has settled what lies below its oldest entry in hand, or below all it has read."""
    log.publish([record("call-0", "utterances") for _ in range(3)])
    partition = record("call-0").partition
    assert log.settled("utterances", _GROUP.name)[partition] == 1
    assert set(log.settled("utterances", "nobody").values()) == {0}
    assert set(log.settled("no-such-topic", _GROUP.name).values()) == {0}
    first, second = log.read(_GROUP, count=2)
    log.acknowledge(_GROUP, second)
    assert log.settled("utterances", _GROUP.name)[partition] == first.offset
    log.acknowledge(_GROUP, first)
    assert log.settled("utterances", _GROUP.name)[partition] == second.offset + 1


def test_settle_is_remembered(log):
    """How far a group without members is, is kept, and holds back no trimming."""
    _publish(log, 2)
    offsets = {0: 0, 3: 5_000_001, 4: 5_000_000}
    log.settle("utterances", "missing-sentiment", offsets)
    kept = log.settled("utterances", "missing-sentiment")
    assert {each: kept[each] for each in offsets} == {0: 1, 3: 5_000_001, 4: 5_000_000}


@pytest.mark.parametrize("count", [3, 500, 501, 1200])
def test_entries_between_are_read(log, count):
    """Entries between two offsets are read whole, a page at a time; the end is none of them."""
    log.publish([record("call-0", "utterances") for _ in range(count)])
    partition = record("call-0").partition
    every = log.entries("utterances")
    begin = {partition: every[0].offset}
    assert [*log.between("utterances", begin)] == every
    assert [*log.between("utterances", begin, {partition: every[-1].offset})] == every[:-1]
    assert [*log.between("utterances", {partition: every[1].offset}, begin)] == []


def test_since_tells_times_apart(log, client):
    """Reading since a time gives what was written then or later."""
    for age_s in (20, 10):
        _add(client, age_s)
    since = log.since("utterances", round((time.time() - 15) * 1000))
    assert len([*log.between("utterances", since)]) == 1


def test_slowest_group_holds_log(log):
    """Nothing is trimmed that another group of the topology has not acknowledged."""
    log.ensure(_OTHER)
    _publish(log, 20)
    for entry in log.read(_GROUP, count=20):
        log.acknowledge(_GROUP, entry)
    assert log.lags("utterances", [_GROUP.name, _OTHER.name]) == (0, 20)
    assert log.count("utterances") == 20
    assert len(log.read(_OTHER, count=20)) == 20


def test_missing_group_holds_log(log):
    """While a group of the topology does not exist yet, nothing is trimmed for it."""
    _publish(log, 5)
    for entry in log.read(_GROUP, count=5):
        log.acknowledge(_GROUP, entry)
    assert log.lags("utterances", [_GROUP.name, "not-made-yet"]) == (0, 5)
    assert log.count("utterances") == 5


def test_lag_counts_unread(log):
    """Lag is what was not read plus what was read and not acknowledged."""
    _publish(log, 10)
    read = log.read(_GROUP, partitions=range(PARTITIONS), count=1)
    log.acknowledge(_GROUP, read[0])
    assert log.lags("utterances", [_GROUP.name]) == (9,)
    assert log.unacknowledged(_GROUP) == len(read) - 1


@pytest.mark.parametrize("count", [999, 1000, 1300])
def test_lag_of_long_backlog(log, count):
    """However far behind two groups of one topic are, each is told its own lag."""
    log.ensure(_OTHER)
    log.publish([record("call-0", "utterances") for _ in range(count)])
    for entry in log.read(_GROUP, count=count - 7):
        log.acknowledge(_GROUP, entry)
    log.read(_OTHER, count=3)
    assert log.lags("utterances", [_GROUP.name, _OTHER.name]) == (7, count)


def test_lag_of_empty_topic(redis_url):
    """A topic nobody wrote to has no lag."""
    assert RedisLog.at(redis_url).lags("scores", ["any"]) == (0,)


def test_ungrouped_topic_keeps_last(log, client):
    """A topic that no group reads keeps about its last 10,000 records and not more for ever."""
    with client.pipeline(transaction=False) as pipe:
        for _ in range(2 * KEPT // PARTITIONS):
            pipe.xadd(keys.log("alerts", 0), {"n": "1"})
        pipe.execute()
    assert log.lags("alerts", []) == ()
    kept = client.xlen(keys.log("alerts", 0))
    assert KEPT // PARTITIONS <= kept < 2 * KEPT // PARTITIONS


def test_ungrouped_topic_forgets(log, client):
    """A topic that no group reads, as dead letters are, holds nothing longer than a week."""
    stream = keys.log("dead-sentiment", 0)
    for age_s in (KEPT_S + 60, KEPT_S - 60):
        client.xadd(stream, {"n": str(age_s)}, id=f"{round((time.time() - age_s) * 1000)}-0")
    log.lags("dead-sentiment", [])
    ((_, kept),) = client.xrange(stream)
    assert kept == {b"n": str(KEPT_S - 60).encode()}


def test_entries_are_oldest_first(log):
    """A topic is listed over all partitions by the time its records were written."""
    for number in range(6):
        log.publish([record(f"call-{number}", "dead-sentiment")])
        time.sleep(0.002)
    keys_read = [entry.fields[b"key"] for entry in log.entries("dead-sentiment")]
    assert keys_read == [b"call-%d" % number for number in range(6)]


def test_replayed_letter_is_gone(log):
    """A dead letter that was replayed is neither counted nor listed any more."""
    told = source()
    log.publish([record(f"call-{number}", "dead-sentiment") for number in range(3)])
    assert log.dead(told.dead_letters) == 3
    first, *others = log.letters(told.dead_letters)
    log.replayed(told.dead_letters, first)
    assert log.letters(told.dead_letters) == others
    assert log.dead(told.dead_letters) == 2


def test_offsets_grow_numerically(log, client):
    """A later entry has the larger offset, also inside one millisecond."""
    stream = keys.log("utterances", 0)
    for entry_id in ("5-0", "5-9", "5-10", "6-0"):
        client.xadd(stream, record().fields(), id=entry_id)
    found = log.entries("utterances")
    assert [entry.offset for entry in found] == [5_000_000, 5_000_009, 5_000_010, 6_000_000]
    assert [entry.written_at_ms for entry in found] == [5, 5, 5, 6]


def test_reports_share_and_expire(log, client):
    """Two processes of a role each show their fields; all are gone when none reports."""
    log.report("dispatcher", {"lag.board-calls": 1})
    log.report("dispatcher", {"lag.sentiment": 3})
    assert client.hgetall(keys.health("dispatcher")) == {
        b"lag.board-calls": b"1",
        b"lag.sentiment": b"3",
    }
    assert 0 < client.pttl(keys.health("dispatcher")) <= keys.HEALTH_EXPIRES_MS
    log.report("dispatcher", {})
    assert not client.exists(keys.health("dispatcher"))


def test_read_wakes_on_publish(log, redis_url):
    """A waiting reader gets an entry when it is published, and nothing when none comes."""
    assert log.read(_GROUP, wait_s=0.02) == []
    _publish(RedisLog.at(redis_url))
    assert len(log.read(_GROUP, wait_s=0.5)) == 1


def test_lost_group_is_unavailable(log, client):
    """A group that Redis lost is an outage to its reader, cured by making it again."""
    client.flushall()
    with pytest.raises(StoreUnavailable):
        log.read(_GROUP)
    log.ensure(_GROUP)
    _publish(log)
    assert len(log.read(_GROUP)) == 1


def test_absent_redis_is_unavailable():
    """Every operation tells that the log is away, instead of a Redis error."""
    log = RedisLog.at(f"redis://127.0.0.1:{free_port()}/0", 0.2)
    for act in (
        log.ping,
        lambda: log.read(_GROUP),
        lambda: log.claim(_GROUP),
        lambda: log.ensure(_GROUP),
        lambda: log.lags("utterances", [_GROUP.name]),
        lambda: log.settled("utterances", _GROUP.name),
        lambda: log.settle("utterances", _GROUP.name, {0: 1}),
        lambda: next(log.between("utterances", {0: 1})),
        lambda: log.kept_since_ms("utterances"),
        lambda: log.report("dispatcher", {}),
        lambda: log.publish([record()]),
    ):
        with pytest.raises(StoreUnavailable):
            act()
