"""Holds the log in Kafka, on a real broker, to losing nothing and to telling how far it is."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from eventing.delivery.deliverer import Deliverer
from eventing.delivery.kafka_reader import KafkaReader
from eventing.delivery.workers import DeliveryWorkers
from eventing.metrics import DispatcherMeters
from linewatch import keys
from linewatch.decoder.outbox.relay import Relay
from linewatch.errors import Unavailable
from linewatch.eventlog.brokers import Brokers
from linewatch.eventlog.kafka import KafkaLog
from linewatch.eventlog.kafka_writer import KafkaLogWriter
from linewatch.eventlog.protocol import Group
from linewatch.eventlog.redis_writer import connect
from linewatch.eventlog.settings import KafkaSettings
from linewatch.events import PARTITIONS, Record
from linewatch.settings import load
from tests.eventing.subscriber import Subscriber, record, source
from tests.support.kafka_broker import unique
from tests.support.waiting import eventually


def group_of(told):
    """The group of a source, as this test reads it."""
    return Group(told.topic, told.group, "test")


@pytest.fixture(name="function")
def _function():
    with Subscriber() as function:
        yield function


@pytest.fixture(name="log")
def _log(kafka):
    log = kafka.log()
    yield log
    log.close()


@pytest.fixture(name="told")
def _told(kafka):
    """A source with topics and a group that no other test uses."""
    topic = unique("utterances")
    kafka.make_topics(topic, f"dead-{topic}")
    made = source(dead_letter_topic=f"dead-{topic}")
    return dataclasses.replace(made, name=topic, topic=topic, group=f"group-{topic}")


@pytest.fixture(name="run")
def _run(kafka, function):
    """Start readers that deliver to the function; stop them at the end."""
    started = []

    def run(told):
        log = kafka.log()
        stopping = threading.Event()
        deliverer = Deliverer(told, function.url, stopping)
        workers = DeliveryWorkers(told, deliverer, log, stopping, DispatcherMeters())
        reader = KafkaReader(
            workers, lambda own: log.join(group_of(told), own), stopping, commit_s=0.2
        )
        started.append((reader, stopping, log))
        reader.start()
        return reader, stopping

    yield run
    for _, stopping, _ in started:
        stopping.set()
    function.gate.set()
    for reader, _, log in started:
        reader.join(60)
        log.close()


class PartitionOwner:
    """A owner that is told of hand-overs and keeps nothing."""

    def __init__(self):
        self.gone = []
        self.kept = {}

    def revoke(self, partitions):
        """Note what went."""
        self.gone += partitions
        return {}

    def committed(self, offsets):
        """Note what is kept."""
        self.kept |= offsets


def _calls(function):
    return {request.call for request in function.requests}


def patient(told):
    """Return *told* with half a minute for each delivery."""
    return dataclasses.replace(told, delivery=dataclasses.replace(told.delivery, timeout_s=30.0))


def _publish(log, told, calls):
    log.publish([record(call, told.topic) for call in calls])


def _polled(membership, count):
    """Poll until *count* entries came."""
    found = []
    eventually(lambda: found.extend(membership.poll(0.2)) or len(found) >= count)
    return found


def test_entry_is_record_as_written(log, told):
    """An entry carries the record's key, headers and value, its place and when it was written."""
    made = Record(told.topic, "call-1", {"ce_id": b"1", "content-type": b"application/json"}, b"{}")
    before_ms = time.time() * 1000
    log.publish([made, made])
    membership = log.join(group_of(told), PartitionOwner())
    first, second = _polled(membership, 2)
    membership.close({})
    assert Record.of_fields(first.fields) == made
    assert (second.partition, second.offset) == (first.partition, first.offset + 1)
    assert before_ms - 5000 < first.written_at_ms < before_ms + 60_000


def test_commit_is_told_and_kept(kafka, log, told):
    """A commit comes back as committed, and the next member of the group begins there."""
    _publish(log, told, ["call-1", "call-1", "call-1"])
    owner = PartitionOwner()
    membership = log.join(group_of(told), owner)
    first, *_ = _polled(membership, 3)
    membership.commit({first.partition: first.offset + 1})
    eventually(lambda: membership.poll(0.05) or owner.kept)
    assert owner.kept == {first.partition: first.offset + 1}
    membership.close({first.partition: first.offset + 2})
    assert kafka.committed(told.group) == {first.partition: first.offset + 2}
    membership = log.join(group_of(told), PartitionOwner())
    (left,) = _polled(membership, 1)
    membership.close({})
    assert left.offset == first.offset + 2


def test_paused_partitions_stay_quiet(log, told):
    """A paused partition gives nothing until it is resumed; the others go on."""
    membership = log.join(group_of(told), PartitionOwner())
    _publish(log, told, ["call-1"])
    (entry,) = _polled(membership, 1)
    assert membership.pause([entry.partition])
    _publish(log, told, ["call-1", *(f"other-{n}" for n in range(40))])
    others = _polled(membership, 20)
    assert entry.partition not in {each.partition for each in others}
    assert not membership.pause(range(12))
    assert membership.pause([])
    eventually(lambda: entry.partition in {each.partition for each in membership.poll(0.2)})
    membership.close({})


def test_lag_counts_unsettled(kafka, log, told, function, run):
    """The lag is what a group has not committed: all at first, nothing in the end."""
    _publish(log, told, [f"call-{n}" for n in range(20)])
    assert log.lags(told.topic, [told.group, "never-read"]) == (20, 20)
    run(told)
    eventually(lambda: log.lags(told.topic, [told.group]) == (0,))
    assert len(_calls(function)) == 20
    assert log.lags("no-such-topic", [told.group]) == (0,)


def test_dead_letters_are_replayed_once(log, told, function, run):
    """A dead letter is counted and listed until it was replayed, oldest first, and not again."""
    for number in range(4):
        log.publish([record(f"call-{number}", told.delivery.dead_letter_topic)])
        time.sleep(0.003)
    assert log.dead(told.dead_letters) == 4
    letters = log.letters(told.dead_letters)
    assert [each.fields[b"key"] for each in letters] == [b"call-%d" % n for n in range(4)]
    log.replayed(told.dead_letters, letters[0])
    assert log.letters(told.dead_letters) == letters[1:]
    for letter in letters[1:]:
        log.replayed(told.dead_letters, letter)
    assert (log.dead(told.dead_letters), log.letters(told.dead_letters)) == (0, [])
    log.publish([record("call-9", told.delivery.dead_letter_topic)])
    assert log.dead(told.dead_letters) == 1


def test_poison_is_one_dead_letter(kafka, log, told, function, run):
    """An event that is refused lies in the dead letters once, and the others are delivered."""
    function.answers = [(422, {"kne-reason": "bad-schema"}, b"")]
    run(told)
    _publish(log, told, ["poison"])
    eventually(lambda: log.dead(told.dead_letters) == 1)
    _publish(log, told, ["call-1", "poison"])
    eventually(lambda: log.lags(told.topic, [told.group]) == (0,))
    (letter,) = kafka.read(told.delivery.dead_letter_topic)
    assert letter.headers["ce_reason"] == b"bad-schema"
    assert len(function.requests) == 3


def test_slow_function_keeps_membership(log, told, function, run, monkeypatch):
    """Deliveries that hang longer than a session lasts cost no membership: nothing comes twice."""
    monkeypatch.setattr("linewatch.eventlog.kafka_member._SESSION_S", 5.0)
    function.gate.clear()
    _publish(log, told, [f"call-{n}" for n in range(70)])
    reader, _ = run(patient(told))
    eventually(lambda: len(function.requests) == 50)
    time.sleep(6.5)
    assert reader.is_reading
    function.gate.set()
    eventually(lambda: log.lags(told.topic, [told.group]) == (0,))
    assert len(function.requests) == len(_calls(function)) == 70


def test_two_members_lose_nothing(log, told, function, run):
    """A second member that joins and leaves again in the middle costs no event."""
    run(told)
    published = []

    def publish(count):
        for _ in range(count):
            batch = [f"call-{len(published) + n}" for n in range(5)]
            _publish(log, told, batch)
            published.extend(batch)
            time.sleep(0.01)

    publish(20)
    second, leave = run(told)
    eventually(lambda: publish(1) or second.in_hand or second.is_reading)
    publish(60)
    leave.set()
    second.join(60)
    publish(20)
    eventually(lambda: log.lags(told.topic, [told.group]) == (0,))
    assert _calls(function) == set(published)


def test_killed_member_is_replaced(log, told, function, run, monkeypatch):
    """What a member had in hand when it died is delivered by the next, once its session ended."""
    _publish(log, told, [f"call-{n}" for n in range(10)])
    monkeypatch.setattr("linewatch.eventlog.kafka_member._SESSION_S", 2.0)
    dead = log.join(group_of(told), PartitionOwner())
    monkeypatch.undo()
    assert len(_polled(dead, 10)) == 10
    # Dies: nothing committed, nobody left the group.
    dead._consumer._coordinator._disable_heartbeat()
    run(told)
    eventually(lambda: len(_calls(function)) == 10)
    dead.close({})


class TestKilledBroker:
    """A broker that is ours to kill."""

    @pytest.fixture(name="kafka")
    def _kafka(self, own_kafka):
        return own_kafka

    def test_killed_broker_loses_nothing(self, kafka, told, function, run, redis_url):
        """A broker that is killed and comes back costs no event, and no call its order."""
        run(told)
        client = connect(redis_url)
        writer = KafkaLogWriter(kafka.brokers())
        relay = Relay(client, writer, "pod")
        relay.start()
        committed = []

        def commit(count):
            for _ in range(count):
                number = len(committed)
                made = record(f"call-{number % 5}", told.topic)
                made = dataclasses.replace(made, headers={**made.headers, "ce_n": b"%d" % number})
                client.xadd(keys.outbox(made.partition), made.fields())
                committed.append(made)

        commit(20)
        eventually(lambda: function.requests)
        kafka.kill()
        commit(20)
        time.sleep(1)
        assert sum(client.xlen(keys.outbox(p)) for p in range(PARTITIONS)) >= 20
        kafka.start()
        commit(20)
        eventually(lambda: len({each.headers["ce-n"] for each in function.requests}) == 60)
        eventually(lambda: not sum(client.xlen(keys.outbox(p)) for p in range(PARTITIONS)))
        relay.stop()
        writer.close()
        client.close()
        first_seen = {}
        for each in kafka.read(told.topic):
            first_seen.setdefault(each.key, {})[int(each.headers["ce_n"])] = each
        for call in range(5):
            numbers = list(first_seen[f"call-{call}"])
            assert numbers == sorted(numbers)


def test_missing_topic_is_awaited(kafka, log, told, function, run):
    """A source whose topic is not there yet says so, and reads it once it is made."""
    later = dataclasses.replace(told, topic=unique("later"))
    reader, _ = run(later)
    time.sleep(1)
    assert not reader.is_reading
    kafka.make_topics(later.topic)
    _publish(log, later, ["call-1"])
    eventually(lambda: function.requests)


def test_retention_says_what_is_kept(kafka, log):
    """A topic holds, but for the oldest tenth, what its retention promises; or everything."""
    hourly, endless = unique("hourly"), unique("endless")
    kafka.make_topics(hourly, configs={"retention.ms": "3600000"})
    kafka.make_topics(endless, configs={"retention.ms": "-1"})
    kept_s = time.time() - log.kept_since_ms(hourly) / 1000
    assert 3240 - 5 < kept_s < 3240 + 5
    assert log.kept_since_ms(endless) == 0


def test_entries_since_a_time_are_read(log, told):
    """Reading begins where a time falls, ends at an offset, and where nothing is younger."""
    _publish(log, told, ["call-1"] * 3)
    (partition,) = {each.partition for each in log.between(told.topic, log.since(told.topic, 0))}
    every = [*log.between(told.topic, {partition: 0})]
    assert [each.offset for each in every] == [0, 1, 2]
    assert [*log.between(told.topic, {partition: 0}, {partition: 2})] == every[:2]
    later = log.since(told.topic, every[-1].written_at_ms + 60_000)
    assert later[partition] == 3
    assert [*log.between(told.topic, later)] == []
    assert log.since(told.topic, every[0].written_at_ms)[partition] == 0


def test_settled_is_what_is_committed(log, told):
    """A group has settled what lies below its commit; nothing before it has read."""
    _publish(log, told, ["call-1"] * 3)
    partition = next(log.between(told.topic, log.since(told.topic, 0))).partition
    assert log.settled(told.topic, "missing-one")[partition] == 0
    log.settle(told.topic, "missing-one", {partition: 2})
    assert log.settled(told.topic, "missing-one")[partition] == 2


def test_outage_is_unavailable():
    """While no broker answers every question is `Unavailable`, and leaves no thread."""
    told = {"KAFKA_BROKERS": "127.0.0.1:1", "KAFKA_CONNECT_S": "0.3"}
    away = KafkaLog(Brokers(load(KafkaSettings, told)), 0.3)
    before = threading.active_count()
    for question in (
        away.ping,
        lambda: away.lags("utterances", ["group"]),
        lambda: away.publish([record()]),
        lambda: away.settled("utterances", "group"),
        lambda: away.settle("utterances", "group", {0: 1}),
        lambda: away.since("utterances", 0),
        lambda: away.kept_since_ms("utterances"),
        lambda: next(away.between("utterances", {0: 0}, {0: 1})),
        lambda: away.join(group_of(source()), PartitionOwner()),
    ):
        with pytest.raises(Unavailable):
            question()
    assert threading.active_count() == before
