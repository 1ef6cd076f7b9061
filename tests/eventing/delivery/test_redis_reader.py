"""Holds the reader of a source in Redis to settling every entry exactly when it may."""

from __future__ import annotations

import threading
import time

import pytest

from eventing.delivery.deliverer import IN_FLIGHT, Deliverer
from eventing.delivery.redis_reader import RedisReader
from eventing.delivery.workers import DeliveryWorkers
from eventing.metrics import DispatcherMeters
from eventing.replica import free_port
from linewatch import keys
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis import RedisLog
from linewatch.eventlog.redis_writer import connect
from tests.eventing.subscriber import Subscriber, record, source, until


@pytest.fixture(name="function")
def _function():
    with Subscriber() as function:
        yield function


@pytest.fixture(name="log")
def _log(redis_url):
    log = RedisLog.at(redis_url)
    yield log
    log._client.close()


@pytest.fixture(name="run")
def _run(log, function, redis_url):
    """Start readers that deliver to the function; stop them at the end."""
    started = []

    def run(chosen=None, consumer="here", idle_ms=5000):
        chosen = chosen or source()
        stopping = threading.Event()
        own = RedisLog.at(redis_url)
        deliverer = Deliverer(chosen, function.url, stopping)
        workers = DeliveryWorkers(chosen, deliverer, own, stopping, DispatcherMeters())
        reader = RedisReader(
            workers, own, consumer=consumer, stopping=stopping, idle_ms=idle_ms, upkeep_s=0.2
        )
        started.append((reader, stopping, own))
        reader.start()
        return reader, stopping

    yield run
    for _, stopping, _ in started:
        stopping.set()
    function.gate.set()
    for reader, _, own in started:
        reader.join(2)
        until(lambda reader=reader: not reader.in_hand)
        own._client.close()


def _settled(log, of):
    group = Group(of.topic, of.group, "here")
    return until(lambda: log.lags(of.topic, [of.group]) == (0,)) and log.pending(group) == []


def test_every_event_arrives(log, function, run):
    """Every published event is delivered and acknowledged."""
    run()
    log.publish([record(f"call-{number}") for number in range(60)])
    until(lambda: len(function.requests) == 60)
    assert {request.call for request in function.requests} == {f"call-{n}" for n in range(60)}
    assert _settled(log, source())


def test_deliveries_overlap(log, function, run):
    """A source has many deliveries under way, but never more than 50."""
    function.gate.clear()
    log.publish([record(f"call-{number}") for number in range(120)])
    run()
    until(lambda: len(function.requests) == IN_FLIGHT)
    time.sleep(0.1)
    assert len(function.requests) == IN_FLIGHT
    function.gate.set()
    until(lambda: len(function.requests) == 120)
    assert function.most_at_once == IN_FLIGHT


def test_slow_event_delays_none(log, function, run):
    """One event that is retried does not hold up the others of its partition."""
    function.answers = [500]
    run(source(backoff_s=30))
    log.publish([record("call-1")])
    until(lambda: function.requests)
    log.publish([record("call-1") for _ in range(5)])
    until(lambda: len(function.requests) == 6)


def test_poison_goes_to_dead_letters(log, function, run):
    """A refused event lies in the dead letters with its reason, and counts as settled."""
    function.answers = [(422, {"kne-reason": "bad-schema"}, b"{}")]
    run()
    log.publish([record("call-1")])
    (letter,) = until(lambda: log.entries("dead-sentiment"))
    assert letter.fields[b"ce_reason"] == b"bad-schema"
    assert letter.fields[b"value"] == record("call-1").value
    assert _settled(log, source())


def test_entry_without_fields_is_settled(log, function, run, redis_url):
    """An entry that was deleted while it was pending is not delivered as an empty event."""
    log.ensure(group := Group("utterances", source().group, "here"))
    log.publish([record()])
    (entry,) = log.read(group)
    with connect(redis_url) as client:
        entry_id = f"{entry.offset // 1_000_000}-{entry.offset % 1_000_000}"
        client.xdel(keys.log("utterances", entry.partition), entry_id)
    run()
    until(lambda: log.unacknowledged(group) == 0)
    assert function.requests == []


def test_restart_delivers_unsettled(log, function, run):
    """What a crashed dispatcher had read is delivered at once by the one started again."""
    log.ensure(group := Group("utterances", source().group, "here"))
    log.publish([record(f"call-{number}") for number in range(5)])
    assert len(log.read(group, count=5)) == 5
    run()
    until(lambda: len(function.requests) == 5, within_s=2)
    assert _settled(log, source())


def test_dead_consumers_events_arrive(log, function, run):
    """What another dispatcher left pending when it died is delivered after a while."""
    log.ensure(dead := Group("utterances", source().group, "dead"))
    log.publish([record()])
    assert len(log.read(dead)) == 1
    run(idle_ms=100)
    until(lambda: function.requests)
    assert _settled(log, source())


def test_busy_entry_not_stolen(log, function, run):
    """A delivery that takes long is not repeated by a second dispatcher."""
    function.gate.clear()
    run(consumer="one", idle_ms=600)
    log.publish([record()])
    until(lambda: function.requests)
    run(consumer="two", idle_ms=600)
    time.sleep(1)
    assert len(function.requests) == 1


def test_stop_leaves_retries_pending(log, function, run):
    """An event in back-off when the dispatcher stops is neither lost nor a dead letter."""
    function.answers = [500]
    reader, stopping = run(source(backoff_s=30))
    log.publish([record()])
    until(lambda: function.requests)
    stopping.set()
    until(lambda: not reader.in_hand)
    reader.join(2)
    assert len(log.pending(Group("utterances", source().group, "here"))) == 1
    assert log.count("dead-sentiment") == 0


def test_lost_log_is_made_again(log, function, run, redis_url):
    """After Redis lost everything, the source goes on with what is published then."""
    run()
    log.publish([record("call-1")])
    until(lambda: function.requests)
    with connect(redis_url) as client:
        client.flushall()
    log.publish([record("call-2")])
    until(lambda: len(function.requests) == 2)
    assert function.requests[1].call == "call-2"


def test_outage_is_told_once(function, caplog):
    """A log that stays away is one line, not one line a try."""
    stopping = threading.Event()
    away = RedisLog.at(f"redis://127.0.0.1:{free_port()}/0", 0.2)
    deliverer = Deliverer(source(), function.url, stopping)
    workers = DeliveryWorkers(source(), deliverer, away, stopping, DispatcherMeters())
    reader = RedisReader(workers, away, consumer="here", stopping=stopping)
    reader.start()
    time.sleep(1.2)
    stopping.set()
    reader.join(2)
    assert len(caplog.messages) == 1
    assert "event log is away" in caplog.text
