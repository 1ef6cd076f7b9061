"""Holds the reader of a source in Kafka to committing only what it settled and still owns."""

from __future__ import annotations

import threading
import time

import pytest

from eventing.delivery.deliverer import IN_FLIGHT
from eventing.delivery.kafka_reader import KafkaReader
from linewatch.errors import Unavailable
from linewatch.eventlog.record import Entry
from tests.eventing.subscriber import source, until


class FakeMembership:
    """A membership under the test's control: `given` is what the next polls return."""

    def __init__(self):
        self.given = []
        self.paused = frozenset()
        self.commits = []
        self.closed_with = None
        self.fails = False
        self.polls = 0
        self.owner = None

    def join_group(self, owner):
        """Become *owner*'s membership."""
        self.owner = owner
        return self

    def poll(self, wait_s):
        """Return what is given next."""
        self.polls += 1
        if self.fails:
            raise Unavailable("Kafka is away: a test")
        if not self.given:
            time.sleep(min(wait_s, 0.01))
            return []
        return self.given.pop(0)

    def pause(self, partitions):
        """Note what is not to be fetched."""
        self.paused = frozenset(partitions)
        return not self.paused

    def commit(self, offsets):
        """Keep *offsets* at once."""
        if offsets:
            self.commits.append(dict(offsets))
            self.owner.committed(offsets)

    def close(self, offsets):
        """Note with what the group was left."""
        self.closed_with = dict(offsets)


class DeliveryWorkers:
    """Deliveries under the test's control: an entry is settled when the test says so."""

    def __init__(self, of):
        self.source = of
        self.taken = []
        self._ends = {}

    def take(self, entry, settled, released):
        """Note that *entry* is under way."""
        self.taken.append(entry.place)
        self._ends[entry.place] = (entry, settled, released)

    def settle(self, *places):
        """End the deliveries of *places* well."""
        for place in places:
            entry, settled, released = self._ends.pop(place)
            settled(entry)
            released(entry)

    def leave(self, place):
        """End a delivery unsettled."""
        entry, _, released = self._ends.pop(place)
        released(entry)


def _entries(*offsets, partition=0):
    return [Entry(partition, offset, {b"value": b""}, 0) for offset in offsets]


@pytest.fixture(name="membership")
def _membership():
    return FakeMembership()


@pytest.fixture(name="begin")
def _begin(membership):
    """Start a reader of a source; it is stopped at the end."""
    started = []

    def begin(**changes):
        workers = DeliveryWorkers(source(**changes))
        stopping = threading.Event()
        reader = KafkaReader(workers, membership.join_group, stopping, commit_s=0.02)
        started.append((reader, stopping))
        reader.start()
        return reader, workers, stopping

    yield begin
    for reader, stopping in started:
        stopping.set()
        reader.join(5)


def test_settled_is_committed(membership, begin):
    """What is settled without a gap is committed by itself, and not again."""
    _, workers, _ = begin()
    membership.given.append(_entries(3, 4, 5))
    until(lambda: len(workers.taken) == 3)
    workers.settle((0, 5), (0, 3))
    until(lambda: membership.commits == [{0: 4}])
    workers.settle((0, 4))
    until(lambda: membership.commits == [{0: 4}, {0: 6}])
    polled = membership.polls
    until(lambda: membership.polls > polled + 10)
    assert len(membership.commits) == 2


def test_deliveries_overlap(membership, begin):
    """A source has 50 deliveries under way at most, over all its partitions."""
    reader, workers, _ = begin()
    membership.given += [_entries(*range(30), partition=each) for each in range(3)]
    until(lambda: len(workers.taken) == IN_FLIGHT and not membership.given)
    assert reader.in_hand == IN_FLIGHT
    workers.settle(*workers.taken[:10])
    assert len(workers.taken) == IN_FLIGHT + 10


def test_slow_function_stops_fetching(membership, begin):
    """Polling goes on while deliveries hang, but nothing more is fetched than may wait."""
    _, workers, _ = begin()
    membership.given.append([*_entries(*range(IN_FLIGHT + 60)), *_entries(0, partition=1)])
    until(lambda: membership.paused == {0, 1})
    polled = membership.polls
    until(lambda: membership.polls > polled + 3)
    workers.settle(*list(workers.taken))
    until(lambda: membership.paused == frozenset())


def test_revoked_is_forgotten(membership, begin):
    """At a hand-over the settled offsets are given, and nothing is committed afterwards."""
    _, workers, _ = begin()
    membership.given += [_entries(0, 1), _entries(0, partition=1)]
    until(lambda: len(workers.taken) == 3)
    membership.commit = lambda offsets: membership.commits.append(dict(offsets))
    workers.settle((0, 0))
    assert membership.owner.revoke([0]) == {0: 1}
    polled = membership.polls
    until(lambda: membership.polls > polled + 1)
    membership.commits.clear()
    workers.settle((0, 1), (1, 0))
    until(lambda: membership.commits)
    assert all(set(offsets) == {1} for offsets in membership.commits)


def test_revoked_entries_are_dropped(membership, begin):
    """What waits for its turn when its partition goes is the next owner's to deliver."""
    _, workers, _ = begin()
    membership.given.append([*_entries(*range(IN_FLIGHT)), *_entries(0, 1, partition=1)])
    until(lambda: len(workers.taken) == IN_FLIGHT)
    membership.owner.revoke([1])
    workers.settle((0, 0))
    assert len(workers.taken) == IN_FLIGHT


def test_returning_entry_starts_once(membership, begin):
    """A partition that comes back does not start again what is still being delivered."""
    _, workers, _ = begin()
    membership.given.append(_entries(0))
    until(lambda: workers.taken == [(0, 0)])
    membership.owner.revoke([0])
    membership.given.append(_entries(0, 1))
    until(lambda: len(workers.taken) > 1)
    assert workers.taken == [(0, 0), (0, 1)]
    workers.settle((0, 0), (0, 1))
    until(lambda: membership.commits and membership.commits[-1] == {0: 2})


def test_stop_commits_and_leaves(membership, begin):
    """A stop waits for what is under way, commits it, and then leaves the group."""
    reader, workers, stopping = begin()
    membership.given.append(_entries(0, 1))
    until(lambda: len(workers.taken) == 2)
    stopping.set()
    workers.settle((0, 0))
    until(lambda: membership.commits == [{0: 1}])
    assert membership.closed_with is None
    membership.commit = lambda _: None
    workers.settle((0, 1))
    reader.join(5)
    assert membership.closed_with == {0: 2}


def test_stop_leaves_unsettled(membership, begin):
    """What could not be settled before the end is not committed."""
    reader, workers, stopping = begin()
    membership.given.append(_entries(0, 1))
    until(lambda: len(workers.taken) == 2)
    stopping.set()
    workers.leave((0, 0))
    workers.settle((0, 1))
    reader.join(5)
    assert membership.closed_with == {}


def test_outage_is_told_once(membership, begin, caplog):
    """A log that stays away is one line, and one more when it is back."""
    reader, _, _ = begin()
    until(lambda: reader.is_reading)
    membership.fails = True
    until(lambda: not reader.is_reading)
    polled = membership.polls
    until(lambda: membership.polls > polled + 1)
    membership.fails = False
    until(lambda: reader.is_reading)
    assert caplog.messages == ["sentiment: Kafka is away: a test", "sentiment: goes on"]
