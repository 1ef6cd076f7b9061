"""Holds the relay to its promises: order, no loss, one drainer a partition."""

from __future__ import annotations

import threading

import pytest
from redis.exceptions import RedisError

from infra.launcher import redis_server
from linewatch import keys
from linewatch.decoder.outbox import relay as relay_module
from linewatch.decoder.outbox.relay import Relay
from linewatch.errors import StoreUnavailable, TooLarge, Unavailable
from linewatch.eventlog.protocol import KEPT_S
from linewatch.eventlog.redis_writer import RedisLogWriter, connect
from linewatch.events import PARTITIONS, Record, partition_of
from linewatch.keys import UNREADABLE
from tests.support.full_store import full
from tests.support.waiting import eventually


def _record(call="call-1", number=0, topic="utterances"):
    return Record(topic, call, {"ce_id": b"%d-final" % number}, b'{"n": %d}' % number)


def _commit(client, record):
    client.xadd(keys.outbox(record.partition), record.fields())


def _is_committed(client, record):
    try:
        _commit(client, record)
    except RedisError:
        return False
    return True


def _logged(client, topic="utterances"):
    return [
        Record.of_fields(fields)
        for partition in range(PARTITIONS)
        for _, fields in client.xrange(keys.log(topic, partition))
    ]


def _waiting(client):
    return sum(client.xlen(keys.outbox(partition)) for partition in range(PARTITIONS))


class _FlakyWriter:
    """Refuses the first *failures* calls after having written, as a lost answer does."""

    def __init__(self, writer, failures):
        self._writer = writer
        self.failures = failures

    def publish(self, records):
        self._writer.publish(records)
        if records and self.failures:
            self.failures -= 1
            raise StoreUnavailable("the answer was lost")


@pytest.fixture(name="client")
def _client(redis_url):
    with connect(redis_url) as client:
        yield client


@pytest.fixture(name="make")
def _make(redis_url):
    """Make relays whose pods are alive, and stop them at the end."""
    made = []

    def make(pod_id="pod-a", writer=None):
        client = connect(redis_url)
        client.sadd(keys.PODS, pod_id)
        client.hset(keys.pod(pod_id), "address", "127.0.0.1")
        relay = Relay(client, writer or RedisLogWriter(client), pod_id)
        made.append((relay, client))
        return relay

    yield make
    for relay, client in made:
        if relay._thread.is_alive():
            relay.stop()
        client.close()


def test_record_reaches_log_unchanged(client, make):
    """A committed record lies in its topic's log as it was, and no longer in the outbox."""
    record = _record()
    _commit(client, record)
    assert make().turn() == 1
    assert _logged(client) == [record]
    assert _waiting(client) == 0
    assert client.smembers(keys.LOGS) == {keys.log("utterances", record.partition).encode()}


def test_order_per_call_kept(client, make):
    """Every call's records lie in the log in the order of their commits."""
    for number in range(200):
        _commit(client, _record(f"call-{number % 7}", number))
    relay = make()
    while _waiting(client):
        relay.turn()
    for call in range(7):
        values = [each.value for each in _logged(client) if each.key == f"call-{call}"]
        assert values == [b'{"n": %d}' % n for n in range(200) if n % 7 == call]


def test_unacknowledged_record_stays_committed(client, make):
    """A record whose acknowledgement was lost is published again, with equal bytes."""
    relay = make(writer=_FlakyWriter(RedisLogWriter(client), failures=1))
    record = _record()
    _commit(client, record)
    with pytest.raises(Unavailable):
        relay.turn()
    assert _waiting(client) == 1
    relay.turn()
    assert _logged(client) == [record, record]
    assert _waiting(client) == 0


def test_thread_outlives_refusals(client, make):
    """A relay whose log refuses three times goes on by itself."""
    relay = make(writer=_FlakyWriter(RedisLogWriter(client), failures=3))
    relay.start()
    _commit(client, _record())
    eventually(lambda: _waiting(client) == 0)
    assert relay.published == 1


def test_thread_outlives_unexpected_errors(client, make):
    """An error nobody foresaw does not end the relay either."""

    class _Broken(RedisLogWriter):
        calls = 0

        def publish(self, records):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            super().publish(records)

    relay = make(writer=_Broken(client))
    _commit(client, _record())
    relay.start()
    eventually(lambda: _waiting(client) == 0)


def test_zombie_deletes_nothing(client, make):
    """A drainer that lost its lease while it published leaves the outbox alone."""
    record = _record()

    class _Slow(RedisLogWriter):
        def publish(self, records):
            super().publish(records)
            if records:
                client.set(keys.outbox_lease(record.partition), "pod-b")

    relay = make(writer=_Slow(client))
    _commit(client, record)
    relay.turn()
    assert _waiting(client) == 1
    assert record.partition not in relay.held


def test_lease_that_ran_out_is_taken_again(client, make):
    """What the log acknowledged is deleted although the lease ran out, if nobody else took it."""
    record = _record()

    class _Slow(RedisLogWriter):
        def publish(self, records):
            super().publish(records)
            client.delete(keys.outbox_lease(record.partition))

    relay = make(writer=_Slow(client))
    _commit(client, record)
    relay.turn()
    assert _waiting(client) == 0
    assert client.get(keys.outbox_lease(record.partition)) == b"pod-a"
    assert 0 < client.pttl(keys.outbox_lease(record.partition)) <= keys.POD_LEASE_MS


class _Waits(RedisLogWriter):
    """Writes a record once it is `reached`, or *for_s* later."""

    def __init__(self, client, for_s):
        super().__init__(client)
        self.for_s = for_s
        self.called, self.reached = threading.Event(), threading.Event()

    def publish(self, records):
        if records:
            self.called.set()
            self.reached.wait(self.for_s)
        super().publish(records)


def _waits_for_log(client, make, for_s):
    """Return a relay that holds every lease and waits *for_s* for its log."""
    writer = _Waits(client, for_s)
    relay = make("pod-a", writer)
    relay.start()
    eventually(lambda: len(relay.held) == PARTITIONS)
    _commit(client, _record())
    assert writer.called.wait(60)
    return relay


def test_slow_log_is_waited_for(client, make):
    """A log that takes longer than a lease lasts gets each record once: no other pod takes over."""
    slow = _waits_for_log(client, make, 1.2 * keys.POD_LEASE_MS / 1000)
    make("pod-b").start()
    eventually(lambda: _waiting(client) == 0)
    assert slow.published == 1
    assert _logged(client) == [_record()]


def test_log_that_one_pod_cannot_reach(client, make):
    """A pod whose log does not answer at all loses its leases to one that gets through."""
    cut = _waits_for_log(client, make, 600)
    make("pod-b").start()
    eventually(lambda: _waiting(client) == 0)
    assert cut.published == 0
    cut._writer.reached.set()
    # What it writes in the end would come into the next test's log.
    cut.stop(60)


def test_unreadable_entry_set_aside(client, make):
    """An entry that is no record is kept apart, and the next record goes through."""
    good = _record()
    client.xadd(keys.outbox(good.partition), {"topic": b"utterances", "value": b"\xff"})
    _commit(client, good)
    make().turn()
    assert _logged(client) == [good]
    kept = client.xrange(keys.log(UNREADABLE, good.partition))
    assert [fields for _, fields in kept] == [
        {b"topic": b"utterances", b"value": b"\xff", b"reason": b"it is no record"}
    ]
    assert _waiting(client) == 0


@pytest.mark.parametrize("bad", [{"key": b"\xff"}, {"key": b"a\0b"}, {"topic": b""}])
def test_unusable_names_set_aside(client, make, bad):
    """A key no log can hold, or no topic, makes an entry unreadable."""
    client.xadd(keys.outbox(3), {**_record().fields(), **bad})
    make().turn()
    assert _logged(client) == []
    assert client.xlen(keys.log(UNREADABLE, 3)) == 1


class _Elsewhere:
    """A log that lies in no Redis."""

    def __init__(self):
        self.records = []

    def publish(self, records):
        self.records += records


def test_full_store_is_drained(client, make, redis_url):
    """On a full Redis a relay takes its leases, publishes every record once and deletes it."""
    records = [_record(f"call-{number % 7}", number) for number in range(200)]
    for each in records:
        _commit(client, each)
    elsewhere = _Elsewhere()
    relay = make(writer=elsewhere)
    with full(redis_url):
        while _waiting(client):
            relay.turn()
    assert sorted(elsewhere.records, key=str) == sorted(records, key=str)


def test_full_store_gives_lease_again(client, make, redis_url):
    """On a full Redis a lease that ran out is taken again, and what was published is deleted."""
    record = _record()

    class _Slow(_Elsewhere):
        def publish(self, records):
            super().publish(records)
            client.delete(keys.outbox_lease(record.partition))

    _commit(client, record)
    relay = make(writer=_Slow())
    with full(redis_url):
        relay.turn()
    assert _waiting(client) == 0
    assert client.get(keys.outbox_lease(record.partition)) == b"pod-a"


def test_full_store_sets_aside(client, make, redis_url):
    """On a full Redis an entry that is no record is moved, and holds up no other."""
    good = _record()
    client.xadd(keys.outbox(good.partition), {"topic": b"utterances", "value": b"\xff"})
    _commit(client, good)
    elsewhere = _Elsewhere()
    relay = make(writer=elsewhere)
    with full(redis_url):
        relay.turn()
    assert elsewhere.records == [good]
    assert _waiting(client) == 0
    assert client.xlen(keys.log(UNREADABLE, good.partition)) == 1


def test_set_aside_does_not_stay(client, make):
    """What is set aside may hold what was said: it goes when the topics' records do."""
    client.xadd(keys.outbox(3), {"value": b"\xff"})
    make().turn()
    assert 0 < client.ttl(keys.log(UNREADABLE, 3)) <= KEPT_S


class _ChoosyWriter:
    """Refuses records whose id is in *refused*, and all of a batch that holds one."""

    def __init__(self, writer, *refused):
        self._writer = writer
        self._refused = refused

    def publish(self, records):
        for record in records:
            if record.headers["ce_id"] in self._refused:
                raise TooLarge("1048576 bytes at most")
            self._writer.publish([record])


def test_refused_record_set_aside(client, make):
    """What the log refuses for good is kept with the reason; the others go through in order."""
    records = [_record(number=number) for number in range(5)]
    for each in records:
        _commit(client, each)
    relay = make(writer=_ChoosyWriter(RedisLogWriter(client), b"2-final"))
    assert relay.turn() == 4
    first_seen = list(dict.fromkeys(each.headers["ce_id"] for each in _logged(client)))
    assert first_seen == [b"0-final", b"1-final", b"3-final", b"4-final"]
    ((_, kept),) = client.xrange(keys.log(UNREADABLE, records[2].partition))
    assert kept == {
        **{name.encode(): value for name, value in records[2].fields().items()},
        b"reason": b"1048576 bytes at most",
    }
    assert _waiting(client) == 0


def test_refusal_in_outage_waits(client, make):
    """While the log is away nothing is set aside: whether it is refused is known later."""
    for number in range(3):
        _commit(client, _record(number=number))
    choosy = _ChoosyWriter(_FlakyWriter(RedisLogWriter(client), 1), b"2-final")
    relay = make(writer=choosy)
    with pytest.raises(StoreUnavailable):
        relay.turn()
    assert _waiting(client) == 3
    assert relay.turn() == 2
    assert _waiting(client) == 0


def test_new_entry_wakes_relay(client, redis_url, monkeypatch):
    """A waiting relay publishes what is committed at once, not when its next turn is due."""
    monkeypatch.setattr(relay_module, "_RENEW_S", 3600)
    patient = connect(redis_url, 3600)
    relay = Relay(patient, RedisLogWriter(patient), "pod-a")
    passed_on = []
    turn = threading.Thread(target=lambda: passed_on.append(relay.turn()), daemon=True)
    turn.start()
    eventually(lambda: client.info("clients")["blocked_clients"])
    _commit(client, _record())
    turn.join()
    assert passed_on == [1]
    patient.close()


def test_lone_pod_drains_everything(make):
    """One pod alone holds all partitions."""
    relay = make()
    relay._leases.update()
    assert relay.held == frozenset(range(PARTITIONS))


def test_joining_pod_gets_share(client, make):
    """When a second pod joins, the first gives up half, and every partition has one drainer."""
    first = make("pod-a")
    first.start()
    eventually(lambda: len(first.held) == PARTITIONS)
    second = make("pod-b")
    second.start()
    half = PARTITIONS // 2

    def is_shared():
        both = first.held | second.held == frozenset(range(PARTITIONS))
        return both and len(first.held) == len(second.held) == half

    # At rest: where the machine stands still leases run out, and are then taken anew.
    eventually(is_shared)


def test_stop_releases_leases(client, make):
    """A relay that stops gives its leases back at once instead of letting them expire."""
    relay = make()
    relay.start()
    eventually(lambda: len(relay.held) == PARTITIONS)
    relay.stop()
    assert not [p for p in range(PARTITIONS) if client.exists(keys.outbox_lease(p))]


def test_stop_waits_for_a_renewal(make, monkeypatch):
    """A relay that was stopped uses its client no more, so that it may be closed."""
    relay, renews, may_end = make(), threading.Event(), threading.Event()

    def extend():
        renews.set()
        may_end.wait(60)

    monkeypatch.setattr(relay._leases, "extend", extend)
    relay.start()
    assert renews.wait(60)
    threading.Timer(0.3, may_end.set).start()
    relay.stop()
    assert not relay._keeper.is_alive()


def test_dead_drainer_is_replaced(client, make):
    """What a pod left in the outbox when it died is published by another, oldest first."""
    for partition in range(PARTITIONS):
        client.set(keys.outbox_lease(partition), "pod-dead", px=300)
    for number in range(5):
        _commit(client, _record(number=number))
    relay = make()
    relay.start()
    eventually(lambda: _waiting(client) == 0)
    assert [each.value for each in _logged(client)] == [b'{"n": %d}' % n for n in range(5)]


def test_relay_outlives_redis_outage(tmp_path):
    """Records committed before Redis was away are published after it is back."""
    port = redis_server.free_port()
    server = redis_server.start(port, tmp_path)
    client = connect(f"redis://127.0.0.1:{port}/0")
    other = connect(f"redis://127.0.0.1:{port}/0")
    relay = Relay(client, RedisLogWriter(client), "pod-a")
    relay.start()
    eventually(lambda: len(relay.held) == PARTITIONS)
    server.terminate()
    server.wait()
    server = redis_server.start(port, tmp_path)
    try:
        # It listens before it has read its file.
        eventually(lambda: _is_committed(other, _record()))
        eventually(lambda: _waiting(other) == 0)
        assert _logged(other) == [_record()]
    finally:
        relay.stop()
        client.close()
        other.close()
        server.terminate()
        server.wait()


def test_full_log_takes_nothing(client):
    """A batch that a full Redis refuses leaves no part of itself in the log."""
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            RedisLogWriter(client).publish([_record(), _record("call-2", 1)])
    finally:
        client.config_set("maxmemory", "0")
    assert _logged(client) == []


def test_empty_batch_writes_nothing(client):
    """Publishing no records asks Redis for nothing."""
    RedisLogWriter(client).publish([])
    assert not client.exists(keys.LOGS)


def test_writer_tells_log_away():
    """A log that does not answer is an error with status 503."""
    writer = RedisLogWriter(connect(f"redis://127.0.0.1:{redis_server.free_port()}/0"))
    with pytest.raises(StoreUnavailable) as caught:
        writer.publish([_record()])
    assert caught.value.status == 503


def test_two_relays_lose_nothing(client, make):
    """While pods come and go, every record is logged, first occurrences in order."""
    first, second = make("pod-a"), make("pod-b")
    first.start()
    stop = threading.Event()

    def produce():
        for number in range(300):
            _commit(client, _record(f"call-{number % 5}", number))
        stop.set()

    producer = threading.Thread(target=produce)
    producer.start()
    second.start()
    producer.join()
    first.stop()
    assert stop.is_set()
    eventually(lambda: _waiting(client) == 0)
    for call in range(5):
        values = [each.value for each in _logged(client) if each.key == f"call-{call}"]
        assert list(dict.fromkeys(values)) == [
            b'{"n": %d}' % n for n in range(300) if n % 5 == call
        ]


def test_partition_follows_call():
    """A record lies in the partition of its call, the same in the outbox and in the log."""
    assert _record("call-9").partition == partition_of("call-9")


def test_more_at_once_than_usual(redis_url):
    """Every thread that may serve (THREADS, 256 at most) has a connection where it needs one."""
    with connect(redis_url) as client:
        pool = client.connection_pool
        held = [pool.get_connection() for _ in range(256)]
        for each in held:
            pool.release(each)
        assert client.ping()
